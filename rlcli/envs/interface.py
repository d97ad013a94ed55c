"""Vector environment interface: R x N environments stepped together, with autoreset left to the caller.

Shapes: R runs, N environments of one run. An environment whose episode ended must be reset before it is
stepped again, so that the observation before the reset is never lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rlcli.envs.spec import EnvSpec

Array = npt.NDArray[Any]


class Learnt(NamedTuple):
    """What a learner takes from a step, where that is not what happened: its figures are of what happened."""

    rewards: npt.NDArray[np.float64]
    """`[R, N]`."""
    terminated: npt.NDArray[np.bool_]
    """`[R, N]`: no reward is expected from here on, though the episode may go on."""


class Step(NamedTuple):
    """Transition of every environment by one step: new arrays, which neither side writes to afterwards.

    Both `terminated` and `truncated` may be true at once; termination then decides (bootstrap 0).
    """

    observations: Array
    """`[R, N, *observation]`: the true next observation, before any reset."""
    rewards: npt.NDArray[np.float64]
    """`[R, N]`."""
    terminated: npt.NDArray[np.bool_]
    """`[R, N]`: the episode ended in a state without a future."""
    truncated: npt.NDArray[np.bool_]
    """`[R, N]`: the episode was cut short; its last state has a future."""

    @property
    def lesson(self) -> Learnt:
        """Rewards and terminations to learn from: those that happened."""
        return Learnt(self.rewards, self.terminated)


class Taught(Step):
    """A transition that is learnt otherwise than it happened."""

    _taught: Learnt

    @classmethod
    def of(cls, step: Step, learnt: Learnt) -> Taught:
        """The transition with what is learnt of it."""
        found = cls(*step)
        found._taught = learnt
        return found

    @property
    def lesson(self) -> Learnt:
        """Rewards and terminations to learn from."""
        return self._taught


class VectorEnv(Protocol):
    """R x N environments of one kind; no run can change another's numbers."""

    spec: EnvSpec
    num_runs: int
    num_envs: int
    failures: dict[int, Exception]
    """Runs whose environment raised, or returned a number that is not finite. They are no longer stepped;
    their rows are zeros."""

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts a new episode where `mask [R, N]`, each with its own seed of `seeds [R, N]`.

        Seeds lie in 0 .. 2**31 - 1. Returns the current observations of all environments,
        `[R, N, *observation]`.
        """
        ...

    def step(self, actions: Array) -> Step:
        """Applies raw actions: `[R, N]` int64, or `[R, N, *shape]` float32, which are clipped here."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order; renumbers `failures`, closes the others' environments."""
        ...

    def close(self) -> None:
        """Releases the environments' resources; they cannot be used afterwards."""
        ...
