"""Permutations in C: each index once, all orders alike, by the seed of the run alone."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from rlcli.kernels.draws import permutation, sequences
from rlcli.maths.draws import derive
from tests.kernels.instruction_sets import same_bits, same_on_each
from tests.learner.setting import small

GAMMA, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def orders(many: int, samples: int) -> torch.Tensor:
    return permutation(range(many), [0] * many, 0, samples)


def by_the_definition(seed: int, samples: int) -> list[int]:
    """SplitMix64, Lemire's multiplication with rejection, Fisher and Yates; in whole numbers of Python."""

    def draw() -> int:
        nonlocal seed
        seed = (seed + GAMMA) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) >> 32

    order = list(range(samples))
    for left in range(samples, 1, -1):
        surplus = 2**32 % left
        product = draw() * left
        while product % 2**32 < surplus:
            product = draw() * left
        chosen = product >> 32
        order[chosen], order[left - 1] = order[left - 1], order[chosen]
    return order


@pytest.mark.parametrize("samples", [0, 1, 2, 7, 64, 1024])
def test_every_index_is_there_once(samples):
    found = permutation([3, 4, 5], [0, 1, 2], 1, samples)
    assert found.dtype == torch.int64
    assert [sorted(row) for row in found.tolist()] == [list(range(samples))] * 3


@pytest.mark.parametrize("samples", [1, 5, 300])
def test_an_order_is_what_its_definition_gives(samples):
    [found] = same_on_each(lambda: [permutation([8, 9], [2, 3], 4, samples)])
    for row, (seed, update) in enumerate([(8, 2), (9, 3)]):
        assert found[row].tolist() == by_the_definition(derive(seed, "permutation", update, 4), samples)


@pytest.mark.broken_by(
    "kernels: one order for every epoch",
    "kernels/draws.py",
    "derive(seed, stream, update, epoch)",
    "derive(seed, stream, update)",
)
def test_orders_differ_by_seed_update_epoch_and_stream():
    streams = itertools.product((0, 1), (0, 1), (0, 1), ("permutation", "auxiliary"))
    drawn = {
        tuple(permutation([seed], [update], epoch, 50, stream)[0].tolist())
        for seed, update, epoch, stream in streams
    }
    assert len(drawn) == 16


def test_a_run_has_the_same_order_alone():
    stacked = permutation([5, 6, 7], [1, 1, 9], 2, 100)
    for row, (seed, update) in enumerate([(5, 1), (6, 1), (7, 9)]):
        assert same_bits(permutation([seed], [update], 2, 100), stacked[row : row + 1])


def test_all_orders_of_four_are_as_frequent():
    """Chi-square of 24 cells: 23 degrees of freedom, beyond 49.7 once in a thousand."""
    many = 24_000
    counts = Counter(map(tuple, orders(many, 4).tolist()))
    assert len(counts) == 24
    assert sum((count - 1000.0) ** 2 / 1000.0 for count in counts.values()) < 49.7


def test_every_index_is_as_often_at_every_place():
    """Chi-square of 100 x 100 cells: 99 x 99 degrees of freedom; within 4 deviations of that."""
    many = 10_000
    drawn = orders(many, 100)
    cells = torch.zeros(100, 100).index_put_(
        (torch.arange(100).expand(many, -1), drawn), torch.tensor(1.0), accumulate=True
    )
    expected, freedom = many / 100, 99 * 99
    assert abs(float(((cells - expected) ** 2 / expected).sum()) - freedom) < 4.0 * (2.0 * freedom) ** 0.5


def test_neighbours_are_as_often_together():
    """The successor of each index is any other one, by chi-square as above."""
    drawn = orders(4000, 20)
    pairs = torch.stack((drawn[:, :-1], drawn[:, 1:]), -1).flatten(0, 1)
    cells = torch.zeros(20, 20).index_put_(tuple(pairs.T), torch.tensor(1.0), accumulate=True)
    expected = len(pairs) / (20 * 19)
    apart = ((cells - expected) ** 2 / expected)[~torch.eye(20, dtype=torch.bool)]
    assert abs(float(apart.sum()) - 379) < 4.0 * (2.0 * 379) ** 0.5


def test_sequences_are_whole_environments_in_the_order_of_time():
    steps, envs, parts = 5, 6, 3
    config = small(
        algo={"rollout_steps": steps, "minibatches": parts, "minibatch_of": "sequences"},
        envs={"num_envs": envs},
    )
    [order] = same_on_each(lambda: [sequences([0, 1], [3, 4], 1, config)])
    chosen = permutation([0, 1], [3, 4], 1, envs)
    by_part = order.view(2, parts, steps, envs // parts)
    assert torch.equal(by_part // envs, torch.arange(steps).view(1, 1, -1, 1).expand_as(by_part))
    assert torch.equal(by_part % envs, chosen.view(2, parts, 1, -1).expand_as(by_part))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="samples: expected 0 to"):
        permutation([0], [0], 0, -1)
    with pytest.raises(ValueError, match="zip"):
        permutation([0, 1], [0], 0, 5)
