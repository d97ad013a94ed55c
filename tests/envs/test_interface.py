"""What every vector environment promises: resets by mask and seed, true ends, replay, selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.backend import ARRAY_ENVS
from rlcli.envs.interface import VectorEnv
from rlcli.envs.registry import make

CARTPOLES = [EnvConfig(backend="array"), EnvConfig(backend="gymnasium")]
OTHER_ARRAYS = [EnvConfig(id=name, backend="array") for name in ARRAY_ENVS if name != "CartPole-v1"]
WANDERING = "tests.envs.probes:ProbeWandering-v0"
STRUCTURED = [
    EnvConfig(id=WANDERING, kwargs={"space": "dict", "action": "multidiscrete"}),
    EnvConfig(id=WANDERING, kwargs={"space": "tuple", "action": "multibinary"}),
]


def everywhere(env: VectorEnv) -> Any:
    return np.ones((env.num_runs, env.num_envs), bool)


def actions_for(env: VectorEnv, draws: np.random.Generator) -> Any:
    shape = (env.num_runs, env.num_envs)
    action = env.spec.action
    if action.n is not None:
        return draws.integers(action.n, size=shape)
    if action.kind == "box":
        return draws.standard_normal((*shape, *action.shape)).astype(np.float32)
    choices = np.array(action.sizes or 2).reshape(action.shape if action.sizes else ())
    return draws.integers(choices, size=(*shape, *action.shape))


@pytest.mark.parametrize("config", CARTPOLES)
def test_final_observations_are_true_and_each_episode_has_its_own_seed(config: EnvConfig) -> None:
    env = make(config, 2, num_envs=3)
    draws = np.random.default_rng(0)
    current = env.reset(np.arange(6).reshape(2, 3), everywhere(env))
    ended = 0
    for number in range(200):
        step = env.step(actions_for(env, draws))
        assert not np.array_equal(step.observations, current)
        over = step.terminated | step.truncated
        seeds = np.full((2, 3), 1_000 + number)
        kept = step.observations.copy()
        current = env.reset(seeds, over)
        # The final observation is the fallen pole's, not the next episode's; the others were left alone.
        fallen = (np.abs(step.observations[..., 2]) > 0.2094) | (np.abs(step.observations[..., 0]) > 2.4)
        assert (fallen == over).all()
        assert (np.abs(current[over]) <= 0.05).all()
        assert (current[~over] == step.observations[~over]).all()
        assert (step.observations == kept).all()
        first = make(config, 1, num_envs=1).reset(seeds[:1, :1], np.ones((1, 1), bool))[0, 0]
        assert (current[over] == first).all()
        ended += int(over.sum())
    assert ended > 20


@pytest.mark.parametrize(
    "config",
    [*CARTPOLES, *OTHER_ARRAYS, EnvConfig(id="FrozenLake-v1"), *STRUCTURED],
)
def test_an_episode_depends_on_its_seed_and_actions_alone(config: EnvConfig) -> None:
    """Replayed after another history, in another place, it gives the same bits."""
    draws = np.random.default_rng(1)
    env = make(config, 1, num_envs=2)
    env.reset(np.array([[11, 12]]), everywhere(env))
    for _ in range(30):
        step = env.step(actions_for(env, draws))
        env.reset(np.array([[13, 14]]), step.terminated | step.truncated)

    trace = [env.reset(np.array([[77, 78]]), everywhere(env))[:, 1]]
    actions = []
    for _ in range(100):
        actions.append(actions_for(env, draws))
        step = env.step(actions[-1])
        trace += [step.observations[:, 1], step.rewards[:, 1], step.terminated[:, 1], step.truncated[:, 1]]
        if (step.terminated | step.truncated)[0, 1]:
            break
        env.reset(np.array([[15, 16]]), (step.terminated | step.truncated))
    assert len(actions) > 2

    other = make(config, 1, num_envs=1)
    again = [other.reset(np.array([[78]]), everywhere(other))[:, 0]]
    for action in actions:
        step = other.step(action[:, 1:])
        again += [part[:, 0] for part in step]
    assert [part.tobytes() for part in trace] == [part.tobytes() for part in again]


@pytest.mark.parametrize("config", [*CARTPOLES, *OTHER_ARRAYS, *STRUCTURED])
def test_a_run_among_others_is_the_run_alone(config: EnvConfig) -> None:
    together, alone = make(config, 3, num_envs=2), make(config, 1, num_envs=2)
    seeds = np.arange(6).reshape(3, 2)
    draws = np.random.default_rng(2)
    assert (
        together.reset(seeds, everywhere(together))[1:2] == alone.reset(seeds[1:2], everywhere(alone))
    ).all()
    for _ in range(60):
        actions = actions_for(together, draws)
        many, one = together.step(actions), alone.step(actions[1:2])
        for group, single in zip(many, one, strict=True):
            assert group[1:2].tobytes() == single.tobytes()
        over = many.terminated | many.truncated
        assert (together.reset(seeds + 9, over)[1:2] == alone.reset(seeds[1:2] + 9, over[1:2])).all()


@pytest.mark.parametrize("config", [*CARTPOLES, *OTHER_ARRAYS])
def test_select_keeps_runs_in_the_order_given(config: EnvConfig) -> None:
    env, whole = make(config, 3, num_envs=2), make(config, 3, num_envs=2)
    seeds = np.arange(6).reshape(3, 2)
    draws = np.random.default_rng(4)
    actions = actions_for(env, draws)
    for each in (env, whole):
        each.reset(seeds, everywhere(each))
        each.step(actions)
    nowhere = np.zeros((3, 2), bool)
    env.select([2, 0])
    assert (env.num_runs, env.num_envs, env.failures) == (2, 2, {})
    assert (env.reset(seeds[:2], nowhere[:2]) == whole.reset(seeds, nowhere)[[2, 0]]).all()
    actions = actions_for(whole, draws)
    some, every = env.step(actions[[2, 0]]), whole.step(actions)
    for kept, full in zip(some, every, strict=True):
        assert (kept == full[[2, 0]]).all()
    assert (env.reset(seeds[:2], nowhere[:2]) == every.observations[[2, 0]]).all()
    env.close()


@pytest.mark.parametrize(
    ("end", "terminated", "truncated"),
    [("terminated", True, False), ("truncated", False, True), ("both", True, True)],
)
def test_termination_and_truncation_are_kept_apart(end: str, terminated: bool, truncated: bool) -> None:
    env = make(EnvConfig(id="tests.envs.probes:ProbeTimeLimit-v0", kwargs={"end": end}), 2, num_envs=2)
    env.reset(np.zeros((2, 2), np.int64), everywhere(env))
    for number in range(1, 6):
        step = env.step(np.zeros((2, 2), np.int64))
        assert (step.rewards == 1).all()
        assert (step.terminated == (terminated and number == 5)).all()
        assert (step.truncated == (truncated and number == 5)).all()


def test_the_number_of_environments_is_the_configs_unless_given() -> None:
    assert make(EnvConfig(num_envs=5), 2).num_envs == 5
    assert make(EnvConfig(num_envs=5), 2, num_envs=3).num_envs == 3
