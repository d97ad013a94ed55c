"""The array CartPole is Gymnasium's, bit for bit."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from rlcli.config.schema import EnvConfig
from rlcli.envs.array.cartpole import ArrayCartPole
from rlcli.envs.registry import make


def balance(observations: Any) -> Any:
    """Push under the falling pole: episodes long enough to reach the time limit."""
    return (observations[..., 2] + 0.5 * observations[..., 3] + 0.05 * observations[..., 1] > 0).astype(
        np.int64
    )


def compare(
    ours: ArrayCartPole, reference: list[list[gymnasium.Env[Any, Any]]], steps: int
) -> tuple[int, int]:
    """Steps both with the same actions and seeds; returns how many episodes terminated and were truncated."""
    runs, count = ours.num_runs, ours.num_envs
    draws = np.random.default_rng(5)
    seeds = draws.integers(2**31, size=(runs, count))
    current = ours.reset(seeds, np.ones((runs, count), bool))
    for place in np.ndindex(runs, count):
        assert (reference[place[0]][place[1]].reset(seed=int(seeds[place]))[0] == current[place]).all()
    terminated = truncated = 0
    # Even environments balance, odd ones act at random: truncations as well as terminations.
    random = np.broadcast_to(np.arange(count) % 2 == 1, (runs, count))
    for _ in range(steps):
        actions = np.where(random, draws.integers(2, size=(runs, count)), balance(current))
        step = ours.step(actions)
        for place in np.ndindex(runs, count):
            env = reference[place[0]][place[1]]
            observation, reward, ended, cut, _ = env.step(actions[place])
            assert observation.tobytes() == step.observations[place].tobytes()
            # The float64 state too: float32 observations would hide an error of rounding for a long time.
            assert env.unwrapped.state.tobytes() == ours._state[:, :, *place].T.tobytes()
            assert (reward, ended, cut) == (
                step.rewards[place],
                step.terminated[place],
                step.truncated[place],
            )
        over = step.terminated | step.truncated
        terminated, truncated = terminated + step.terminated.sum(), truncated + step.truncated.sum()
        seeds = draws.integers(2**31, size=(runs, count))
        current = ours.reset(seeds, over)
        for place in map(tuple, np.argwhere(over)):
            env = reference[place[0]][place[1]]
            assert env.reset(seed=int(seeds[place]))[0].tobytes() == current[place].tobytes()
    return int(terminated), int(truncated)


@pytest.mark.parametrize(("runs", "count", "steps"), [(1, 2, 10_000), (3, 4, 1_000)])
def test_array_cartpole_equals_gymnasium_bit_for_bit(runs: int, count: int, steps: int) -> None:
    ours = make(EnvConfig(backend="array"), runs, num_envs=count)
    assert isinstance(ours, ArrayCartPole)
    reference = [[gymnasium.make("CartPole-v1") for _ in range(count)] for _ in range(runs)]
    terminated, truncated = compare(ours, reference, steps)
    assert terminated > 100
    assert truncated >= 2


@pytest.mark.parametrize(
    "kwargs", [{"sutton_barto_reward": True}, {"max_episode_steps": 12}, {"max_episode_steps": -1}]
)
def test_array_cartpole_honours_its_arguments(kwargs: dict[str, Any]) -> None:
    ours = make(EnvConfig(backend="array", kwargs=kwargs), 1, num_envs=4)
    assert isinstance(ours, ArrayCartPole)
    terminated, truncated = compare(ours, [[gymnasium.make("CartPole-v1", **kwargs) for _ in range(4)]], 600)
    assert terminated > 5
    # 600 steps reach the registered limit of 500 where a pole is balanced; -1 lifts it.
    assert (truncated > 0) == (kwargs.get("max_episode_steps") != -1)


def test_termination_and_truncation_may_come_at_once() -> None:
    """Cut in the very step the pole falls: both flags stand, as in Gymnasium."""
    alone = make(EnvConfig(backend="array"), 1, num_envs=1)
    seeds, everywhere, right = np.full((1, 1), 3), np.ones((1, 1), bool), np.ones((1, 1), np.int64)
    alone.reset(seeds, everywhere)
    length = 1
    while not alone.step(right).terminated[0, 0]:
        length += 1
    for backend in ("array", "gymnasium"):
        kwargs = {"max_episode_steps": length}
        both = make(EnvConfig(backend=backend, kwargs=kwargs), 1, num_envs=1)
        both.reset(seeds, everywhere)
        steps = [both.step(right) for _ in range(length)]
        assert [bool(step.terminated[0, 0]) for step in steps] == [False] * (length - 1) + [True]
        assert [bool(step.truncated[0, 0]) for step in steps] == [False] * (length - 1) + [True]


def test_what_a_step_returned_is_never_written_again() -> None:
    env = make(EnvConfig(backend="array"), 1, num_envs=2)
    first = env.reset(np.array([[1, 2]]), np.ones((1, 2), bool))
    step = env.step(np.array([[0, 1]]))
    before = [first.copy(), *(array.copy() for array in step)]
    env.step(np.array([[1, 1]]))
    env.reset(np.array([[3, 4]]), np.array([[True, False]]))
    for kept, now in zip(before, [first, *step], strict=True):
        assert (kept == now).all()
