"""Environments that go wrong in ways only training sees; registered when imported."""

from __future__ import annotations

import signal
import time
from typing import Any

import gymnasium

from tests.envs.probe import NOTHING, Probe


class Enormous(Probe):
    """Finite rewards that float32 cannot hold, from episode step `at`."""

    def __init__(self, at: int = 20) -> None:
        super().__init__()
        self.at = at

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return NOTHING.copy(), 1e300 if self.elapsed >= self.at else 1.0, False, False, {}


class Timed(Probe):
    """Fifty quiet steps an episode, but for step 5 of the episode with reset seed `seed`."""

    def __init__(self, seed: int = -1) -> None:
        super().__init__()
        self.chosen = seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.due = seed == self.chosen
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        if self.due and self.elapsed == 5:
            self.happen()
        return NOTHING.copy(), 1.0, self.elapsed == 50, False, {}

    def happen(self) -> None:
        """What is special about that step."""
        raise NotImplementedError


class Interrupting(Timed):
    """Somebody presses Ctrl-C."""

    def happen(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Stuck(Timed):
    """It hangs for longer than any test waits."""

    def happen(self) -> None:
        time.sleep(600)


class Slow(Timed):
    """Each of its next steps takes a while."""

    def happen(self) -> None:
        self.slow = True

    def step(self, action: Any) -> Any:
        if getattr(self, "slow", False):
            time.sleep(0.2)
        return super().step(action)


ENVIRONMENTS = {
    "Enormous-v0": Enormous, "Interrupting-v0": Interrupting, "Slow-v0": Slow, "Stuck-v0": Stuck,
}  # fmt: skip

for name, environment in ENVIRONMENTS.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, environment)
