"""Seeds of episodes and the numbers drawn from them in C are those of Python and numpy."""

from __future__ import annotations

from ctypes import c_char_p, c_int64, c_void_p

import numpy as np
import pytest

from rlcli.collect.state import episode_seed
from rlcli.kernels.library import available, function
from rlcli.kernels.resets import MOST, covers, uniform
from rlcli.kernels.rollout import covers as covers_seeds
from rlcli.kernels.rollout import name_of

LOW = np.array([-0.05, -np.pi, 0.0, 2.0, -1.0])
HIGH = np.array([0.05, np.pi, 1.0, 7.0, 1.0])


@pytest.mark.parametrize("isa", available())
def test_draws_are_those_of_numpy(isa):
    edges = np.array([0, 1, 2**16, 2**31 - 1, 2**32 - 1])
    seeds = np.concatenate((edges, np.random.default_rng(1).integers(2**31, size=5_000)))
    drawn = uniform(seeds, LOW, HIGH, isa)
    for column, seed in enumerate(seeds.tolist()):
        assert drawn[:, column].tobytes() == np.random.default_rng(seed).uniform(LOW, HIGH).tobytes()


def test_draws_of_no_seed_and_of_seeds_apart_in_memory():
    assert uniform(np.zeros(0, np.int64), LOW, HIGH).shape == (5, 0)
    seeds = np.arange(20)
    assert uniform(seeds[::2], LOW, HIGH).tobytes() == uniform(seeds[::2].copy(), LOW, HIGH).tobytes()


def test_bounds_that_do_not_fit_are_refused():
    assert covers(MOST)
    assert not covers(MOST + 1)
    for low, high in ((LOW, HIGH[:2]), (np.zeros(9), np.ones(9)), (LOW[None], HIGH[None])):
        with pytest.raises(ValueError, match="bounds"):
            uniform(np.arange(3), low, high)


@pytest.mark.parametrize("isa", available())
@pytest.mark.parametrize("seed", [0, 7, 123456789, 2**63 - 1, -5, 10**50])
def test_seeds_of_episodes_are_those_of_the_collector(seed, isa):
    rng = np.random.default_rng(0)
    places = np.stack((rng.integers(3000, size=400), rng.integers(2**40, size=400)), -1)
    places[:4] = [(0, 0), (9, 9), (10, 10), (2**31, 2**62)]
    found = np.zeros(400, np.int64)
    call = function("episode_seeds", c_char_p, c_int64, c_void_p, c_void_p, isa=isa)
    call(name_of(seed), 400, places.ctypes.data, found.ctypes.data)
    assert found.tolist() == [episode_seed(seed, n, k) for n, k in places.tolist()]


def test_a_seed_of_too_many_digits_is_refused():
    assert covers_seeds("CartPole-v1", [10**50])
    assert not covers_seeds("CartPole-v1", [10**60])
    with pytest.raises(ValueError, match="too many digits"):
        name_of(10**60)
