"""Which samples go into which minibatch."""

from __future__ import annotations

import pytest
import torch

from rlcli.config.compose import compose
from rlcli.errors import UserError
from rlcli.learner import table
from rlcli.learner.draws import permutation, sequences, shuffle
from tests.learner.setting import ROWS, hold, small, stage

STEPS, ENVS, PARTS = 5, 6, 3
CONFIG = small(
    algo={"rollout_steps": STEPS, "minibatches": PARTS, "minibatch_of": "sequences"}, envs={"num_envs": ENVS}
)


@pytest.mark.broken_by(
    "sequences cut across environments",
    "learner/draws.py",
    "    starts = envs * torch.arange(steps).view(1, 1, -1, 1)\n",
    "    starts = torch.arange(steps).view(1, 1, -1, 1)\n",
)
@pytest.mark.broken_by(
    "sequences environment by environment within a part",
    "learner/draws.py",
    "    return (starts + chosen).flatten(1)\n",
    "    return (starts + chosen).transpose(-1, -2).flatten(1)\n",
)
def test_a_part_holds_whole_environments_in_the_order_of_time():
    order = sequences(permutation, [0, 1], [3, 4], 1, CONFIG)
    samples = torch.arange(2 * STEPS * ENVS).view(2, STEPS * ENVS)
    parts = shuffle(order, PARTS)(samples)
    assert sorted(order[0].tolist()) == list(range(STEPS * ENVS))
    met = []
    for part in parts.view(PARTS, 2, STEPS, ENVS // PARTS).unbind(0):
        for run in range(2):
            time, env = (part[run] - run * STEPS * ENVS) // ENVS, (part[run] - run * STEPS * ENVS) % ENVS
            assert torch.equal(time, torch.arange(STEPS).unsqueeze(1).expand(-1, ENVS // PARTS))
            assert (env == env[0]).all()
            met += [(run, one) for one in env[0].tolist()]
    assert sorted(met) == [(run, env) for run in range(2) for env in range(ENVS)]


def test_environments_are_drawn_anew_for_each_run_update_and_epoch():
    many = small(algo={"minibatches": 4, "minibatch_of": "sequences"}, envs={"num_envs": 24})
    orders = {
        tuple(sequences(permutation, [seed], [update], epoch, many)[0].tolist())
        for seed in (0, 1) for update in (0, 1) for epoch in (0, 1)
    }  # fmt: skip
    assert len(orders) == 8


@pytest.mark.broken_by(
    "samples where sequences are asked for",
    "learner/prepare.py",
    "    if algorithm.whole_sequences:\n",
    "    if not algorithm.whole_sequences:\n",
)
@pytest.mark.parametrize("row", [*ROWS, "ppo"])
def test_every_row_that_shuffles_trains_by_sequences(row, monkeypatch):
    """And asks for no other order."""

    algo = ROWS.get(row, {}) | {"minibatch_of": "sequences"}
    auxiliary = (
        {"auxiliary_every": 2, "auxiliary_epochs": 1, "auxiliary_minibatches": 4} if row == "ppg" else {}
    )
    now = stage(*(small(seed=seed, algo=algo | auxiliary) for seed in (0, 1)))

    def of_environments(seeds, updates, epoch, samples, stream):
        assert samples == 4, "an order of samples was asked for"
        return permutation(seeds, updates, epoch, samples, stream)

    monkeypatch.setattr(table, "TORCH", table.TORCH._replace(permutation=of_environments))
    learned = now.learn(now.collect())
    assert all(all(mask) for mask in hold(learned).values())
    assert (learned.figures["behaviour/kl_mu_pi"] > 0).all()


def test_one_part_of_sequences_is_the_whole_batch():
    algo = {"minibatches": 1, "epochs": 2}
    whole, parts = (stage(small(algo=algo | {"minibatch_of": kind})) for kind in ("samples", "sequences"))
    rollout = whole.collect()
    assert torch.equal(
        whole.learn(rollout).state.policy.parameters, parts.learn(rollout).state.policy.parameters
    )


def test_minibatches_must_divide_the_environments():
    with pytest.raises(UserError, match=r"algo\.minibatches=4 does not divide env\.num_envs=6"):
        compose(["algo.minibatch_of=sequences", "env.num_envs=6", "algo.minibatches=4"])
    assert compose(["algo.minibatch_of=sequences"]).config.algo.minibatch_of == "sequences"


def test_an_order_is_of_every_sample_once():
    order = permutation([0, 1], [0, 0], 0, 12)
    assert [sorted(row) for row in order.tolist()] == [list(range(12))] * 2
    assert (order[0] != order[1]).any()
