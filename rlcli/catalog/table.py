"""Table of all metrics by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rlcli.catalog.episodes import evaluation, position, training
from rlcli.catalog.machine import actors, times
from rlcli.catalog.metric import Metric
from rlcli.catalog.policies import divergences, ratios, tail
from rlcli.catalog.updates import auxiliary, epochs, losses, update, weights


def _all() -> Iterator[Metric]:
    yield from position()
    yield from training()
    yield from evaluation()
    yield from ratios("behaviour", "μ", "")
    yield from divergences("behaviour", "μ", "mu")
    yield tail()
    weighted = " Under lag each sample carries the weight anchor/μ, self-normalised."
    yield from ratios("update", "anchor", weighted)
    yield from divergences("update", "anchor", "anchor")
    yield from update()
    yield from weights()
    yield from losses()
    yield from auxiliary()
    yield from epochs()
    yield from times()
    yield from actors()


_METRICS = {metric.name: metric for metric in _all()}
METRICS: Mapping[str, Metric] = MappingProxyType(_METRICS)
"""Every metric by its name, in the order in which groups are read; those of the user's own code come last."""


def add(metric: Metric) -> None:
    """Adds a metric of the user's own code."""
    _METRICS[metric.name] = metric


HEADLINES = (
    "train/return_100",
    "eval/return_mean",
    "behaviour/ess",
    "behaviour/khat",
    "behaviour/clip_fraction",
    "behaviour/kl_mu_pi",
    "behaviour/kl_pi_mu",
    "update/budget_used",
    "update/entropy",
    "update/explained_variance",
    "time/steps_per_second",
)
"""The most informative metrics of a row, for summaries."""
