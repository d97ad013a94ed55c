"""Metrics that a plot shows: those that are named, by group or pattern too, those of health, or a default."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from rlcli.analysis.history import POSITION, names_of, why_no_return
from rlcli.analysis.selection import Run
from rlcli.catalog.table import METRICS
from rlcli.errors import UserError, nearest, unknown

EVALUATED, TRAINED = "eval/return_mean", "train/return_100"
EVALUATIONS = 5
"""Evaluations of each run from which on they are a curve."""
HEALTH = (
    "behaviour/kl_mu_pi",
    "behaviour/kl_pi_mu",
    "behaviour/ess",
    "behaviour/clip_fraction",
    "update/budget_used",
    "update/entropy",
    "update/explained_variance",
)
LISTED = 12
"""Maximum metrics that an error lists."""


def choose(runs: Sequence[Run], names: Sequence[str], *, health: bool) -> list[str]:
    """The metrics of a plot: those named, then those of health, else the return.

    A name is a metric's, its last part where no other has it or one of them is a default or of health, a
    group (`loss`), or a pattern (`update/kl*`).
    Metrics of health that no run has are left out.

    Raises:
        UserError: a name means no metric that the runs have, or several.
    """
    there = [name for name in names_of([run.history for run in runs]) if name not in POSITION]
    found: list[str] = []
    faults: list[str] = []
    for name in names:
        try:
            found += _named(name, there)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(*faults, hint="Definitions: rlcli explain METRIC; all: rlcli explain")
    if health:
        found += [name for name in HEALTH if name in there]
        if not found:
            raise UserError("No run has metrics of health yet.")
    return list(dict.fromkeys(found)) or [default(runs)]


def default(runs: Sequence[Run]) -> str:
    """The evaluated return where every run was evaluated five times, else that of training episodes.

    Raises:
        UserError: no run has a return.
    """
    if all(len(run.history.points(EVALUATED)[0]) >= EVALUATIONS for run in runs):
        return EVALUATED
    for name in (TRAINED, EVALUATED):
        if any(len(run.history.points(name)[0]) for run in runs):
            return name
    raise UserError(why_no_return([run.history for run in runs]))


def better(metric: str) -> int:
    """1 where higher values of a metric are better, -1 where lower, 0 where neither."""
    known = METRICS.get(metric)
    return {"higher": 1, "lower": -1}.get(known.direction if known else "neither", 0)


def _named(name: str, there: Sequence[str]) -> list[str]:
    if name in there:
        return [name]
    matching = fnmatch.filter(there, name) or [one for one in there if one.startswith(name.rstrip("/") + "/")]
    if matching:
        return matching
    leaves = [one for one in there if one.rpartition("/")[2] == name]
    if len(leaves) > 1:
        leaves = [one for one in leaves if one in (TRAINED, EVALUATED, *HEALTH)] or leaves
    if len(leaves) == 1:
        return leaves
    if leaves:
        raise UserError(f"--metric {name} means several metrics: {', '.join(leaves)}.")
    if name in METRICS:
        near = nearest(name, there)
        instead = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UserError(f"--metric {name}: none of these runs has it.{instead}")
    raise UserError(unknown("metric", name, [*there, *(one for one in METRICS if one not in there)], LISTED))
