"""Base class of the numpy environments: episodes over `[R, N]`, and the rules that keep them exact.

An array environment gives Gymnasium's numbers to the last bit, so it repeats Gymnasium's arithmetic, every
product and quotient in the same order and type, since another would round otherwise. Gymnasium computes with
scalars, and the same on arrays may give another number. Sine, cosine and remainder do not, at any length:
numpy asks the C library, as `math` does. But `x ** 2` of a scalar is C's `pow`, one bit off x x now and
then, and of an array it is x x; `np.float_power` calls `pow` for every element.

Results go into buffers made once, since allocation would cost as much as arithmetic.

Shapes: R runs, N environments of one run; S numbers of a state, O of an observation, D drawn at a reset; K
environments that are being reset.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rlcli.envs.array.draws import uniform
from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max


def constant(value: float) -> Doubles:
    """Array of rank 0, which a ufunc takes faster than a Python float."""
    return np.array(value, np.float64)


TWO = constant(2.0)


def clamp(values: Array, low: Array, high: Array) -> None:
    """Clamps values to low .. high, in place."""
    np.maximum(values, low, out=values)
    np.minimum(values, high, out=values)


class ArrayEnv(ABC):
    """Environments of all runs, batched as one array of states."""

    supported_kwargs: ClassVar[frozenset[str]]
    """The `env.kwargs` this version supports, all of them finite numbers."""
    width: ClassVar[int]
    """S, at least O: the state begins with the observation."""
    low: ClassVar[Doubles]
    high: ClassVar[Doubles]
    """[D]: bounds of the uniform draws of a reset."""

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any]) -> None:
        self.spec = spec
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._time_limit = np.array(NEVER if spec.max_episode_steps is None else spec.max_episode_steps)
        # No choice leads to a number that is not finite; the torque of a policy that diverged does.
        self._may_fail = spec.action.kind == "box"
        self._adopt(np.zeros((self.width, num_runs, num_envs)), np.zeros((num_runs, num_envs), np.int64))

    def reset(self, seeds: npt.NDArray[np.int64], mask: Flags) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        where = np.flatnonzero(mask)
        drawn = uniform(seeds.ravel()[where], self.low, self.high)
        self._state.reshape(self.width, -1)[:, where] = self.first_states(drawn)
        self._elapsed.reshape(-1)[where] = 0
        observations = self._observe()
        clear_rows(self.failures, observations)
        return observations

    def step(self, actions: Array) -> Step:
        """Applies actions `[R, N, ...]` for one time step."""
        rewards, terminated = self._advance(actions)
        self._elapsed += 1
        truncated = np.greater_equal(self._elapsed, self._time_limit)
        step = Step(self._observe(), rewards, terminated, truncated)
        if self._may_fail and (self.failures or not math.isfinite(np.vdot(rewards, rewards))):
            check_finite(self.failures, self.spec.id, step.observations, "observation", self._named)
            clear_rows(self.failures, *step)
        return step

    def _named(self, _: int, index: int) -> str:
        return f"{self.spec.id}: environment {self.spec.first + index}"

    def rolled(self, steps: Callable[[], None]) -> None:
        """Has them stepped by what acts for the policy as well, in one call."""
        steps()

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        kept = list(rows)
        self.failures = keep_rows(self.failures, rows)
        self._adopt(self._state[:, kept].copy(), self._elapsed[kept].copy())

    def close(self) -> None:  # noqa: B027
        """Does nothing: there are no resources to release."""

    @property
    def setting(self) -> float:
        """The number that `env.kwargs` may change, besides `max_episode_steps`; 0 where there is none."""
        return 0.0

    @property
    def memory(self) -> tuple[Doubles, npt.NDArray[np.int64]]:
        """States `[S, R, N]` and steps since the resets `[R, N]`: who writes there moves the environments."""
        return self._state, self._elapsed

    @staticmethod
    @abstractmethod
    def first_states(drawn: Doubles) -> Doubles:
        """Initial states `[S, K]` of episodes, from the draws `drawn [D, K]`."""

    @abstractmethod
    def _advance(self, actions: Array) -> tuple[Doubles, Flags]:
        """Advances the states by one time step; new arrays `[R, N]`: rewards, terminated."""

    @abstractmethod
    def _prepare(self) -> None:
        """Allocates the views and buffers that fit the state."""

    def _adopt(self, state: Doubles, elapsed: npt.NDArray[np.int64]) -> None:
        """Sets the states `[S, R, N]` and the steps since the resets `[R, N]`."""
        self.num_runs = elapsed.shape[0]
        self._state, self._elapsed = state, elapsed
        self._observed = state[: self.spec.observation.width].transpose(1, 2, 0)
        self._prepare()

    def _observe(self) -> npt.NDArray[np.float32]:
        """Observations `[R, N, O]`."""
        return self._observed.astype(np.float32, order="C")
