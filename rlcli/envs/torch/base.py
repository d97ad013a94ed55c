"""Base class of the torch environments: an array environment's episodes, with its states on a device.

The same equations in the same types, but torch's sine and cosine are not the C library's and round by an
element's place: numbers are the array version's within a tolerance, not to the last bit. 50 steps after
equal states, states and rewards are less than 1e-8 apart; 1e-5 in MountainCarContinuous-v0, which is
float32. First states are the array version's own.

Shapes: R runs, N environments of one run; S numbers of a state, O of an observation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.envs.array.base import NEVER, ArrayEnv
from rlcli.envs.array.draws import uniform
from rlcli.envs.failures import Failures, check_finite, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec


class Dynamics(NamedTuple):
    """Result of one time step of the equations, on the device."""

    state: Tensor
    """[S, R, N]."""
    rewards: Tensor
    """[R, N] float64."""
    terminated: Tensor
    """[R, N]."""


class Outcome(NamedTuple):
    """Rewards and episode ends of one time step, on the host."""

    rewards: npt.NDArray[np.float64]
    """[R, N]."""
    terminated: npt.NDArray[np.bool_]
    """[R, N]."""
    truncated: npt.NDArray[np.bool_]
    """[R, N]."""


class TorchEnv(ABC):
    """Environments of all runs, batched as one tensor of states on a device; results go to the host."""

    array_version: ClassVar[type[ArrayEnv]]
    """The numpy version: its arguments, its initial states, its layout of a state."""

    def __init__(
        self, spec: EnvSpec, num_runs: int, num_envs: int, kwargs: dict[str, Any], device: str
    ) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.kwargs = kwargs
        self.failures: Failures = {}
        self._time_limit = NEVER if spec.max_episode_steps is None else spec.max_episode_steps
        self._state = torch.zeros(
            self.array_version.width, num_runs, num_envs, dtype=torch.float64, device=device
        )
        self._elapsed = np.zeros((num_runs, num_envs), np.int64)

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        self.begin(seeds, mask)
        observations = self.observed().cpu().numpy()
        clear_rows(self.failures, observations)
        return observations

    def step(self, actions: Array) -> Step:
        """Applies actions `[R, N, ...]` for one time step."""
        outcome = self.move(torch.from_numpy(actions).to(self._state.device))
        observations = self.observed().cpu().numpy()
        clear_rows(self.failures, observations)
        return Step(observations, *outcome)

    def begin(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> None:
        """As `reset`, leaving the observations on the device."""
        drawn = uniform(seeds[mask], self.array_version.low, self.array_version.high)
        first = torch.from_numpy(self.array_version.first_states(drawn))
        device = self._state.device
        self._state[:, torch.from_numpy(mask).to(device)] = first.to(device)
        self._elapsed[mask] = 0

    def move(self, actions: Tensor) -> Outcome:
        """As `step`, with raw actions on the device, leaving the observations there."""
        self._state, rewards, terminated = self.advance(self._state, self._bounded(actions))
        self._elapsed += 1
        found = Outcome(rewards.cpu().numpy(), terminated.cpu().numpy(), self._elapsed >= self._time_limit)
        check_finite(self.failures, self.spec.id, found.rewards, "reward")
        clear_rows(self.failures, *found)
        return found

    def observed(self) -> Tensor:
        """Current observations `[R, N, O]`, on the device."""
        return self._state[: self.spec.observation.width].permute(1, 2, 0).float().contiguous()

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        kept = list(rows)
        self.failures = keep_rows(self.failures, kept)
        self._state, self._elapsed = self._state[:, kept], self._elapsed[kept]
        self.num_runs = len(kept)

    def close(self) -> None:  # noqa: B027
        """Does nothing: there are no resources to release."""

    @abstractmethod
    def advance(self, state: Tensor, actions: Tensor) -> Dynamics:
        """Advances states `[S, R, N]` by one time step, under actions that are clipped already."""

    def _bounded(self, actions: Tensor) -> Tensor:
        """As `ActionSpec.to_env`."""
        action = self.spec.action
        if action.kind != "box":
            return actions
        low, high = (torch.as_tensor(bound, device=actions.device) for bound in (action.low, action.high))
        if action.squashed:
            actions = low + (high - low) * (0.5 * (actions.tanh() + 1.0))
        return actions.clamp(low, high)
