"""`hide_velocities`: which numbers are velocities, found from the environments themselves."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rlcli.envs.construct import create
from rlcli.envs.velocities import VELOCITIES
from rlcli.envs.wrappers import make_wrapped
from rlcli.errors import UserError

LATEST = {
    name: max(env_id for env_id in gymnasium.registry if env_id.rpartition("-v")[0] == name)
    for name in VELOCITIES
    if name != "LunarLanderContinuous"
}
MUJOCO = ("InvertedPendulum", "HalfCheetah", "Hopper", "Walker2d", "Swimmer")
CLASSIC = {
    "CartPole": ([1, 3], lambda env: np.array(env.state)),
    "MountainCar": ([1], lambda env: np.array(env.state)),
    "MountainCarContinuous": ([1], lambda env: np.array(env.state)),
    "Pendulum": ([1], lambda env: env._get_obs()),
    "Acrobot": ([2, 3], lambda env: env._get_ob()),
}
"""Where velocities are in the state, and what is observed of it."""


def wrapped(env_id: str, *wrappers: str, **kwargs: Any) -> Any:
    return make_wrapped(env_id, lambda: create(env_id, kwargs), wrappers)


@pytest.mark.parametrize("name", MUJOCO)
def test_of_mujoco_what_changes_with_velocities_alone_is_hidden(name: str) -> None:
    env: Any = gymnasium.make(LATEST[name]).unwrapped
    env.reset(seed=0)
    before = env._get_obs()
    env.set_state(env.data.qpos.copy(), env.data.qvel + 0.125)
    assert tuple(np.flatnonzero(env._get_obs() != before)) == VELOCITIES[name].places


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.broken_by("an angle hidden", "envs/velocities.py", "(4, 5)", "(3, 5)", case="Acrobot")
def test_of_classic_control_what_changes_with_velocities_alone_is_hidden(name: str) -> None:
    env: Any = gymnasium.make(LATEST[name]).unwrapped
    env.reset(seed=0)
    places, observed = CLASSIC[name]
    before = observed(env)
    env.state = np.array(env.state, dtype=np.float64)
    env.state[places] += 0.0625
    assert tuple(np.flatnonzero(observed(env) != before)) == VELOCITIES[name].places


@pytest.mark.parametrize("name", ["LunarLander", "BipedalWalker"])
def test_of_box2d_what_is_bounded_as_speeds_are_is_hidden(name: str) -> None:
    """Their spaces bound speeds, and nothing else, by this number."""
    width, places = VELOCITIES[name]
    space: Any = gymnasium.make(LATEST[name]).observation_space
    assert space.shape == (width,)
    bound = {"LunarLander": 10.0, "BipedalWalker": 5.0}[name]
    assert tuple(np.flatnonzero(space.low == -bound)) == places


@pytest.mark.parametrize("name", LATEST)
def test_the_others_stay_in_order(name: str) -> None:
    plain = gymnasium.make(LATEST[name])
    env = wrapped(LATEST[name], "hide_velocities")
    kept = [i for i in range(VELOCITIES[name].width) if i not in VELOCITIES[name].places]
    np.testing.assert_array_equal(env.reset(seed=5)[0], plain.reset(seed=5)[0][kept])
    assert env.observation_space.contains(env.reset(seed=5)[0])


def test_elsewhere_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"knows the velocities of CartPole, .*; not of FrozenLake-v1"):
        wrapped("FrozenLake-v1", "hide_velocities")
    arguments = {"exclude_current_positions_from_observation": False}
    with pytest.raises(UserError, match="expects 17 numbers of HalfCheetah-v5"):
        wrapped("HalfCheetah-v5", "hide_velocities", **arguments)
    with pytest.raises(UserError, match="expects 4 numbers of CartPole-v1"):
        wrapped("CartPole-v1", "TimeAwareObservation", "hide_velocities")
