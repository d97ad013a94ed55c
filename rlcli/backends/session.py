"""The interface of backends: a session of runs trained together, one update at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
from torch import Tensor

from rlcli.envs.spec import EnvSpec
from rlcli.nets.policy import Model, Snapshot

Array = npt.NDArray[Any]
Row = dict[str, Any]
"""One update's metrics: `update`, `env_steps`, `group/name` floats, `epochs/name` lists."""

OnCollected = Callable[[tuple[int, ...], int], None]
"""(runs, env steps of each in the update in progress)."""


@dataclass(frozen=True)
class Failure:
    """Why a run could not finish an update; its state stays at the update before."""

    error: Exception
    update: int
    """The update that failed, from 1."""
    batch: Mapping[str, Tensor] = field(default_factory=dict)
    """The offending data, for a look afterwards; empty when there is none."""


class Policy(NamedTuple):
    """One run's current policy with a run axis of 1."""

    model: Model
    snapshot: Snapshot


class Checkpoint(NamedTuple):
    """One run's full state: tensors without a run axis, and the number of updates done."""

    tensors: dict[str, Tensor]
    update: int


Initial = Mapping[str, Tensor]
"""What a run begins from in the place of fresh values, by the names of a checkpoint."""


class Session(Protocol):
    """Runs that train together; a run is known by its index in the configs the session started with."""

    spec: EnvSpec

    @property
    def runs(self) -> Sequence[int]:
        """Runs still in training."""

    def listen(self, on_collected: OnCollected) -> None:
        """Sets the function that is called while runs collect, a few times a second, and when they have."""

    def update(self) -> dict[int, Row | Failure]:
        """One update of every run; a failed run keeps its last good state until it is dropped."""

    def policy(self, run: int) -> Policy:
        """The run's current policy."""

    def state(self, run: int) -> Checkpoint:
        """Everything the run needs to resume elsewhere, alone or in another cohort."""

    def restarted(self, run: int) -> int:
        """Environments whose episode could not be restored at the start and was given up for the next."""

    def views(self, run: int) -> dict[str, Array]:
        """The tensors of `state` as arrays, on the host not copied: the next update may change them."""

    def scale_rate(self, run: int, factor: float) -> None:
        """Multiplies the run's learning rate from the next update on; only where an alert may lower it."""

    def drop(self, run: int) -> None:
        """Takes a run out; the others' numbers do not change."""

    def close(self) -> None:
        """Releases the environments."""
