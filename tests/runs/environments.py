"""Environments that go wrong in ways only training sees; registered when imported."""

from __future__ import annotations

from typing import Any

import gymnasium

from tests.envs.probes import NOTHING, Probe


class Enormous(Probe):
    """Finite rewards that float32 cannot hold, from episode step `at`."""

    def __init__(self, at: int = 20) -> None:
        super().__init__()
        self.at = at

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return NOTHING.copy(), 1e300 if self.elapsed >= self.at else 1.0, False, False, {}


class Interrupting(Probe):
    """Presses Ctrl-C at step `at` of the episode with reset seed `seed`; an episode has 50 steps."""

    def __init__(self, at: int = 5, seed: int = -1) -> None:
        super().__init__()
        self.at, self.chosen = at, seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.due = seed == self.chosen
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        import signal

        self.elapsed += 1
        if self.due and self.elapsed == self.at:
            signal.raise_signal(signal.SIGINT)
        return NOTHING.copy(), 1.0, self.elapsed == 50, False, {}


for name, environment in {"Enormous-v0": Enormous, "Interrupting-v0": Interrupting}.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, environment)
