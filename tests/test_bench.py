"""`make bench`: its arithmetic, its page, and that each part keeps its numbers when another is measured."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.compose import compose

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench

    monkeypatch.setattr(bench.machine, "description", lambda: {"machine": "a test's"})
    return bench


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{"rounds": 3, "updates": None, "seconds": 8.0, "python": "none", "processor": False} | given
    )


def test_speed_is_the_difference_of_two_lengths(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up counts for nobody; ratios are taken round by round."""
    loads = iter(load for load in (1.0, 1.0, 2.0, 2.0, 4.0, 4.0) for _ in range(2))

    def seconds(_: str, __: str, ___: bool, contestant: str, updates: int) -> float:
        start, one = {bench.IN_C: (3.0, 0.5)}.get(contestant, (9.0, 2.0))
        return start + one * updates * next(loads)

    monkeypatch.setattr(bench, "seconds", seconds)
    work = bench.CONTESTS["trpo-cartpole"].work
    result = bench.measured("trpo-cartpole", options(updates=10))
    peer, ours = result["speed"].values()
    assert peer["all"] == [work.batch / 2.0 / load for load in (1.0, 2.0, 4.0)]
    assert ours["times_the_peer"]["all"] == [4.0, 4.0, 4.0]
    assert ours["median"] == work.batch / 0.5 / 2.0
    assert result["updates"][bench.IN_C] == (bench.SHORT, bench.SHORT + 10)


def test_a_cohort_counts_the_steps_of_all_its_runs_and_no_jax_is_said(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "seconds", lambda _, __, ___, ____, updates: float(updates))
    monkeypatch.setattr(bench, "has_jax", lambda _: False)
    result = bench.measured("W1x32", options(updates=10))
    assert result["speed"][bench.IN_C]["times_the_peer"]["median"] == 32.0
    assert result["speed"][bench.JAX] == "not installed"
    assert "| W1x32 | JAX loop | not installed |" in bench.page({"W1x32": result})
    assert "'seed=range(32)' cohort.workers=1" in result["command"]


@pytest.mark.parametrize("update", [0.001, 0.3, 20.0])
def test_long_runs_take_about_the_seconds_that_are_asked_for(bench: Any, update: float) -> None:
    updates = bench.more(lambda length: 5.0 + update * length, 8.0)
    assert updates == max(1, -(-8.0 // update)) or 7.9 < updates * update < 8.1


def test_other_parts_keep_their_numbers(bench: Any, tmp_path: Path) -> None:
    start = {
        "command": "rlcli train", "date": "today", "rounds": 1, "load_before": 0.5,
        "with": {"machine": "one"},
        "first_update_seconds": bench.summary([1.5]), "peak_memory_mb": bench.summary([300.0]),
    }  # fmt: skip
    (tmp_path / "bench.json").write_text(json.dumps({"speed": "of an older version", "start": start}))
    digests = start | {
        "digest_microseconds": bench.summary([200.0, 300.0, 900.0]), "digest_share": bench.summary([0.02]),
        "with": {"machine": "two"},
    }  # fmt: skip
    bench.save(tmp_path, {"digests": digests})
    assert list(json.loads((tmp_path / "bench.json").read_text())) == ["start", "digests"]
    page = (tmp_path / "bench.md").read_text()
    assert "stands 1.50 s" in page
    assert "take 300 µs, 2.0% of it" in page
    assert "| machine | one, two |" in page


def test_every_command_is_one_that_rlcli_takes(bench: Any) -> None:
    for contest in bench.CONTESTS.values():
        config = compose(contest.work.command[1:]).config
        assert config.env.id == contest.work.env
        assert config.batch_size == contest.work.batch
        if config.algo.name == "ppo":
            assert config.batch_size == config.algo.minibatches * contest.work.samples
        assert (config.eval.every, config.eval.episodes) == (0, 0)
        assert config.tuned == "none"


def test_an_unknown_part_is_refused() -> None:
    command = [sys.executable, str(SCRIPTS / "bench.py"), "--only", "W1,nothing"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no 'nothing'; choose from W1, W1x32" in done.stderr
