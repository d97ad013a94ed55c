"""Derived draws: the same for the same names, unrelated for others, and never to change."""

from __future__ import annotations

import itertools

import pytest
import torch

from rlcli.maths.draws import derive, environment_seed, generator


def test_seeds_are_what_they_have_always_been():
    assert derive(0, "action", 0) == 3135384197274701157
    assert derive(7, "permutation", 3, 2) == 8651149465496646466
    assert environment_seed(1, "episode", 0, 5) == 1267848575


def test_draws_are_what_they_have_always_been():
    assert torch.randperm(8, generator=generator(0, "permutation", 0, 0)).tolist() == [1, 6, 5, 0, 2, 7, 4, 3]


def test_every_name_and_index_counts():
    seeds = {
        derive(seed, stream, *indices)
        for seed in (0, 1, 12, 121)
        for stream in ("action", "permutation", "episode")
        for indices in [(), (0,), (1,), (2,), (12,), (1, 2), (2, 1), (12, 1), (1, 21), (1, 2, 1)]
    }
    assert len(seeds) == 4 * 3 * 10


def test_environment_seeds_are_admitted_by_every_environment_and_hardly_ever_meet():
    seeds = [environment_seed(0, "episode", n, j) for n, j in itertools.product(range(20), range(100))]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) > 2**30


@pytest.mark.parametrize(("first", "second"), [
    ((0, "action", 0), (1, "action", 0)),
    ((0, "action", 0), (0, "action", 1)),
    ((0, "action", 0), (0, "other", 0)),
    ((2**62, "action", 0), (2**62 + 1, "action", 0)),
])  # fmt: skip
def test_streams_are_unrelated(first, second):
    pair = torch.stack([torch.randn(20_000, generator=generator(*names)) for names in (first, second)])
    assert abs(torch.corrcoef(pair)[0, 1]) < 4 / 20_000**0.5
    assert not torch.equal(*pair)


def test_the_same_names_give_the_same_draw():
    once, again = (torch.randn(100, generator=generator(5, "action", 9)) for _ in range(2))
    assert torch.equal(once, again)
