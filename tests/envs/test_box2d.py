"""LunarLander stepped by rlcli is Gymnasium's, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.box2d.choice import BOX2D_ENVS, obstacle
from rlcli.envs.box2d.lander import Lander
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.instance import instance
from rlcli.envs.interface import VectorEnv
from rlcli.envs.registry import describe, make
from rlcli.errors import UserError

pytest.importorskip("Box2D")

ID, CONTINUOUS = BOX2D_ENVS


def pair(env_id: str, kwargs: dict[str, Any]) -> list[VectorEnv]:
    """Ours and Gymnasium's: two runs of two environments."""
    return [
        make(EnvConfig(id=env_id, backend=backend, kwargs=kwargs), 2, num_envs=2)
        for backend in ("box2d", "gymnasium")
    ]


def policy(env: VectorEnv, number: int, draws: np.random.Generator) -> Any:
    """Actions [2, 2]: random, with engines on more often in every other episode-long stretch."""
    shape = (env.num_runs, env.num_envs)
    often = number // 100 % 2 == 1
    if env.spec.action.kind == "discrete":
        return draws.choice(4, size=shape, p=[0.1, 0.15, 0.6, 0.15] if often else [0.25] * 4)
    return ((2.0 if often else 0.7) * draws.standard_normal((*shape, 2))).astype(np.float32)


def compare(env_id: str, steps: int, **kwargs: Any) -> tuple[int, int]:
    """Episodes that ended and that were cut, all numbers of both versions being the same."""
    ours, theirs = pair(env_id, kwargs)
    draws = np.random.default_rng(3)
    over = np.ones((2, 2), bool)
    terminated = truncated = 0
    for number in range(steps):
        seeds = draws.integers(2**31, size=over.shape)
        assert ours.reset(seeds, over).tobytes() == theirs.reset(seeds, over).tobytes()
        actions = policy(ours, number, draws)
        step, expected = ours.step(actions), theirs.step(actions)
        for part, other in zip(step, expected, strict=True):
            assert (part.dtype, part.shape, part.tobytes()) == (other.dtype, other.shape, other.tobytes())
        over = step.terminated | step.truncated
        terminated, truncated = terminated + int(step.terminated.sum()), truncated + int(step.truncated.sum())
    assert not ours.failures
    ours.close()
    theirs.close()
    return terminated, truncated


@pytest.mark.broken_by(
    "draws of the two engines' spread in the other order",
    "envs/box2d/lander.py",
    "along = self._main_place + 2 * spread[0]",
    "along = self._main_place + 2 * spread[1]",
    case="LunarLander-v3",
)
@pytest.mark.broken_by(
    "the side engines fire at their declared height",
    "envs/box2d/lander.py",
    "tip[0] * 17 / self._scale",
    "tip[0] * self._side_height",
    case="LunarLander-v3",
)
@pytest.mark.broken_by(
    "full throttle at every height of the lever",
    "envs/box2d/lander.py",
    "(main + 1.0) * 0.5 if main > 0.0 else 0.0",
    "1.0 if main > 0.0 else 0.0",
    case="LunarLanderContinuous-v3",
)
@pytest.mark.parametrize("env_id", BOX2D_ENVS)
def test_ten_thousand_steps_are_gymnasiums_bit_for_bit(env_id: str) -> None:
    terminated, _ = compare(env_id, 2_500)
    assert terminated > 50


def landing(env: Any) -> list[Any]:
    """An episode of Gymnasium's own pilot, who brings the lander to rest."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    observation, _ = env.reset(seed=0)
    found = []
    for _ in range(1000):
        observation, reward, terminated, _, _ = env.step(heuristic(env.unwrapped, observation))
        found.append((observation.tobytes(), float(reward), terminated))
        if terminated:
            break
    return found


@pytest.mark.broken_by(
    "a lander that rests is not rewarded",
    "envs/box2d/lander.py",
    "if not body.awake:",
    "if False:",
)
def test_a_lander_that_comes_to_rest() -> None:
    theirs, ours = landing(gymnasium.make(ID)), landing(Lander(gymnasium.make(ID), 1000))
    assert ours == theirs
    assert theirs[-1][1:] == (100.0, True)


@pytest.mark.broken_by(
    "an episode is cut a step late",
    "envs/box2d/lander.py",
    "self._length >= self._limit",
    "self._length > self._limit",
)
def test_arguments_are_honoured() -> None:
    terminated, truncated = compare(ID, 200, gravity=-3.0, max_episode_steps=40)
    assert truncated > 10
    assert terminated < truncated
    compare(ID, 100, continuous=True)
    compare(CONTINUOUS, 100, continuous=False)


def stepped_by(env_id: str = ID, **changes: Any) -> tuple[str, str | None]:
    spec = describe(EnvConfig(id=env_id, **changes))
    return spec.backend, spec.backend_reason


def test_backend_auto_takes_it() -> None:
    assert stepped_by() == stepped_by(CONTINUOUS) == ("box2d", None)
    assert stepped_by(backend="gymnasium") == ("gymnasium", None)
    assert stepped_by("BipedalWalker-v3") == ("gymnasium", None)


@pytest.mark.parametrize(
    ("name", "value"), [("enable_wind", True), ("wind_power", 3.0), ("gravity", True), ("continuous", 1)]
)
def test_other_arguments_are_gymnasiums(name: str, value: Any) -> None:
    reason = f"rlcli's version does not take env.kwargs {{'{name}': {value}}}"
    assert obstacle(ID, {name: value, "max_episode_steps": 5}) == reason


def test_wind_is_gymnasiums_and_told() -> None:
    backend, reason = stepped_by(kwargs={"enable_wind": True})
    assert backend == "gymnasium"
    assert reason is not None
    assert "enable_wind" in reason
    with pytest.raises(UserError, match=r"env\.backend=box2d cannot step LunarLander-v3: .*enable_wind"):
        stepped_by(kwargs={"enable_wind": True}, backend="box2d")
    with pytest.raises(
        UserError, match=r"no box2d version of CartPole-v1\. Box2D environments: LunarLander-v3"
    ):
        stepped_by("CartPole-v1", backend="box2d")


def test_a_method_that_somebody_replaced_is_gymnasiums(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs.box2d import lunar_lander

    monkeypatch.setattr(lunar_lander.LunarLander, "step", lambda self, action: None)
    assert obstacle(ID, {}) == "LunarLander.step is not Gymnasium's own"


def test_an_invalid_action_fails_one_run() -> None:
    env = make(EnvConfig(id=CONTINUOUS), 2, num_envs=1)
    assert isinstance(env, GymnasiumVectorEnv)
    env.reset(np.zeros((2, 1), np.int64), np.ones((2, 1), bool))
    env.step(np.array([[[np.nan, 0.0]], [[0.0, 0.0]]], np.float32))
    theirs = make(EnvConfig(id=CONTINUOUS, backend="gymnasium"), 2, num_envs=1)
    theirs.reset(np.zeros((2, 1), np.int64), np.ones((2, 1), bool))
    theirs.step(np.array([[[np.nan, 0.0]], [[0.0, 0.0]]], np.float32))
    assert {run: str(fault) for run, fault in env.failures.items()} == {
        run: str(fault) for run, fault in theirs.failures.items()
    }


def test_pictures_are_gymnasiums() -> None:
    env = instance(EnvConfig(id=ID), rendered=True)
    assert not isinstance(env, Lander)
    env.close()


@pytest.mark.broken_by(
    "warnings of an engine's import are errors where a person made them so",
    "envs/shipped.py",
    '        warnings.simplefilter("ignore")\n',
    "",
)
def test_an_import_that_warns_where_warnings_are_errors() -> None:
    program = (
        "from rlcli.config.schema.env import EnvConfig; from rlcli.envs.registry import describe; "
        f"print(describe(EnvConfig(id={ID!r})).backend)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["box2d"], done.stderr
