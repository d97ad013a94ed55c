"""Small sweeps, as `rlcli train -m` runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.sweeps.multirun import Sweep, run_sweep
from rlcli.sweeps.plan import plan, plan_search
from rlcli.sweeps.search.loop import run_search
from tests.sweeps.composing import multirun

SMALL = (
    "total_steps=96", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=2", "algo.minibatches=2",
    "tuned=none", "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]", "checkpoint.every=32",
    "checkpoint.seconds=0", "cohort.workers=1",
)  # fmt: skip
"""Six updates of 16 steps."""

Sweeping = Callable[..., Sweep]


@pytest.fixture
def sweep(workplace: Path) -> Sweeping:
    """`sweep(*overrides)` runs the jobs of a small sweep in an empty directory."""

    def run(*overrides: str) -> Sweep:
        words = [*SMALL, *overrides]
        command = multirun(words)
        return run_sweep(plan(command), command, quiet=True)

    return run


@pytest.fixture
def searched(workplace: Path) -> Sweeping:
    """`searched(*overrides)` runs a small sweep with a sampler in an empty directory."""

    def run(*overrides: str, config_dir: str | None = None) -> Sweep:
        words = [*SMALL, *overrides]
        search = plan_search(multirun(words, config_dir))
        assert search is not None
        return run_search(search, quiet=True)

    return run
