"""Environments whose values are known by arithmetic.

Each isolates one thing a learner must get right, so that a failure says what is wrong.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from tests.envs.probe import NOTHING, Probe, box


class Constant(Probe):
    """One step, reward 1, nothing to see: V = 1."""

    def step(self, action: Any) -> Any:
        return NOTHING.copy(), 1.0, True, False, {}


class Observed(Probe):
    """One step; the reward is the observation, -1 or 1 by the reset seed: V(o) = o."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.sign = 1.0 if self.np_random.random() < 0.5 else -1.0
        return np.array([self.sign], np.float32), {}

    def step(self, action: Any) -> Any:
        return np.array([self.sign], np.float32), self.sign, True, False, {}


class Recall(Probe):
    """Ten steps, and at the last the action that the first observation named pays 1, the other -1.

    What is seen is -1 or 1 by the reset seed, then 0: a policy without memory has mean return 0.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.right = int(self.np_random.random() < 0.5)
        return np.array([2.0 * self.right - 1.0], np.float32), {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        over = self.elapsed == 10
        reward = 1.0 if action == self.right else -1.0
        return NOTHING.copy(), reward if over else 0.0, over, False, {}


class Discounted(Probe):
    """Two steps, observations 0 then 1, reward 1 at the end: V(1) = 1, V(0) = gamma."""

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return np.ones(1, np.float32), float(self.elapsed == 2), self.elapsed == 2, False, {}


class Choice(Probe):
    """One step: action 1 pays 1, action 0 pays -1. The best policy always takes 1."""

    def step(self, action: Any) -> Any:
        return NOTHING.copy(), 1.0 if action == 1 else -1.0, True, False, {}


class Aim(Probe):
    """One step: reward -(action - 0.5)^2. The best mean is 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = box()

    def step(self, action: Any) -> Any:
        return NOTHING.copy(), -float((action[0] - 0.5) ** 2), True, False, {}


class Match(Observed):
    """One step: reward 1 when the action (0, 1) names the sign seen (-1, 1), else -1. V = 1 for the best."""

    def step(self, action: Any) -> Any:
        hit = (action == 1) == (self.sign > 0)
        return np.array([self.sign], np.float32), 1.0 if hit else -1.0, True, False, {}


class Levers(Observed):
    """One step, a MultiDiscrete action: each lever in the place the sign seen (-1, 1) asks for pays 1/3, any
    other place costs 1/3. V = 1 for the best.
    """

    RIGHT: ClassVar[dict[float, tuple[int, ...]]] = {-1.0: (3, 0, -1), 1.0: (1, 1, -3)}
    """By sign; lever i has 3, 2 and 4 places, from 1, 0 and -4."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiDiscrete([3, 2, 4], start=[1, 0, -4])

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        right = action == self.RIGHT[self.sign]
        return np.array([self.sign], np.float32), float(np.where(right, 1, -1).mean()), True, False, {}


class Switches(Levers):
    """As `Levers`, of four switches: a MultiBinary action."""

    RIGHT: ClassVar[dict[float, tuple[int, ...]]] = {-1.0: (0, 1, 1, 0), 1.0: (1, 1, 0, 0)}

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.MultiBinary(4)


class Riddle(Probe):
    """One step; what is seen says by `answer` which action (0, 1) pays 1, the other costs 1. V = 1 for the
    best. `space` is a key of `SPACES`; in each, no single number gives the answer.
    """

    SPACES: ClassVar[dict[str, spaces.Space[Any]]] = {
        "multidiscrete": spaces.MultiDiscrete([3, 2], start=[5, -1]),
        "multibinary": spaces.MultiBinary(2),
        "dict": spaces.Dict(
            {"way": spaces.Discrete(3, start=-1), "height": box(), "lamps": spaces.MultiBinary(2)}
        ),
        "tuple": spaces.Tuple((spaces.MultiDiscrete([3, 2], start=[5, -1]), box(size=2))),
    }

    def __init__(self, space: str = "dict") -> None:
        super().__init__()
        self.name = space
        self.observation_space = self.SPACES[space]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.seen = self.observation_space.sample()
        return self.seen, {}

    def step(self, action: Any) -> Any:
        return self.seen, 1.0 if action == self.answer(self.name, self.seen) else -1.0, True, False, {}

    @staticmethod
    def answer(name: str, seen: Any) -> int:
        """The action that pays."""
        if name == "multibinary":
            return int(seen[0] and not seen[1])
        if name == "dict":
            return int(seen["way"] == 0 or seen["lamps"][1])
        places = seen if name == "multidiscrete" else seen[0]
        return int(places[0] == 6 or places[1] == 0)


class TimeLimitProbe(Probe):
    """Reward 1 for five steps, and no clock to see: at gamma 0.9, V(s0) is 4.0951 if the end terminates,
    10 if it truncates. `end` is terminated, truncated or both.
    """

    def __init__(self, end: str = "terminated") -> None:
        super().__init__()
        self.end = end

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        over = self.elapsed == 5
        return NOTHING.copy(), 1.0, over and self.end != "truncated", over and self.end != "terminated", {}
