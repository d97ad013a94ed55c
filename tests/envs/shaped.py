"""Environments of every space: nested, shifted, bounded, structured."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from tests.envs.probe import Probe, box


class Wandering(Probe):
    """Structured spaces over many steps: a random walk that its action pushes. `space` of what is seen (where
    it is, the action before, the steps): dict or tuple; `action`: multidiscrete or multibinary.
    """

    ACTIONS: ClassVar[dict[str, spaces.Space[Any]]] = {
        "multidiscrete": spaces.MultiDiscrete([[3, 2], [2, 4]], start=[[1, 0], [0, -2]]),
        "multibinary": spaces.MultiBinary((2, 2)),
    }

    def __init__(self, space: str = "dict", action: str = "multidiscrete") -> None:
        super().__init__()
        self.action_space = self.ACTIONS[action]
        place = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        members = {"place": place, "before": self.action_space, "clock": spaces.Discrete(40)}
        self.as_tuple = space == "tuple"
        self.observation_space = (
            spaces.Tuple(list(members.values())) if self.as_tuple else spaces.Dict(members)
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=2)
        self.before = np.array(getattr(self.action_space, "start", np.zeros((2, 2), np.int8)))
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.elapsed += 1
        self.before = action.copy()
        self.place += action.sum(0) * 0.1 + self.np_random.normal(size=2) * 0.1
        over = self.elapsed == 39 or self.np_random.random() < 0.02
        return self.observe(), -float(abs(self.place).sum()), over, False, {}

    def observe(self) -> Any:
        """What is seen."""
        members = {"place": self.place.copy(), "before": self.before, "clock": self.elapsed}
        return tuple(members.values()) if self.as_tuple else members


class Shifted(Probe):
    """Discrete spaces that do not begin at 0: actions 5 .. 7, observations -3 .. 8, the last action taken."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Discrete(12, start=-3)
        self.action_space = spaces.Discrete(3, start=5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return -3, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return int(action), 0.0, False, False, {}


class Echo(Probe):
    """Gives back the action it took as its observation, of any shape and bounds."""

    def __init__(self, low: Any = -1.0, high: Any = 1.0, shape: Any = (2,), dtype: str = "float32") -> None:
        super().__init__()
        low, high = (np.broadcast_to(np.array(bound, dtype), shape) for bound in (low, high))
        self.action_space = spaces.Box(low, high, tuple(shape), np.dtype(dtype).type)
        self.observation_space = spaces.Box(-np.inf, np.inf, tuple(shape), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(self.action_space.shape), {}

    def step(self, action: Any) -> Any:
        assert isinstance(action, np.ndarray), type(action)
        assert self.action_space.contains(action), action
        return np.array(action, np.float64), 0.0, False, False, {}


class Spaces(Probe):
    """Any spaces, named: `observation` and `action` are keys of `SPACES`."""

    SPACES: ClassVar[dict[str, spaces.Space[Any]]] = {
        "box": box(size=3),
        "wide": spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
        "scalar": spaces.Box(-1.0, 1.0, (), np.float32),
        "integers": spaces.Box(0, 9, (2,), np.int64),
        "image": spaces.Box(0, 255, (8, 6, 3), np.uint8),
        "discrete": spaces.Discrete(4),
        "dict": spaces.Dict(
            {"position": box(size=2), "door": spaces.Discrete(3, start=-1), "lamps": spaces.MultiBinary(2)}
        ),
        "tuple": spaces.Tuple((box(), spaces.Discrete(2), spaces.MultiDiscrete([2, 3], start=[1, -4]))),
        "pixels": spaces.Tuple((spaces.Box(0, 255, (2, 2), np.uint8), spaces.Box(-1.0, 1.0, (), np.float64))),
        "multidiscrete": spaces.MultiDiscrete([2, 3]),
        "grid": spaces.MultiDiscrete([[2, 3], [1, 4]], start=[[0, 7], [-3, 1]]),
        "multibinary": spaces.MultiBinary(3),
        "board": spaces.MultiBinary((2, 3)),
        "text": spaces.Text(4),
        "sequence": spaces.Sequence(spaces.Discrete(2)),
        "nested": spaces.Dict({"arm": spaces.Dict({"angle": box()}), "height": box()}),
        "nested tuple": spaces.Tuple((box(), spaces.Tuple((box(),)))),
        "camera": spaces.Dict({"camera": spaces.Box(0, 255, (8, 6, 3), np.uint8), "height": box()}),
        "spoken": spaces.Dict({"height": box(), "word": spaces.Text(4)}),
        "empty": spaces.Dict({}),
    }

    def __init__(self, observation: str = "box", action: str = "discrete") -> None:
        super().__init__()
        self.observation_space = self.SPACES[observation]
        self.action_space = self.SPACES[action]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}
