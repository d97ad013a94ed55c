from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.record import WandbConfig
from rlcli.config.schema.run import RunConfig
from rlcli.loggers.interface import RunInfo


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_info(tmp_path: Path) -> Callable[..., RunInfo]:
    """A run of 100 updates of 1,024 steps in an empty directory."""

    def make(
        *, logger: tuple[str, ...] = ("jsonl",), wandb: dict[str, Any] | None = None, **fields: Any
    ) -> RunInfo:
        config = RunConfig(logger=logger, tags=("a", "b"), notes="why", wandb=WandbConfig(**(wandb or {})))
        told = {
            "id": "k3x9",
            "name": "ppo-CartPole-v1-0",
            "dir": tmp_path,
            "config": config,
            "config_dict": {"seed": 0, "algo": dataclasses.asdict(config.algo)},
            "total_steps": 102_400,
            "algo": "ppo",
            "env": "CartPole-v1",
        }
        return RunInfo(**{**told, **fields})

    return make


@pytest.fixture
def info(make_info: Callable[..., RunInfo]) -> RunInfo:
    return make_info()


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    def make(update: int, **more: float) -> dict[str, Any]:
        return {
            "update": update,
            "env_steps": 1024 * update,
            "train/return_100": 20.5 + update,
            "behaviour/ess": 0.985,
            "behaviour/clip_fraction": 0.081,
            "behaviour/kl_mu_pi": 0.0081,
            "update/budget_used": 0.4,
            "epochs/ess": [0.999, 0.99],
        } | {name.replace("__", "/"): value for name, value in more.items()}

    return make
