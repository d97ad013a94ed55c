"""Evaluation plays the same episodes every time, each counted once however long it is."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from rlcli.collect.evaluation import Evaluation, evaluate, lanes
from rlcli.envs import registry
from rlcli.maths.draws import environment_seed
from tests.collect.environments import HERE, length
from tests.learner.setting import PROBES, small, stage

LONG = 100_000


def policy_for(config):
    begun = stage(config)
    return begun.model, begun.state.policy


def played(
    config, seed: int = 5, episodes: int = 10, side_by_side: int | None = None, **others
) -> Evaluation:
    env = registry.make(config.env, 1, num_envs=side_by_side or lanes(episodes))
    found = evaluate(*policy_for(config), env, seed, episodes, **{"max_steps": LONG, **others})
    assert found is not None
    return found


@pytest.mark.broken_by(
    "evaluation seeds by environment rather than episode",
    "collect/evaluation.py",
    'environment_seed(seed, "evaluation", j) for j in range(episodes)',
    'environment_seed(seed, "evaluation", j % count) for j in range(episodes)',
)
@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("episodes", [1, 3, 10, 11, 37])
def test_every_episode_is_played_to_its_end_and_counted_once(episodes, end):
    """Short episodes would be over-represented if the first to end were counted."""
    found = played(small(HERE + "Countdown-v0", envs={"kwargs": {"end": end}}), 5, episodes)
    wanted = [length(environment_seed(5, "evaluation", j)) for j in range(episodes)]
    assert found.returns.tolist() == wanted
    assert found.lengths.tolist() == wanted


def test_the_episodes_do_not_depend_on_how_many_are_played_side_by_side():
    config = small("CartPole-v1", envs={"backend": "gymnasium"})
    wide, narrow, lone = (played(config, episodes=12, side_by_side=count) for count in (10, 3, 1))
    assert wide.returns.tolist() == narrow.returns.tolist() == lone.returns.tolist()
    assert len(set(wide.returns)) > 1


def test_they_are_the_same_each_time_and_others_for_another_seed():
    config = small()
    first, again, other = played(config), played(config), played(config, seed=6)
    assert first.returns.tolist() == again.returns.tolist()
    assert first.returns.tolist() != other.returns.tolist()
    env = registry.make(config.env, 1, num_envs=10)
    twice = [evaluate(*policy_for(config), env, 5, 10, max_steps=LONG).returns.tolist() for _ in range(2)]
    assert twice == [first.returns.tolist()] * 2


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_it_is_what_playing_episode_by_episode_gives(name):
    config = small(name, envs={"kwargs": {"max_episode_steps": 40}})
    model, snapshot = policy_for(config)
    found = played(config, episodes=4)
    for j in range(4):
        env = gymnasium.make(name, max_episode_steps=40)
        observation, _ = env.reset(seed=environment_seed(5, "evaluation", j))
        total, steps, over = 0.0, 0, False
        while not over:
            output = model.outputs(
                snapshot, torch.from_numpy(np.array(observation, np.float32)).view(1, 1, -1)
            ).state[0, 0]
            if name == "CartPole-v1":
                action = int(output.argmax())
            else:
                action = np.clip(output.numpy(), env.action_space.low, env.action_space.high)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, steps, over = total + reward, steps + 1, terminated or truncated
        assert found.returns[j] == pytest.approx(total, rel=1e-4)
        assert found.lengths[j] == steps


def test_a_stochastic_evaluation_samples_and_repeats():
    config = small(PROBES + "ProbeChoice-v0", network={"policy_gain": 0.01})
    greedy = played(config, episodes=200)
    sampled = played(config, episodes=200, stochastic=True)
    assert len(set(greedy.returns)) == 1
    assert 60 < (sampled.returns == 1).sum() < 140
    assert sampled.returns.tolist() == played(config, episodes=200, stochastic=True).returns.tolist()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("stochastic", [False, True])
def test_actions_of_any_shape_reach_the_environment(shape, stochastic):
    config = small(PROBES + "ProbeEcho-v0", envs={"kwargs": {"shape": list(shape)}})
    assert played(config, episodes=2, stochastic=stochastic, max_steps=5).lengths.tolist() == [5, 5]


def test_an_episode_without_an_end_is_cut_and_counted():
    found = played(small(PROBES + "ProbeShifted-v0"), episodes=23, max_steps=50)
    assert found.lengths.tolist() == [50] * 23
    assert found.cut == found.figures()["eval/cut"] == 23


@pytest.mark.broken_by(
    "an episode that ends at the bound counted as cut",
    "collect/evaluation.py",
    "endless = ~ended[playing] & (lengths",
    "endless = (lengths",
)
@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_only_episodes_that_have_not_ended_by_themselves_count_as_cut(end):
    """Of lengths 1 to 23, those of exactly the bound have ended; those above are cut."""
    found = played(small(HERE + "Countdown-v0", envs={"kwargs": {"end": end}}), 5, 37, max_steps=9)
    wanted = [length(environment_seed(5, "evaluation", j)) for j in range(37)]
    assert 9 in wanted
    assert found.cut == sum(one > 9 for one in wanted) > 0
    assert found.lengths.tolist() == [min(one, 9) for one in wanted]


def test_a_request_to_stop_ends_it_without_a_result():
    config = small(HERE + "Countdown-v0")
    env = registry.make(config.env, 1, num_envs=10)
    calls = iter([False, False, True])
    assert evaluate(*policy_for(config), env, 5, 10, max_steps=LONG, stopped=lambda: next(calls)) is None


def test_a_failing_environment_is_raised():
    config = small(PROBES + "ProbeFaulty-v0")
    with pytest.raises(RuntimeError, match="broken at step 3"):
        played(config)


def test_figures():
    found = Evaluation(np.array([1.0, 2.0, 6.0]), np.array([4, 5, 9])).figures()
    assert found == pytest.approx({
        "eval/return_mean": 3.0, "eval/return_std": (14 / 3) ** 0.5, "eval/return_min": 1.0,
        "eval/return_max": 6.0, "eval/length_mean": 6.0, "eval/episodes": 3,
    })  # fmt: skip
