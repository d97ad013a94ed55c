"""Whole updates in C against torch, on the same rollouts and in the same order of samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from rlcli.envs import registry
from rlcli.learner.draws import permutation
from rlcli.learner.model import make_model
from rlcli.learner.table import algorithm
from rlcli.learner.update import Update, update
from tests.learner.setting import ROWS, Stage, small, stage

NETWORKS: list[dict[str, Any]] = [{}, {"shared": True, "activation": "silu"}, {"hidden": (17, 5, 9)}]
ENVS = ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"]
PPO: dict[str, Any] = {"entropy_coef": 0.01, "max_grad_norm": 0.5, "normalize_advantage": "minibatch"}
IN_C = ("clipped", "ratio", "score", "spo")
CASES: dict[str, dict[str, Any]] = {
    "ppo": PPO,
    "ppo clipped values": PPO | {"value_clip": 0.2},
    "ppo rmsprop": PPO | {"optimiser": "rmsprop"},
    "ppo summed": PPO | {"loss_reduction": "sum", "optimiser": "sgd", "learning_rate": 1e-4},
    "ppo stopped": PPO | {"target_kl": 1e-4, "target_kl_rule": "minibatch_k3"},
    "ppo stopped by epoch": PPO | {"target_kl": 1e-4, "epochs": 4},
    "ppo recomputed": PPO | {"recompute": "epoch"},
    "impala": {
        "targets": "vtrace", "surrogate": "score", "optimiser": "rmsprop", "normalize_advantage": "none",
    },
    **{name: row for name, row in ROWS.items() if row["surrogate"] in IN_C},
}  # fmt: skip


def in_c(now: Stage, rollout: Any) -> Update:
    """The update of a stage in C, with torch's order of samples."""
    config = now.configs[0]
    model = make_model(config, registry.describe(config.env), in_c=True)
    row = algorithm(config, in_c=True)
    row = replace(row, operations=row.operations._replace(permutation=permutation, exact_rows=False))
    return update(row, now.configs, now.collector.seeds, model, now.state, rollout)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize(
    ("case", "network"),
    [(case, network) for case in CASES for network in NETWORKS if case != "trpo" or "shared" not in network],
    ids=str,
)
@pytest.mark.parametrize("env", ENVS)
def test_updates_in_c_are_those_of_torch(env, case, network, lag):
    now = stage(
        *(small(env, algo=CASES[case], network=network, seed=seed, lag=lag) for seed in (3, 4))
    ).after(2)
    rollout = now.collect()
    one, two = now.learn(rollout), in_c(now, rollout)
    moved = (one.state.policy.parameters - now.state.policy.parameters).abs().amax()
    assert moved > 0
    torch.testing.assert_close(two.state.policy.parameters, one.state.policy.parameters, rtol=1e-4, atol=1e-5)
    for name, figure in one.figures.items():
        torch.testing.assert_close(two.figures[name], figure, rtol=2e-3, atol=1e-5, equal_nan=True, msg=name)
