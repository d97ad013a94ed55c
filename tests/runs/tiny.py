"""Tiny runs: a few updates of a small network, without a console or an upload."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build
from rlcli.errors import EXIT_DONE
from rlcli.runs.train import Result, train

TINY: dict[str, Any] = {
    "total_steps": 96, "algo.rollout_steps": 16, "algo.epochs": 2, "algo.minibatches": 2, "env.num_envs": 2,
    "network.hidden": (8,), "eval.every": 0, "eval.episodes": 2, "checkpoint.every": 0, "logger": ("jsonl",),
    "checkpoint.seconds": 0.0,
}  # fmt: skip
"""Three updates of 32 steps."""

BATCH = 32


def tiny(**changes: Any) -> RunConfig:
    """A tiny run; `env__id="Pendulum-v1"` sets `env.id`."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    config = build({**TINY, **named})
    return build({**TINY, **named, "schedule_steps": config.schedule_steps or config.total_steps})


def rows_of(run_dir: Path, *, without: str = "time/") -> list[dict[str, Any]]:
    """The rows of a run, less what may differ between equal runs."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(without)} for row in rows]


def manifest_of(run_dir: Path) -> dict[str, Any]:
    """What a run's manifest says."""
    content: dict[str, Any] = json.loads((run_dir / "manifest.json").read_text())
    return content


def index_of(run_dir: Path) -> dict[str, Any]:
    """What a run's checkpoint index says."""
    content: dict[str, Any] = json.loads((run_dir / "checkpoints" / "index.json").read_text())
    return content


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that finished, to be read only."""
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    [result] = train([tiny(checkpoint__every=32)], [run_dir])
    assert result.exit_code == EXIT_DONE
    return run_dir


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Result]:
    """Trains a tiny run below `tmp_path` and says how it ended."""

    def run(name: str = "run", **changes: Any) -> Result:
        return train([tiny(**changes)], [tmp_path / name])[0]

    return run
