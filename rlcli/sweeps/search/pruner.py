"""Whether trials end early: told of every row, it asks the sweep's pruner between updates.

A trial is judged when all its seeds, which train together, first reach a multiple of sweep.prune_every, by
the interquartile mean of their train/return_100. What is decided is written down before anybody hears of it,
and all its seeds end at their next row: at the same update, also when a kill comes between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlcli.config.schema import RunConfig
from rlcli.maths.location import interquartile_mean
from rlcli.sweeps.search.objectives import objectives
from rlcli.sweeps.search.settings import read_base

if TYPE_CHECKING:
    from rlcli.sweeps.search.study import Study

FIGURE = "train/return_100"


def judge(
    directory: Path, names: Sequence[str], configs: Sequence[RunConfig], trials: Sequence[int | None]
) -> Judge | None:
    """A judge of the trials all of whose seeds train together here; None where there is nothing to judge.

    Raises:
        StorageError: the sweep's settings or its study are damaged.
    """
    members: dict[int, list[str]] = {}
    for name, trial in zip(names, trials, strict=True):
        if trial is not None:
            members.setdefault(trial, []).append(name)
    if not members:
        return None
    base = read_base(directory)
    if base.sweep.pruner == "none":
        return None
    from rlcli.sweeps.search.study import Study

    study = Study.open(directory, objectives(base.sweep))
    batch = {name: config.batch_size for name, config in zip(names, configs, strict=True)}
    return Judge(study, base, members, batch)


class Judge:
    """Judges the trials of a cohort."""

    def __init__(
        self, study: Study, base: RunConfig, members: Mapping[int, Sequence[str]], batch: Mapping[str, int]
    ) -> None:
        """`members` are the seeds of each trial that train here, `batch` the samples of a seed's update."""
        from rlcli.sweeps.search.study import pruner

        self._study, self._every, self._batch = study, base.sweep.prune_every, batch
        self._rule = pruner(base)
        self._trial = {name: number for number, names in members.items() for name in names}
        self._seeds = base.sweep.replicas
        known = {trial.number: trial for trial in study.trials()}
        self._stop = {number: known[number].stop for number in members if number in known}
        self._judged = {number: known[number].judged for number in members if number in known}
        """The last step at which each was judged; it is judged there again, since a kill may have come before
        the verdict was written, but no earlier.
        """
        self._heard: dict[tuple[int, int], dict[str, float]] = {}

    def ends(self, name: str, row: Mapping[str, Any]) -> bool:
        """Whether a seed ends after this row."""
        number, steps = self._trial.get(name), row["env_steps"]
        if number not in self._judged:
            return False
        stop = self._stop[number]
        if stop is not None:
            return bool(steps > stop)
        mark = steps // self._every * self._every
        first = steps - self._batch[name] < mark
        if first and mark > 0 and mark >= self._judged[number] and FIGURE in row:
            self._hear(number, mark, name, row[FIGURE], steps)
        return False

    def _hear(self, number: int, mark: int, name: str, figure: float, steps: int) -> None:
        heard = self._heard.setdefault((number, mark), {})
        heard[name] = figure
        if len(heard) == self._seeds:
            del self._heard[number, mark]
            if self._study.judge(number, mark, interquartile_mean(list(heard.values())), self._rule):
                self._study.stop_after(number, steps)
                self._stop[number] = steps
