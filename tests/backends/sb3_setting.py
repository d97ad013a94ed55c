"""Configs of the three algorithms that Stable-Baselines3 has too, and one update by both backends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from rlcli.backends import sb3
from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.learner import state as states
from rlcli.learner import table
from rlcli.learner import update as learner
from rlcli.learner.table import algorithm
from rlcli.learner.update import Update
from tests.learner.setting import small

ROWS: dict[str, dict[str, Any]] = {
    "ppo": {"surrogate": "clipped", "epochs": 3, "minibatches": 4},
    "a2c": {
        "surrogate": "score", "epochs": 1, "minibatches": 1, "optimiser": "rmsprop", "gae_lambda": 1.0,
        "learning_rate": 7e-4, "learning_rate_schedule": "constant", "normalize_advantage": "none",
    },
    "trpo": {
        "surrogate": "ratio", "step_rule": "natural", "epochs": 3, "minibatches": 4,
        "learning_rate_schedule": "constant", "normalize_advantage": "batch", "max_grad_norm": None,
    },
}  # fmt: skip


def like(
    row: str, env: str = "CartPole-v1", *, algo: dict[str, Any] | None = None, **others: Any
) -> RunConfig:
    """A small config of one of the three."""
    return small(env, algo=ROWS[row] | (algo or {}), **{"backend": "sb3"} | others)


class Both(NamedTuple):
    """One update from the same parameters, on the same rollout, in the same order of samples."""

    before: torch.Tensor
    """[P]: parameters both begin with."""
    native: Update
    sb3: Update
    buffer: dict[str, torch.Tensor]
    """What SB3's buffer held, [1, T N] in our order of samples."""
    rollout: Rollout


def both(config: RunConfig, updates: int = 0, ddof: int = 1) -> Both:
    """The update after `updates` done ones, by SB3 and by us.

    We whiten advantages with SB3's divisor (`ddof`), and take our minibatches in its order.
    """
    member = sb3._Member([config], None)
    for _ in range(updates):
        assert isinstance(member.update()[0], dict)
    state, done = member._state, [updates]
    steps, lanes = config.algo.rollout_steps, config.env.num_envs
    rollout, _ = member._stepped.collect(states.behaviour(state), done)
    filled = member._sb3.rollout_buffer
    held = {
        name: torch.from_numpy(getattr(filled, name).reshape(1, -1).copy())
        for name in ("advantages", "returns", "values", "log_probs")
    }
    orders: list[np.ndarray] = []
    draw, plain = np.random.permutation, table.TORCH

    def noted(samples: int) -> np.ndarray:
        orders.append(draw(samples))
        return orders[-1]

    def as_sb3(advantages: torch.Tensor) -> torch.Tensor:
        count = advantages.shape[-1]
        return plain.whiten(advantages) * ((count - ddof) / count) ** 0.5

    def order(_: object, __: object, epoch: int, samples: int, ___: str) -> torch.Tensor:
        passes = orders[1:] if config.algo.step_rule == "natural" else orders
        lane, time = np.divmod(passes[epoch], steps)
        return torch.from_numpy(time * lanes + lane).unsqueeze(0)

    given = [config], [config.seed], member._model, state, rollout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "permutation", noted)
        whitened = replace(member._algorithm, operations=plain._replace(whiten=as_sb3))
        theirs = learner.update(whitened, *given)
        patch.setattr(table, "TORCH", plain._replace(whiten=as_sb3, permutation=order))
        patch.setattr("rlcli.learner.sgd.whiten", as_sb3)
        ours = learner.update(algorithm(config), *given)
    member.close()
    return Both(state.policy.parameters[0], ours, theirs, held, rollout)
