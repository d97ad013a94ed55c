"""`env.wrappers`: what is made, in which order, what is said of wrong ones, and what resumes exactly."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.construct import create
from rlcli.envs.registry import describe, make
from rlcli.envs.wrappers import make_wrapped
from rlcli.errors import UserError

MINE = "tests.envs.wrapped"
CARTPOLE = "CartPole-v1"


def config(*wrappers: str | dict[str, Any], **fields: Any) -> EnvConfig:
    return EnvConfig(wrappers=wrappers, **fields)


def test_wrappers_are_applied_innermost_first() -> None:
    env = make_wrapped(
        CARTPOLE, lambda: create(CARTPOLE, {}), ["hide_velocities", {f"{MINE}:Scaled": {"factor": 4.0}}]
    )
    plain = gymnasium.make(CARTPOLE)
    seen, whole = env.reset(seed=3)[0], plain.reset(seed=3)[0]
    np.testing.assert_array_equal(seen, np.float32(4.0) * whole[[0, 2]])
    limit: dict[str, Any] = {"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 7}}
    assert describe(config(limit)).max_episode_steps == 7


def test_a_wrapped_environment_is_gymnasiums_and_says_so() -> None:
    spec = describe(config("hide_velocities"))
    assert spec.backend == "gymnasium"
    assert spec.backend_reason == "env.wrappers=[hide_velocities] wraps its environment"
    assert make(config("hide_velocities"), 1).spec.observation.shape == (2,)
    assert describe(config("hide_velocities", backend="gymnasium")).backend_reason is None
    assert describe(config()).backend == "array"
    for env_id, backend in ((CARTPOLE, "array"), (CARTPOLE, "torch"), ("Hopper-v5", "mujoco")):
        with pytest.raises(UserError, match=f"env.backend={backend} cannot step {env_id} with env.wrappers"):
            describe(config("hide_velocities", id=env_id, backend=backend))


@pytest.mark.broken_by(
    "what a wrapper keeps is thrown away with its episode",
    "envs/registry.py",
    "if wrappers and replay.fresh_each_episode:",
    "if False:",
)
def test_a_wrapper_that_keeps_something_is_told_and_kept() -> None:
    for wrapper in (f"{MINE}:Remembers", "NormalizeObservation"):
        spec = describe(config(wrapper))
        assert not spec.exact_resume
        assert not spec.fresh_each_episode
        assert f"[{wrapper}] keeps something from one episode to the next" in str(spec.inexact_reason)
    assert "env.normalize_observation=true does the same" in str(spec.inexact_reason)
    assert describe(config(f"{MINE}:Scaled")).exact_resume


def test_a_world_that_outlives_its_episode_is_made_anew_inside_wrappers_too() -> None:
    assert describe(config("hide_velocities", id="BipedalWalker-v3")).fresh_each_episode


@pytest.mark.broken_by(
    "a check between wrappers counted as a wrapper",
    "envs/checked.py",
    "return inner.env if isinstance(inner, Checked) else inner",
    "return inner",
)
def test_the_wrapper_that_changes_the_spaces_is_named_inside_one_of_gymnasiums() -> None:
    with pytest.raises(UserError, match=rf"env.wrappers={MINE}:Texts changes the spaces: "):
        describe(config(f"{MINE}:Texts", "NormalizeReward"))


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        ("TimeLimt", "Unknown wrapper 'TimeLimt'. Did you mean 'TimeLimit'"),
        ("hide_velocitys", "Did you mean 'hide_velocities'"),
        ("TimeLimit", "TimeLimit needs max_episode_steps: 'env.wrappers=\\[{TimeLimit: {max_episode_steps"),
        (
            "TransformReward",
            "needs func.*\n.*A setting cannot be a function: write func in a wrapper of your own",
        ),
        ({"ClipAction": {"low": 1}}, "Unknown argument of env.wrappers=ClipAction: 'low'"),
        ({"TimeLimit": {"max_episode_stps": 1}}, "Did you mean 'max_episode_steps'"),
        ({"TimeLimit": {"max_episode_steps": "no"}}, "cannot be wrapped in env.wrappers={TimeLimit:"),
        ("vector.DictInfoToList", "is for vectors of environments"),
        ("RecordVideo", "is refused: it writes files"),
        (f"{MINE}:Scled", f"has no 'Scled'. Did you mean '{MINE}:Scaled'"),
        (f"{MINE}:NUMBER", "expected a class or function that takes an environment, not 3"),
        (f"{MINE}:Raises", r"tests/envs/wrapped.py:\d+: KeyError: 'no map'"),
        (f"{MINE}:Texts", f"env.wrappers={MINE}:Texts changes the spaces: .* Text.* is not supported"),
        (f"{MINE}:three", r"wrapped.py:\d+: CartPole-v1: .*three gave int, not an environment of Gymnasium"),
        (":Scaled", "env.wrappers=:Scaled: one of your own is named module:Class"),
        (f"{MINE}:", "one of your own is named module:Class"),
        ("no_such_module:Thing", "env.wrappers=no_such_module:Thing: there is no module"),
    ],
)
def test_a_wrong_wrapper_is_one_message_that_names_it(wrapper: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        describe(config("OrderEnforcing", wrapper, "OrderEnforcing"))


def test_a_wrapper_that_breaks_its_promise_fails_with_its_line() -> None:
    env = make(config(f"{MINE}:Short"), 2)
    env.reset(np.zeros((2, 8), np.int64), np.ones((2, 8), np.bool_))
    assert "tests/envs/wrapped.py" in str(env.failures[0])
    assert f"CartPole-v1 in env.wrappers=[{MINE}:Short], environment 0" in str(env.failures[0]).replace(
        "'", ""
    )
    assert "shape (4,)" in str(env.failures[0])
