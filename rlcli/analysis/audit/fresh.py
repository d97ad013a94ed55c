"""Gains really made: the return of kept checkpoints on fresh episodes, beside what updates promised."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from rlcli.analysis.history import History
from rlcli.analysis.ope import mean_interval
from rlcli.analysis.selection import Run
from rlcli.errors import UserError
from rlcli.runs.episodes import record_run
from rlcli.store.checkpoints import Checkpoints
from rlcli.text import counted

APART = 7_919
"""Added to the run's seed: no other verb plays these episodes of the run."""


class Return(NamedTuple):
    """The return of one kept checkpoint, with sampled actions, and its 95% interval."""

    update: int
    mean: float
    low: float
    high: float


class Gain(NamedTuple):
    """What was gained between two kept checkpoints."""

    before: Return
    after: Return
    realised: float | None
    """Sum of update/gain_realised over the updates between them: the objective's own gain, on its batches."""

    @property
    def measured(self) -> float:
        """Gain of the mean return."""
        return self.after.mean - self.before.mean


def check_kept(runs: Sequence[Run]) -> None:
    """Checks that each run keeps two checkpoints, before episodes of any are played.

    Raises:
        UserError: runs that keep fewer, all at once.
    """
    kept = {run.dir: len(Checkpoints(run.dir).updates) for run in runs}
    faults = [
        f"{folder} keeps {counted(count, 'checkpoint')}: gains need two."
        for folder, count in kept.items()
        if count < 2
    ]
    if faults:
        raise UserError(
            *faults,
            hint="Keep every update's: rlcli train checkpoint.every=1 checkpoint.keep=1 checkpoint.seconds=0",
        )


def fresh_gains(run: Run, episodes: int, imports: Sequence[str] = ()) -> Iterator[Gain]:
    """Gains between neighbouring kept checkpoints of a run; each plays so many episodes of equal seeds."""
    returns = (_return(run, update, episodes, imports) for update in sorted(Checkpoints(run.dir).updates))
    for before, after in itertools.pairwise(returns):
        yield Gain(before, after, realised_between(run.history, before.update, after.update))


def realised_between(history: History, before: int, after: int) -> float | None:
    """Sum of update/gain_realised over the updates before + 1 .. after; None where it was not recorded."""
    updates, values = history.points("update/gain_realised", "updates")
    between = (updates > before) & (updates <= after)
    return float(np.sum(values[between])) if between.any() else None


def _return(run: Run, update: int, episodes: int, imports: Sequence[str]) -> Return:
    seed = int(run.summary["seed"]) + APART
    made = record_run(run.dir, episodes=episodes, checkpoint=update, seed=seed, imports=imports)
    return Return(update, *mean_interval(torch.from_numpy(made.episodes.rewards.sum(-1)), seed=0))
