"""Pruner of a cohort: after each row, whether a run of a trial ends early.

A trial is compared when all its seeds, which train together, first reach a multiple of sweep.prune_every, by
the interquartile mean of their train/return_100. A decision is written to the study before any run acts on
it, and all seeds of the trial end at their next row: at the same update, also if a kill comes in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlcli.config.schema.run import RunConfig
from rlcli.maths.location import interquartile_mean
from rlcli.sweeps.search.objectives import objectives, read_settings

if TYPE_CHECKING:
    from rlcli.sweeps.search.study import Study

FIGURE = "train/return_100"


def cohort_pruner(
    directory: Path, names: Sequence[str], configs: Sequence[RunConfig], trials: Sequence[int | None]
) -> CohortPruner | None:
    """The pruner of the trials in a cohort; None if the cohort has no trials or the sweep prunes none.

    Raises:
        StorageError: the sweep's settings or its study are damaged.
    """
    members: dict[int, list[str]] = {}
    for name, trial in zip(names, trials, strict=True):
        if trial is not None:
            members.setdefault(trial, []).append(name)
    if not members:
        return None
    settings = read_settings(directory)
    if settings.sweep.pruner == "none":
        return None
    from rlcli.sweeps.search.study import Study

    study = Study.open(directory, objectives(settings.sweep))
    batch = {name: config.batch_size for name, config in zip(names, configs, strict=True)}
    return CohortPruner(study, settings, members, batch)


class CohortPruner:
    """Prunes the trials of a cohort."""

    def __init__(
        self,
        study: Study,
        settings: RunConfig,
        members: Mapping[int, Sequence[str]],
        batch: Mapping[str, int],
    ) -> None:
        """`members` are the seeds of each trial that train here, `batch` the samples of a seed's update."""
        from rlcli.sweeps.search.sampler import pruning_rule

        self._study, self._every, self._batch = study, settings.sweep.prune_every, batch
        self._rule = pruning_rule(settings)
        self._trial = {name: number for number, names in members.items() for name in names}
        self._seeds = settings.sweep.replicas
        known = {trial.number: trial for trial in study.trials()}
        self._stop = {number: known[number].stop for number in members if number in known}
        self._compared = {number: known[number].compared for number in members if number in known}
        """The last step at which each trial was compared. It is compared there again, since a kill may have
        come before the decision was written, but not at earlier steps.
        """
        self._figures: dict[tuple[int, int], dict[str, float]] = {}

    def ends(self, name: str, row: Mapping[str, Any]) -> bool:
        """Whether a seed ends after this row."""
        number, steps = self._trial.get(name), row["env_steps"]
        if number not in self._compared:
            return False
        stop = self._stop[number]
        if stop is not None:
            return bool(steps > stop)
        mark = steps // self._every * self._every
        first = steps - self._batch[name] < mark
        if first and mark > 0 and mark >= self._compared[number] and FIGURE in row:
            self._compare(number, mark, name, row[FIGURE], steps)
        return False

    def _compare(self, number: int, mark: int, name: str, figure: float, steps: int) -> None:
        figures = self._figures.setdefault((number, mark), {})
        figures[name] = figure
        if len(figures) == self._seeds:
            del self._figures[number, mark]
            if self._study.should_prune(number, mark, interquartile_mean(list(figures.values())), self._rule):
                self._study.stop_after(number, steps)
                self._stop[number] = steps
