"""Position of each environment in its episodes, for messages: episode, step, reset seed, action.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlcli.envs.boundary import InvalidResult
from rlcli.envs.interface import Array
from rlcli.envs.spec import ActionSpec, EnvSpec
from rlcli.envs.untrusted import contained
from rlcli.envs.user_code import prefixed
from rlcli.errors import EnvironmentFault
from rlcli.text import shown


class Episode(NamedTuple):
    """Episode of one environment; number 0: none has begun yet."""

    number: int = 0
    began: int = 0
    """Steps of all environments before its reset."""
    seed: int = 0


class EpisodeLog:
    """Current episodes of R x N environments."""

    def __init__(self, spec: EnvSpec, num_runs: int, num_envs: int) -> None:
        self.clock = 0
        """Steps of all environments since they were made."""
        self._spec = spec
        self._sent: Array | None = None
        self._episodes = [[Episode()] * num_envs for _ in range(num_runs)]

    def begin(self, run: int, index: int, seed: int) -> None:
        """Records the reset of an environment."""
        number = self._episodes[run][index].number + 1
        self._episodes[run][index] = Episode(number, self.clock, seed)

    def step(self, sent: Array) -> None:
        """Records a step of all environments with actions `[R, N, ...]`, as the environments got them."""
        self.clock += 1
        self._sent = sent

    def number(self, run: int, index: int) -> int:
        """Number of an environment's episode, from 1; 0 before its first reset."""
        return self._episodes[run][index].number

    def any_first(self, run: int) -> bool:
        """Whether an environment of the run is in its first episode."""
        return any(episode.number == 1 for episode in self._episodes[run])

    def length(self, run: int, index: int) -> int:
        """Steps of an environment's episode so far."""
        return self.clock - self._episodes[run][index].began

    def where(self, run: int, index: int) -> str:
        """Environment, step, episode, reset seed and last action, for a message."""
        number, _, seed = self._episodes[run][index]
        step, given = self.length(run, index), f"reset seed {seed}"
        environment = f"environment {self._spec.first + index}"
        if not step:
            return f"{environment}, the reset of its episode {number} ({given})"
        if self._sent is not None:
            action = list(split_actions(self._spec.action, self._sent[run]))[index]
            given += f", action {shown(action)}"
        return f"{environment}, step {step} of its episode {number} ({given})"

    def failure(self, run: int, index: int, error: BaseException, place: str | None = None) -> Exception:
        """A failure of an environment as the exception that ends its run.

        `place` is file and line of the user's method that returned what is invalid.
        """
        where = self.where(run, index)
        if isinstance(error, InvalidResult):
            culprit = prefixed(place, f"{self._spec.named}, {where}")
            return EnvironmentFault(f"{culprit} returned an invalid result: {error}.")
        failure = contained(error, f"{self._spec.named}, {where},")
        with contextlib.suppress(Exception):
            failure.add_note(f"In {self._spec.named}, {where}.")
        return failure

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        self._episodes = [self._episodes[run] for run in rows]
        if self._sent is not None:
            self._sent = self._sent[list(rows)]


def split_actions(action: ActionSpec, sent: Array) -> Iterable[Any]:
    """Splits one run's actions [N, ...] into one per environment."""
    if action.kind == "discrete":
        # Python's own integers: `Discrete.contains` checks them twice as fast as numpy's.
        return list(sent.tolist())
    # An array of rank 1 comes apart into scalars, which a `Box` of shape () does not contain.
    return map(np.asarray, sent) if action.kind == "box" and not action.shape else sent
