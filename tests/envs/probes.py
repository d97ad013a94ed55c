"""Environments whose values are known by arithmetic, and environments that go wrong on purpose.

Registered when imported: `gymnasium.make("tests.envs.probes:ProbeConstant-v0")`. Each of the first
ten isolates one thing a learner must get right, so that a failure says what is wrong.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

NOTHING = np.zeros(1, np.float32)


def _box(low: float = -1.0, high: float = 1.0, size: int = 1) -> spaces.Box:
    return spaces.Box(low, high, (size,), np.float32)


class Probe(gymnasium.Env[Any, Any]):
    """An environment of one number in and one choice out."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self) -> None:
        self.observation_space: Any = _box()
        self.action_space: Any = spaces.Discrete(2)
        self.elapsed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.elapsed = 0
        return NOTHING.copy(), {}


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
        self.action_space = _box()

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
            {"way": spaces.Discrete(3, start=-1), "height": _box(), "lamps": spaces.MultiBinary(2)}
        ),
        "tuple": spaces.Tuple((spaces.MultiDiscrete([3, 2], start=[5, -1]), _box(size=2))),
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


class Faulty(Probe):
    """At step `at` of an episode it raises, or gives NaN or infinity; only in the episode of reset seed
    `seed`, if that is given. `fault`: raise, reward, observation, infinity, reset.
    """

    def __init__(self, fault: str = "raise", at: int = 3, seed: int | None = None) -> None:
        super().__init__()
        self.fault, self.at, self.chosen = fault, at, seed

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.due = self.chosen is None or self.chosen == seed
        if self.due and self.fault == "reset":
            raise RuntimeError("broken at reset")
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        observation, reward = np.full(1, 0.01 * self.elapsed, np.float32), 1.0
        if self.due and self.elapsed == self.at:
            if self.fault == "raise":
                raise RuntimeError(f"broken at step {self.at}")
            if self.fault == "reward":
                reward = math.nan
            else:
                observation[0] = math.inf if self.fault == "infinity" else math.nan
        return observation, reward, self.elapsed == 20, False, {}


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
        "box": _box(size=3),
        "wide": spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
        "scalar": spaces.Box(-1.0, 1.0, (), np.float32),
        "integers": spaces.Box(0, 9, (2,), np.int64),
        "image": spaces.Box(0, 255, (8, 6, 3), np.uint8),
        "discrete": spaces.Discrete(4),
        "dict": spaces.Dict(
            {"position": _box(size=2), "door": spaces.Discrete(3, start=-1), "lamps": spaces.MultiBinary(2)}
        ),
        "tuple": spaces.Tuple((_box(), spaces.Discrete(2), spaces.MultiDiscrete([2, 3], start=[1, -4]))),
        "pixels": spaces.Tuple((spaces.Box(0, 255, (2, 2), np.uint8), spaces.Box(-1.0, 1.0, (), np.float64))),
        "multidiscrete": spaces.MultiDiscrete([2, 3]),
        "grid": spaces.MultiDiscrete([[2, 3], [1, 4]], start=[[0, 7], [-3, 1]]),
        "multibinary": spaces.MultiBinary(3),
        "board": spaces.MultiBinary((2, 3)),
        "text": spaces.Text(4),
        "sequence": spaces.Sequence(spaces.Discrete(2)),
        "nested": spaces.Dict({"arm": spaces.Dict({"angle": _box()}), "height": _box()}),
        "nested tuple": spaces.Tuple((_box(), spaces.Tuple((_box(),)))),
        "camera": spaces.Dict({"camera": spaces.Box(0, 255, (8, 6, 3), np.uint8), "height": _box()}),
        "spoken": spaces.Dict({"height": _box(), "word": spaces.Text(4)}),
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


class Impossible(Probe):
    """At step 3 it shows a choice that its Dict space does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(
            {"door": spaces.Discrete(3, start=-1), "lamps": spaces.MultiBinary(2)}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return {"door": -1, "lamps": np.zeros(2, np.int8)}, {}

    def step(self, action: Any) -> Any:
        self.elapsed += 1
        return {"door": 2 if self.elapsed == 3 else 1, "lamps": np.ones(2, np.int8)}, 0.0, False, False, {}


class Remembering(Probe):
    """The instance's past flows into the next episode: it observes how many steps it has ever made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def step(self, action: Any) -> Any:
        self.seen += 1
        self.elapsed += 1
        return np.array([self.seen], np.float32), 0.0, self.elapsed == 7, False, {}


class Unrepeatable(Probe):
    """A count of the process flows into every step: no replay gives the same episode."""

    count = itertools.count()

    def __init__(self, space: str = "box") -> None:
        super().__init__()
        self.wrapped = {
            "box": lambda seen: seen,
            "dict": lambda seen: {"seen": seen},
            "tuple": lambda seen: (seen,),
        }[space]
        seen = _box()
        self.observation_space = {
            "box": seen,
            "dict": spaces.Dict({"seen": seen}),
            "tuple": spaces.Tuple((seen,)),
        }[space]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.wrapped(NOTHING.copy()), {}

    def step(self, action: Any) -> Any:
        return self.wrapped(np.array([next(self.count)], np.float32)), 0.0, False, False, {}


PROBES = {
    "ProbeConstant-v0": Constant,
    "ProbeObserved-v0": Observed,
    "ProbeDiscounted-v0": Discounted,
    "ProbeChoice-v0": Choice,
    "ProbeAim-v0": Aim,
    "ProbeMatch-v0": Match,
    "ProbeLevers-v0": Levers,
    "ProbeSwitches-v0": Switches,
    "ProbeRiddle-v0": Riddle,
    "ProbeWandering-v0": Wandering,
    "ProbeTimeLimit-v0": TimeLimitProbe,
    "ProbeFaulty-v0": Faulty,
    "ProbeShifted-v0": Shifted,
    "ProbeEcho-v0": Echo,
    "ProbeSpaces-v0": Spaces,
    "ProbeImpossible-v0": Impossible,
    "ProbeRemembering-v0": Remembering,
    "ProbeUnrepeatable-v0": Unrepeatable,
}

for name, probe in PROBES.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, probe)
