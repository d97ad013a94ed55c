"""Cohorts of networks with memory for tests, with episodes of a few steps."""

from __future__ import annotations

from typing import Any

from rlcli.config.schema.run import RunConfig
from tests.learner.setting import ROWS, small

SHORT = {"kwargs": {"max_episode_steps": 7}}
SEQUENCES = {"minibatch_of": "sequences"}


def remembering(cell: str, *, row: str = "ppo", seed: int = 0, **others: Any) -> RunConfig:
    """A run whose network is a cell of 5 units after a layer of 6."""
    algo = SEQUENCES | ROWS.get(row, {}) | others.pop("algo", {})
    network = {"name": cell, "hidden": (6,), "cell_size": 5} | others.pop("network", {})
    envs = SHORT | others.pop("envs", {})
    return small(algo=algo, network=network, envs=envs, seed=seed, **others)
