"""Environments that allow some of their actions only, and assert that no other is taken."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from tests.envs.probe import Probe, box

LENGTH = 6


class Corridor(Probe):
    """A corridor of 6 places from left to right; a reward of 1 at its right end, -0.01 for each step.

    Actions: wait, left, right, and a trap that is never allowed. No step left at the left end; `wait` is
    allowed on even steps. `given`: info, observation or nowhere; `fault` spoils the mask of step 3 of
    episodes that begin with the reset seed `seed` (None: of all).
    """

    def __init__(self, given: str = "info", fault: str = "none", seed: int | None = None) -> None:
        super().__init__()
        self.given, self.fault, self.faulty_seed = given, fault, seed
        self.action_space = spaces.Discrete(4, start=2)
        place = box(0.0, LENGTH - 1.0)
        self.observation_space = place
        if given == "observation":
            self.observation_space = spaces.Dict({"place": place, "legal": spaces.MultiBinary(4)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.spoilt = self.fault != "none" and self.faulty_seed in (None, seed)
        self.place = int(self.np_random.integers(LENGTH - 1))
        return self.seen()

    def step(self, action: Any) -> Any:
        assert self.mask()[action - self.action_space.start], f"action {action} is not allowed"
        self.elapsed += 1
        self.place += (0, -1, 1, 0)[action - self.action_space.start]
        over = self.place == LENGTH - 1
        observation, info = self.seen()
        return observation, 1.0 if over else -0.01, over, self.elapsed == 20 and not over, info

    def mask(self) -> np.ndarray:
        """Which actions are allowed now."""
        if self.place == LENGTH - 1:
            return np.zeros(4, np.int8)
        return np.array([self.elapsed % 2 == 0, self.place > 0, True, False], np.int8)

    def seen(self) -> Any:
        """Observation and info."""
        mask: Any = self.mask()
        if self.spoilt and self.elapsed == 3:
            mask = {
                "short": mask[:3], "text": np.array(list("1010")), "values": mask * 2, "nothing": mask * 0,
                "missing": None, "not a number": np.full(4, np.nan),
            }[self.fault]  # fmt: skip
        place = np.array([self.place], np.float32)
        if self.given == "observation":
            return {"place": place, "legal": mask}, {}
        return place, {} if mask is None or self.given == "nowhere" else {"action_mask": mask}


class Doors(Probe):
    """One step, a MultiDiscrete action of 3 and 4 choices, of which the sign seen allows 2 each.

    Reward 1 for the higher allowed choice of each, else 0.
    """

    ALLOWED: ClassVar[dict[float, Any]] = {-1.0: ((1, 1, 0), (0, 1, 0, 1)), 1.0: ((0, 1, 1), (1, 0, 1, 0))}

    def __init__(self, joined: bool = True) -> None:
        super().__init__()
        self.joined = joined
        self.action_space = spaces.MultiDiscrete([3, 4])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.sign = 1.0 if self.np_random.random() < 0.5 else -1.0
        allowed = tuple(np.array(part, np.int8) for part in self.ALLOWED[self.sign])
        info = {"action_mask": np.concatenate(allowed) if self.joined else allowed}
        return np.array([self.sign], np.float32), info

    def step(self, action: Any) -> Any:
        allowed = [np.array(part) for part in self.ALLOWED[self.sign]]
        assert all(part[choice] for part, choice in zip(allowed, action, strict=True)), action
        best = [part.nonzero()[0].max() for part in allowed]
        return np.array([self.sign], np.float32), float(np.equal(action, best).mean()), True, False, {}
