"""The functions that modules of the user's registered, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OwnNetwork:
    """A network."""

    factory: Callable[..., Any]
    """(observation space, action space, outputs, **keys) -> torch.nn.Module."""
    place: str


@dataclass(frozen=True)
class OwnAlgorithm:
    """An algorithm; what it does not have is rlcli's, as its row says."""

    place: str
    surrogate: Callable[..., Any] | None = None
    targets: Callable[..., Any] | None = None
    penalty: Callable[..., Any] | None = None
    step_rule: Callable[..., Any] | None = None


@dataclass(frozen=True)
class OwnMetric:
    """A metric."""

    figure: Callable[..., Any]
    module: str
    place: str


NETWORKS: dict[str, OwnNetwork] = {}
ALGORITHMS: dict[str, OwnAlgorithm] = {}
METRICS: dict[str, OwnMetric] = {}
