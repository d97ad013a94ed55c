"""The boundary: which spaces are taken, at which types, and how raw actions reach an environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlcli.config.schema import EnvConfig
from rlcli.envs.registry import describe, make
from rlcli.envs.spec import check_network
from rlcli.errors import UserError


def spaces(observation: str = "box", action: str = "discrete") -> EnvConfig:
    return EnvConfig(
        id="tests.envs.probes:ProbeSpaces-v0", kwargs={"observation": observation, "action": action}
    )


@pytest.mark.parametrize(
    ("name", "kind", "shape", "dtype", "width"),
    [
        ("box", "box", (3,), np.float32, 3),
        ("wide", "box", (2, 3), np.float32, 6),
        ("scalar", "box", (), np.float32, 1),
        ("integers", "box", (2,), np.float32, 2),
        ("image", "box", (8, 6, 3), np.uint8, 144),
        ("discrete", "discrete", (), np.int64, 4),
    ],
)
def test_observations_have_one_type_on_our_side(
    name: str, kind: str, shape: tuple[int, ...], dtype: type, width: int
) -> None:
    env = make(spaces(observation=name), 2, num_envs=3)
    seen = env.spec.observation
    assert (seen.kind, seen.shape, seen.dtype, seen.width) == (kind, shape, np.dtype(dtype), width)
    current = env.reset(np.arange(6).reshape(2, 3), np.ones((2, 3), bool))
    step = env.step(np.zeros((2, 3), np.int64))
    for observations in (current, step.observations):
        assert (observations.shape, observations.dtype) == ((2, 3, *shape), np.dtype(dtype))
    assert current.any()
    assert step.rewards.dtype == np.float64


@pytest.mark.parametrize("name", ["dict", "tuple", "multidiscrete", "multibinary", "text"])
def test_other_spaces_are_refused_by_name(name: str) -> None:
    space = {"multidiscrete": "MultiDiscrete", "multibinary": "MultiBinary"}.get(name, name.capitalize())
    with pytest.raises(UserError, match=rf"observation space {space}.*Supported.*Box, Discrete"):
        describe(spaces(observation=name))
    with pytest.raises(UserError, match=rf"action space {space}.*Supported.*Box of floats, Discrete"):
        describe(spaces(action=name))
    with pytest.raises(UserError) as caught:
        describe(spaces(observation=name, action="integers"))
    assert len(caught.value.faults) == 2


def test_images_compose_and_an_mlp_on_them_is_refused() -> None:
    spec = describe(spaces(observation="image"))
    assert spec.observation.is_image
    with pytest.raises(UserError, match=r"network=mlp cannot read .*images \(8 x 6 x 3 pixels"):
        check_network(spec, "mlp")
    check_network(spec, "cnn")
    check_network(describe(EnvConfig()), "mlp")
    assert not describe(EnvConfig()).observation.is_image


def test_discrete_values_that_begin_elsewhere_begin_at_zero_here() -> None:
    env = make(EnvConfig(id="tests.envs.probes:ProbeShifted-v0"), 2, num_envs=2)
    assert (env.spec.action.width, env.spec.observation.width) == (3, 12)
    assert (env.reset(np.zeros((2, 2), np.int64), np.ones((2, 2), bool)) == 0).all()
    step = env.step(np.array([[0, 1], [2, 0]]))
    assert env.failures == {}
    # It observes its action, 5 .. 7, in a space that begins at -3.
    assert (step.observations == [[8, 9], [10, 8]]).all()
    assert step.observations.dtype == np.int64


@pytest.mark.parametrize(
    ("low", "high", "shape", "dtype"),
    [
        (-1.0, 1.0, (2,), "float32"),
        (-0.3, 0.1, (1,), "float64"),
        (-np.inf, np.inf, (3,), "float32"),
        ([[-1.0], [-np.inf]], [[np.inf], [0.7]], (2, 1), "float32"),
        (0.1, 0.30000000000000004, (2, 3, 2), "float64"),
        (-1.0, 1.0, (), "float32"),
    ],
)
def test_box_actions_are_clipped_to_finite_bounds_only(
    low: Any, high: Any, shape: tuple[int, ...], dtype: str
) -> None:
    kwargs = {"low": low, "high": high, "shape": shape, "dtype": dtype}
    env = make(EnvConfig(id="tests.envs.probes:ProbeEcho-v0", kwargs=kwargs), 2, num_envs=2)
    env.reset(np.zeros((2, 2), np.int64), np.ones((2, 2), bool))
    raw = (5 * np.random.default_rng(0).standard_normal((2, 2, *shape))).astype(np.float32)
    before = raw.copy()
    step = env.step(raw)
    assert env.failures == {}
    expected = np.clip(raw.astype(dtype), np.array(low, dtype), np.array(high, dtype))
    assert (step.observations == expected.astype(np.float32)).all()
    assert (raw == before).all()
    assert env.spec.action.width == int(np.prod(shape))


def test_known_environments_have_the_specs_of_their_authors() -> None:
    cartpole, pendulum = describe(EnvConfig()), describe(EnvConfig(id="Pendulum-v1"))
    assert (cartpole.max_episode_steps, cartpole.reward_threshold) == (500, 475.0)
    assert (cartpole.observation.width, cartpole.action.width) == (4, 2)
    assert (pendulum.max_episode_steps, pendulum.action.width) == (200, 1)
    assert float(pendulum.action.high[0]) == 2.0  # type: ignore[index]
    assert describe(EnvConfig(kwargs={"max_episode_steps": 7})).max_episode_steps == 7
