"""The state's run axis: any member can be taken out, put beside others, and named leaf by leaf."""

from __future__ import annotations

import pytest
import torch

from rlcli.learner.state import named_leaves, select, stack, take, where, with_leaves
from tests.learner.setting import small, stage

CONFIGS = [
    small(seed=seed, lag=2, envs={"normalize_observation": True, "normalize_reward": True}) for seed in (0, 1)
]


@pytest.fixture(scope="module")
def state():
    return stage(*CONFIGS).after(2).state


def equal(left, right) -> bool:
    found, wanted = named_leaves(left), named_leaves(right)
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_every_leaf_has_a_name_and_a_run_axis(state):
    leaves = named_leaves(state)
    assert {
        "policy.parameters",
        "policy.moments.mean",
        "optimiser.steps",
        "queue.parameters",
        "update",
    } <= set(leaves)
    assert all(len(leaf) == 2 for leaf in leaves.values())
    assert leaves["queue.parameters"].shape[1] == 2
    assert leaves["update"].tolist() == [2, 2]


def test_stacking_what_was_taken_gives_it_back(state):
    assert equal(stack([take(state, 0), take(state, 1)]), state)
    assert equal(stack([take(state, 1), take(state, 0)]), select(state, [1, 0]))
    assert not equal(select(state, [1, 0]), state)


def test_what_was_taken_is_a_copy(state):
    part = take(state, 0)
    part.policy.parameters.zero_()
    assert (state.policy.parameters[0] != 0).any()


def test_leaves_go_back_by_name(state):
    other = stage(*CONFIGS).state
    assert not equal(other, state)
    assert equal(with_leaves(other, named_leaves(state)), state)


def test_where_chooses_run_by_run(state):
    other = stage(*CONFIGS).state
    mixed = where(torch.tensor([True, False]), state, other)
    assert equal(select(mixed, [0]), select(state, [0]))
    assert equal(select(mixed, [1]), select(other, [1]))
