"""rlcli steps a MuJoCo environment itself only where Gymnasium would make it as it ships it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import WrapperSpec

from rlcli.config.schema.env import EnvConfig
from rlcli.envs import construct, shipped
from rlcli.envs.gymnasium import GymnasiumVectorEnv
from rlcli.envs.mujoco import choice
from rlcli.envs.mujoco.choice import MUJOCO_ENVS, obstacle
from rlcli.envs.mujoco.vector import MujocoVectorEnv
from rlcli.envs.registry import describe, make
from rlcli.errors import UserError

pytest.importorskip("mujoco")

ID = "InvertedPendulum-v5"


@pytest.fixture
def registry() -> Iterator[Any]:
    """Gymnasium's registry, put back afterwards."""
    before = dict(gymnasium.registry)
    yield gymnasium.registry
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def stepped_by(**changes: Any) -> tuple[str, str | None]:
    spec = describe(EnvConfig(id=ID, **changes))
    return spec.backend, spec.backend_reason


def test_backend_auto_takes_it_for_the_ids_it_knows() -> None:
    assert len(MUJOCO_ENVS) == 10
    assert [env_id for env_id in MUJOCO_ENVS if obstacle(env_id, {}) is not None] == []
    assert stepped_by() == ("mujoco", None)
    assert isinstance(make(EnvConfig(id=ID), 1), MujocoVectorEnv)
    assert isinstance(make(EnvConfig(id=ID, backend="mujoco"), 1), MujocoVectorEnv)
    assert stepped_by(backend="gymnasium") == ("gymnasium", None)
    assert isinstance(make(EnvConfig(id=ID, backend="gymnasium"), 1), GymnasiumVectorEnv)
    assert describe(EnvConfig(id="InvertedPendulum-v4")).backend == "gymnasium"


@pytest.mark.broken_by(
    "a version of Gymnasium that nobody compared is trusted",
    "envs/shipped.py",
    "if gymnasium.__version__ not in COMPARED:",
    "if False:",
)
def test_another_version_of_gymnasium_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium, "__version__", "1.9.0")
    reason = "rlcli's version was compared with Gymnasium 1.4.0, and this is 1.9.0"
    assert stepped_by() == ("gymnasium", reason)
    assert isinstance(make(EnvConfig(id=ID), 1), GymnasiumVectorEnv)
    with pytest.raises(UserError, match=f"env.backend=mujoco cannot step {ID}: {reason}") as caught:
        describe(EnvConfig(id=ID, backend="mujoco"))
    assert "env.backend=gymnasium" in str(caught.value)


class Other:
    """A class of the user's in place of Gymnasium's."""


@pytest.mark.broken_by(
    "an environment that was registered again is taken for Gymnasium's",
    "envs/shipped.py",
    "if gymnasium.registry.get(env_id) != _registration(env_id, shipped):",
    "if False:",
    case="max_episode_steps",
)
@pytest.mark.parametrize(
    "changed",
    [
        {"max_episode_steps": 7},
        {"entry_point": "tests.envs.known:Constant"},
        {"kwargs": {"reset_noise_scale": 0.3}},
        {"additional_wrappers": (WrapperSpec("Once", "gymnasium.wrappers:Autoreset", {}),)},
        {"reward_threshold": 3.0},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_id_registered_otherwise_is_gymnasiums(changed: dict[str, Any], registry: Any) -> None:
    registry[ID] = dataclasses.replace(registry[ID], **changed)
    assert obstacle(ID, {}) == f"{ID} is registered otherwise than by Gymnasium"
    if "max_episode_steps" in changed:
        assert isinstance(make(EnvConfig(id=ID), 1), GymnasiumVectorEnv)


@pytest.mark.broken_by(
    "a method that somebody replaced is passed over",
    "envs/shipped.py",
    'if function.__module__ != owner.__module__ or hasattr(function, "__wrapped__"):',
    "if False:",
)
def test_a_class_that_somebody_changed_is_gymnasiums(monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.envs.mujoco import inverted_pendulum_v5, mujoco_env

    original = inverted_pendulum_v5.InvertedPendulumEnv.step

    def step(self: Any, action: Any) -> Any:
        return original(self, action)

    with monkeypatch.context() as changed:
        changed.setattr(inverted_pendulum_v5.InvertedPendulumEnv, "step", step)
        assert obstacle(ID, {}) == "InvertedPendulumEnv.step is not Gymnasium's own"
    with monkeypatch.context() as changed:
        wrapped = functools.wraps(original)(step)
        changed.setattr(inverted_pendulum_v5.InvertedPendulumEnv, "step", wrapped)
        assert obstacle(ID, {}) == "InvertedPendulumEnv.step is not Gymnasium's own"
    with monkeypatch.context() as changed:
        changed.setattr(mujoco_env.MujocoEnv, "set_state", step)
        assert obstacle(ID, {}) == "MujocoEnv.set_state is not Gymnasium's own"
    with monkeypatch.context() as changed:
        changed.setattr(inverted_pendulum_v5, "InvertedPendulumEnv", Other)
        assert obstacle(ID, {}) == "tests.envs.test_mujoco_choice.Other is not Gymnasium's own"
    assert obstacle(ID, {}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("xml_file", "inverted_pendulum.xml"),
        ("render_mode", "rgb_array"),
        ("width", 64),
        ("disable_env_checker", False),
        ("frame_skip", True),
        ("frame_skip", 2.0),
        ("reset_noise_scale", "0.1"),
        ("reset_noise_scale", 1e40),
        ("reset_noise_scale", float("nan")),
    ],
)
def test_arguments_that_it_does_not_take_are_gymnasiums(name: str, value: Any) -> None:
    reason = obstacle(ID, {name: value, "max_episode_steps": 5})
    assert reason is not None
    assert reason.startswith("rlcli's version does not take env.kwargs {")
    assert name in reason
    assert "max_episode_steps" not in reason


def test_ranges_and_switches() -> None:
    for wrong in ([1], [1, "2"], 3, [float("nan"), 1], [True, 2]):
        assert obstacle("Hopper-v5", {"healthy_z_range": wrong}) is not None
    assert obstacle("Hopper-v5", {"healthy_z_range": [0.5, float("inf")]}) is None
    assert obstacle("Hopper-v5", {"terminate_when_unhealthy": 1}) is not None
    assert obstacle("Ant-v5", {"main_body": 2}) is not None


def test_arguments_that_an_environment_does_not_have_are_mistakes_as_before() -> None:
    for backend in ("auto", "mujoco", "gymnasium"):
        config = EnvConfig(id=ID, backend=backend, kwargs={"healthy_reward": 2})
        with pytest.raises(UserError, match="healthy_reward"):
            describe(config)


def test_backend_mujoco_is_refused_where_there_is_none() -> None:
    with pytest.raises(UserError, match=r"no mujoco version of CartPole-v1\. MuJoCo environments: HalfCh"):
        describe(EnvConfig(backend="mujoco"))
    with pytest.raises(UserError, match=r"cannot step HalfCheetah-v5: .* does not take env.kwargs .*width"):
        describe(EnvConfig(id="HalfCheetah-v5", backend="mujoco", kwargs={"width": 64}))


def test_a_missing_mujoco_comes_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ("no_such_module", "gymnasium[mujoco]")
    monkeypatch.setitem(construct.PACKAGES, "gymnasium.envs.mujoco", needed)
    for backend in ("auto", "mujoco", "gymnasium"):
        with pytest.raises(UserError, match=r"needs the package no_such_module of the extra mujoco"):
            describe(EnvConfig(id="Swimmer-v5", backend=backend, kwargs={"ctrl_cost_weight": 1}))


def test_every_argument_of_the_constructors_is_known_or_refused() -> None:
    """An argument that Gymnasium adds is refused until the formulas know it."""
    assert shipped.COMPARED[0] == "1.4.0"
    refused = {"xml_file", "default_camera_config", "main_body"}
    for env_id, entry in MUJOCO_ENVS.items():
        made: Any = gymnasium.make(env_id).unwrapped
        names = set(choice.task(env_id, made, {}).arguments) - {"kwargs"}
        assert names - refused <= set(choice.ARGUMENTS), entry
        made.close()
