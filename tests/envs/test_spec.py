"""The boundary: which spaces are taken, at which types, and how raw actions reach an environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces.utils import flatten

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.registry import describe, make
from rlcli.errors import UserError
from tests.envs.probes import Spaces


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
        ("multidiscrete", "multidiscrete", (5,), np.float32, 5),
        ("grid", "multidiscrete", (10,), np.float32, 10),
        ("multibinary", "multibinary", (3,), np.float32, 3),
        ("board", "multibinary", (6,), np.float32, 6),
        ("dict", "dict", (7,), np.float32, 7),
        ("tuple", "tuple", (8,), np.float32, 8),
        ("pixels", "tuple", (5,), np.float32, 5),
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


OBSERVATIONS = (
    "Supported observation spaces: Box, Discrete, MultiDiscrete, MultiBinary, and Dict or Tuple of these"
)
ACTIONS = "Supported action spaces: Box of floats, Discrete, MultiDiscrete, MultiBinary"


@pytest.mark.parametrize(("name", "said"), [
    ("text", r"space Text\(.*\) is not supported\."),
    ("sequence", r"space Sequence\(.*\) is not supported\."),
    ("nested", r"space Dict\(.*its member 'arm' is a Dict with members of its own \(nested\)"),
    ("nested tuple", r"space Tuple\(.*its member 1 is a Tuple with members of its own \(nested\)"),
    ("spoken", r"space Dict\(.*its member 'word' is a Text"),
    ("empty", r"space Dict\(\) is not supported: it has no members"),
])  # fmt: skip
def test_other_observation_spaces_are_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"its observation {said}.*{OBSERVATIONS}"):
        describe(spaces(observation=name))


@pytest.mark.parametrize("name", ["dict", "tuple", "text", "integers"])
def test_other_action_spaces_are_refused_by_name(name: str) -> None:
    space = {"integers": "Box"}.get(name, name.capitalize())
    with pytest.raises(UserError, match=rf"its action space {space}\(.*is not supported\..*{ACTIONS}"):
        describe(spaces(action=name))


def test_both_spaces_are_refused_at_once() -> None:
    with pytest.raises(UserError) as caught:
        describe(spaces(observation="text", action="integers"))
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("name", ["multidiscrete", "grid", "multibinary", "board", "dict", "tuple", "pixels"])
def test_structured_observations_are_the_vectors_gymnasium_makes_of_them(name: str) -> None:
    space = Spaces.SPACES[name]
    space.seed(0)
    env = make(spaces(observation=name), 2, num_envs=3)
    given = [space.sample() for _ in range(20)]
    members = env.spec.observation.members
    found = env.spec.observation.vectors([np.array([member.of(one) for one in given]) for member in members])
    wanted = np.array([flatten(space, one) for one in given])
    assert found.dtype == np.float32
    assert (found == wanted.astype(np.float32)).all()
    assert len(set(map(bytes, found))) > 3

    current = env.reset(np.arange(6).reshape(2, 3), np.ones((2, 3), bool))
    for run, index in np.ndindex(2, 3):
        space.seed(int(3 * run + index))
        assert (current[run, index] == flatten(space, space.sample()).astype(np.float32)).all()


def test_which_columns_are_numbers_of_a_box() -> None:
    """The keys of a Dict are sorted: door (3 choices), lamps (2), position (2)."""
    measured = {
        name: describe(spaces(observation=name)).observation.measured for name in ("dict", "tuple", "wide")
    }
    assert measured["dict"] == (False,) * 5 + (True,) * 2
    assert measured["tuple"] == (True,) + (False,) * 7
    assert measured["wide"] == (True,) * 6
    assert describe(spaces(observation="discrete")).observation.measured == (False,) * 4


@pytest.mark.parametrize(("action", "dtype"), [("multidiscrete", np.int64), ("multibinary", np.int8)])
def test_actions_of_many_choices_reach_the_environment_as_it_takes_them(action: str, dtype: type) -> None:
    env = make(EnvConfig(id="tests.envs.probes:ProbeWandering-v0", kwargs={"action": action}), 2, num_envs=2)
    sizes = {"multidiscrete": (3, 2, 2, 4), "multibinary": ()}[action]
    assert (env.spec.action.shape, env.spec.action.sizes, env.spec.action.width) == ((2, 2), sizes, 4)
    env.reset(np.zeros((2, 2), np.int64), np.ones((2, 2), bool))
    raw = np.arange(16).reshape(2, 2, 2, 2) % np.array(sizes or 2).reshape((2, 2) if sizes else ())
    sent = env.spec.action.to_env(raw)
    assert sent.dtype == dtype
    assert (sent - raw == ([[1, 0], [0, -2]] if sizes else 0)).all()
    step = env.step(raw)
    assert env.failures == {}
    # It shows the action it took: after sorting, `before` comes first.
    begins = np.cumsum(sizes) - sizes
    for run, index in np.ndindex(2, 2):
        taken, seen = raw[run, index].ravel(), step.observations[run, index]
        if sizes:
            assert np.flatnonzero(seen[:11]).tolist() == (begins + taken).tolist()
        else:
            assert seen[:4].tolist() == taken.tolist()


def test_images_are_recognised() -> None:
    spec = describe(spaces(observation="image"))
    assert spec.observation.is_image
    assert [image.shape for image in spec.observation.images] == [(8, 6, 3)]
    assert not describe(EnvConfig()).observation.is_image
    camera = describe(spaces(observation="camera")).observation
    assert camera.dtype == np.uint8
    assert [image.key for image in camera.images] == ["camera"]


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
