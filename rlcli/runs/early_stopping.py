"""Early stopping (`stop_at.*`): a run ends once a metric has reached a threshold, several times in a row.

Counted are the evaluations that `eval.every` asks for, or of a training metric the rows that have it. The
decision depends on the rows of the run alone, so that a resumed or reproduced run ends at the same update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rlcli.catalog.table import METRICS
from rlcli.config.faults import Fault
from rlcli.config.schema.evaluation import StopAtConfig
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import display
from rlcli.errors import unknown

if TYPE_CHECKING:
    from rlcli.store.earlier_rows import EarlierRows

EVALUATION = "eval/"
"""Prefix of the metrics of evaluations."""
UNREPEATABLE, LISTS = "time/", "epochs/"
"""Prefixes of metrics that differ between equal runs, and of those with one number per epoch."""


def by_evaluations(settings: StopAtConfig) -> bool:
    """Whether evaluations end the run."""
    return settings.threshold is not None and settings.metric.startswith(EVALUATION)


class EarlyStopping:
    """Counter of the consecutive values of a run's `stop_at.metric` that reach its threshold."""

    def __init__(self, settings: StopAtConfig, earlier: Iterable[float] = ()) -> None:
        """`earlier` are the last values of the metric before now."""
        self._settings = settings
        self._reached = 0
        self._last = 0.0
        for value in earlier:
            self._count(value)

    def add(self, figures: Mapping[str, Any]) -> None:
        """Counts the metric's value if the figures have one."""
        value = figures.get(self._settings.metric)
        if self._settings.threshold is not None and value is not None:
            self._count(value)

    @property
    def reason(self) -> str | None:
        """Why the run ends now; None if it does not."""
        metric, threshold = self._settings.metric, self._settings.threshold
        wanted = self._settings.evaluations
        if threshold is None or self._reached < wanted:
            return None
        unit = "evaluations" if metric.startswith(EVALUATION) else "updates"
        times = f" in {wanted} consecutive {unit}" if wanted > 1 else ""
        return f"{metric}={self._last:.6g} reached stop_at.threshold={display(threshold)}{times}"

    def _count(self, value: float) -> None:
        threshold = self._settings.threshold
        assert threshold is not None
        higher = METRICS[self._settings.metric].direction == "higher"
        self._last = value
        self._reached = self._reached + 1 if (value >= threshold if higher else value <= threshold) else 0


def last_values(settings: StopAtConfig, rows: EarlierRows) -> tuple[float, ...]:
    """The values in the rows of an earlier process that early stopping still depends on."""
    if settings.threshold is None:
        return ()
    return tuple(rows.last_values(settings.metric, settings.evaluations))


def stop_at_fits(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """Faults of early stopping: a metric that is unknown, has no direction, or is measured too late."""
    settings, keys = config.stop_at, frozenset({"stop_at.metric"})
    if settings.threshold is None:
        for name in ("stop_at.metric", "stop_at.evaluations"):
            source = provenance.get(name, "default")
            if source == "command line" or source.startswith("experiment/"):
                yield Fault(f"{name} has no effect without stop_at.threshold.", frozenset({name}))
        return
    name = settings.metric
    metric = METRICS.get(name)
    if metric is None:
        yield Fault(f"stop_at.metric: {unknown('metric', name, list(METRICS))}", keys)
        return
    if name.startswith(LISTS):
        yield Fault(f"stop_at.metric={name} is a list, one number per epoch; choose a single number.", keys)
    elif name.startswith(UNREPEATABLE):
        yield Fault(f"stop_at.metric={name} differs from run to run: the run could not be repeated.", keys)
    elif metric.direction == "neither":
        yield Fault(
            f"stop_at.metric={name} is neither better high nor low: a threshold has no direction; choose a "
            "metric that is, such as eval/return_mean or train/return_100 (see: rlcli explain).",
            keys,
        )
    if name.startswith(EVALUATION):
        yield from _not_evaluated(config)
    if "jsonl" not in config.logger:
        yield Fault(
            "stop_at.threshold needs logger jsonl: a resumed run reads earlier values from metrics.jsonl.",
            frozenset({"stop_at.threshold", "logger"}),
        )


def _not_evaluated(config: RunConfig) -> Iterator[Fault]:
    """Faults of a metric of evaluations where there are none before the end of the run."""
    for name, value in (("eval.every", config.eval.every), ("eval.episodes", config.eval.episodes)):
        if value == 0:
            suggestion = f"set eval.every, such as {config.batch_size}" if name == "eval.every" else "set it"
            yield Fault(
                f"stop_at.metric={config.stop_at.metric} needs evaluations during training, and {name}=0: "
                f"{suggestion}, or use stop_at.metric=train/return_100.",
                frozenset({"stop_at.metric", name}),
            )
