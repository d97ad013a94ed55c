"""`make lag`: a small one is trained and written; what its page says of known figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.compose import compose
from tests.cli.conftest import Rlcli, rlcli

__all__ = ["rlcli"]

SCRIPTS = Path(__file__).parents[1] / "scripts"
TINY = (
    "tuned=none", "algo.rollout_steps=8", "env.num_envs=2", "network.hidden=[4]", "eval.episodes=2",
    "env.kwargs={max_episode_steps: 6}",
)  # fmt: skip


@pytest.fixture
def lag(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import lag

    monkeypatch.setattr(lag.staleness.machine, "description", lambda: {"machine": "a test's"})
    return lag


def test_a_small_one_is_trained_with_actors_and_written(
    lag: Any, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    def run(*words: str) -> str:
        ended = rlcli(*words)
        assert ended.code == 0, ended.err
        return ended.out

    monkeypatch.setattr(lag.staleness.figures, "rlcli", run)
    monkeypatch.setattr(lag.staleness, "UNWATCHED", (*lag.staleness.UNWATCHED, *TINY))
    monkeypatch.setattr(lag, "ACTORS", (1,))
    monkeypatch.setattr(lag, "QUEUES", (2,))
    inline, bare, actors, *_ = lag.rows_of("CartPole-v1", (0, 2), seeds=1, steps=96)
    given = argparse.Namespace(
        runs_dir=workplace / "runs", out=workplace / "out", page=workplace / "docs" / "lag.md", minutes=9.0,
        only=[inline.name, actors.name],
    )  # fmt: skip
    lag.staleness.campaign("lag", [inline, bare, actors], given, lag.lag_page.write)
    known = json.loads((workplace / "out" / "lag.json").read_text())["rows"]
    (run_with_actors,) = known["impala_async-CartPole-v1"]["runs"]
    assert 0.0 <= run_with_actors["lag"] <= 3.0
    assert (run_with_actors["actors"], run_with_actors["queue"]) == (1, 2)
    assert [run["lag"] for run in known["impala-CartPole-v1"]["runs"]] == [0, 2]
    assert all(0.0 < run["late"] <= 6.0 for run in known["impala-CartPole-v1"]["runs"])
    page = given.page.read_text()
    assert "1 of 3 rows, named as `make lag ARGS='--only NAME'` takes them:\n\n- `uncorrected-C" in page
    assert (
        (workplace / "docs" / "pictures" / "lag" / "CartPole-v1-returns.svg").read_text().startswith("<?xml")
    )


def made(label: str, *returns: tuple[float, float], **more: float) -> dict[str, Any]:
    """A row with two seeds per lag, which reach these returns at lag 0, 1, 4."""
    figures = {"first": 20.0, "low_ess": 0.0, "worst_kl": 0.1, "env_steps": 100, "budget": 0.1}
    runs = [
        figures
        | {"lag": lag, "seed": seed, "late": value, "return": value, "ess": 1.0 - 0.05 * lag, "kl": 0.1 * lag}
        | more
        for lag, values in zip((0, 1, 4), returns, strict=True)
        for seed, value in enumerate(values)
    ]
    about = {"command": f"rlcli train -m {label}", "date": "2026-11-30", "with": {"machine": "a test's"}}
    return {"label": label, "env": "CartPole-v1", "runs": runs} | about


def test_the_page_compares_with_and_without_correction(lag: Any, tmp_path: Path) -> None:
    """Where intervals overlap it says so; actors stand beside the nearest lag."""
    actors = made(
        "impala_async", (30.0, 30.0), (30.0, 40.0), (40.0, 40.0), ess=0.9, kl=0.2, actors=2, queue=16
    )
    for number, run in enumerate(actors["runs"]):
        run |= {"lag": 3.0 + 0.1 * number}
    rows = {
        "impala-CartPole-v1": made("impala", (500.0, 490.0), (480.0, 470.0), (300.0, 200.0)),
        "uncorrected-CartPole-v1": made("uncorrected", (490.0, 500.0), (100.0, 90.0), (250.0, 100.0)),
        "impala_async-CartPole-v1": actors,
    }
    lag.lag_page.write(rows, list(rows), tmp_path / "lag.md")
    text = (tmp_path / "lag.md").read_text()
    for line in (
        "- At lag 0: equal to the last digit with and without V-trace.",
        "- At lag 1: V-trace is better.",
        "- At lag 4: the intervals with and without V-trace overlap.",
        "| `uncorrected` | 495 | 95 | 175 | none |",
        "- Measured lags with actors: from 3.0 to 3.5.",
        "| 2 | 16 | 3.2 | 35 | 35 | 0.900 | 0.2 | 4 | 250 | 250 | 0.800 | 0.4 |",
    ):
        assert line in text
    assert "Not measured yet" not in text


def test_every_row_is_one_that_rlcli_takes(lag: Any) -> None:
    """The rows of impala differ in nothing but its correction and its actors."""
    for row in lag.ROWS[3:9]:
        assert compose([*row.settings, f"env={row.env}"]).config.env.id == row.env
    inline, bare = (compose([*row.settings, f"env={row.env}"]).config for row in lag.ROWS[:2])
    assert (inline.algo.targets, bare.algo.targets, bare.algo.gae_lambda) == ("vtrace", "gae", 1.0)
    assert [name for name in vars(inline.algo) if getattr(inline.algo, name) != getattr(bare.algo, name)] == [
        "targets"
    ]
