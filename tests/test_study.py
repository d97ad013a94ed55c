"""`make study`: a small one is trained, resumed and written; what its page says of known figures."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Rlcli, rlcli

__all__ = ["rlcli"]

SCRIPTS = Path(__file__).parents[1] / "scripts"
TINY = ("tuned=none", "algo.rollout_steps=8", "env.num_envs=2", "network.hidden=[4]", "eval.episodes=2")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import study

    monkeypatch.setattr(study.staleness.machine, "description", lambda: {"machine": "a test's"})
    return study


def options(folder: Path, *only: str, minutes: float = 9.0) -> argparse.Namespace:
    return argparse.Namespace(
        runs_dir=folder / "runs", out=folder / "out", page=folder / "docs" / "health.md", only=list(only),
        minutes=minutes,
    )  # fmt: skip


def test_a_small_study_is_trained_resumed_and_written(
    study: Any, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    called: list[str] = []

    def run(*words: str) -> str:
        called.append(words[0])
        ended = rlcli(*words)
        assert ended.code == 0, ended.err
        return ended.out

    monkeypatch.setattr(study.staleness.figures, "rlcli", run)
    # Episodes are short, so that there is a return in so few steps.
    words = (*study.staleness.UNWATCHED, *TINY, "env.kwargs={max_episode_steps: 6}")
    monkeypatch.setattr(study.staleness, "UNWATCHED", words)
    campaign = partial(study.staleness.campaign, "study", write=study.study_page.write)
    rows = [study.Row(algo, "CartPole-v1", lags=(0, 2), seeds=2, steps=96) for algo in ("a2c", "ppo")]
    campaign(rows, options(workplace, "a2c-CartPole-v1"))
    page = workplace / "docs" / "health.md"
    assert called == ["train"]
    assert "1 of 2 rows" in page.read_text()
    assert "- `ppo-CartPole-v1`\n" in page.read_text()
    written = workplace / "out" / "study.json"
    known = json.loads(written.read_text())["rows"]
    runs = known["a2c-CartPole-v1"]["runs"]
    assert {(run["lag"], run["seed"]) for run in runs} == {(0, 0), (0, 1), (2, 0), (2, 1)}
    assert all(0.0 < run["ess"] <= 1.0 and 0.0 < run["return"] <= 6.0 for run in runs)
    campaign(rows, options(workplace, minutes=0.0))
    assert called == ["train"]  # there is no time for the other
    written.unlink()  # as if the script had been killed behind the training
    campaign(rows, options(workplace, "a2c-CartPole-v1"))
    assert called == ["train", "resume"]
    again = json.loads(written.read_text())["rows"]
    assert again["a2c-CartPole-v1"]["runs"] == runs
    (picture,) = re.findall(r"\]\((pictures[^)]+)", page.read_text())
    assert (page.parent / picture).read_text().startswith("<?xml")


def made(algo: str, *returns: float) -> dict[str, Any]:
    """A row whose runs begin at a return of 20, and reach these at lag 0, 1, 4, 16."""
    figures = {"first": 20.0, "kl": 0.01, "low_ess": 0.0, "worst_kl": 0.1, "env_steps": 100}
    runs = [
        figures | {"lag": lag, "seed": seed, "return": value, "ess": 1.0 - 0.05 * lag, "budget": 0.1 * lag}
        for lag, value in zip((0, 1, 4, 16), returns, strict=True)
        for seed in range(5)
    ]
    about = {"command": f"rlcli train -m algo={algo}", "date": "2026-11-30", "with": {"machine": "a test's"}}
    return {"algo": algo, "env": "CartPole-v1", "runs": runs} | about


def test_the_page_says_who_survives(study: Any, tmp_path: Path) -> None:
    rows = {
        "ppo-CartPole-v1": made("ppo", 500.0, 480.0, 261.0, 30.0),
        "trpo-CartPole-v1": made("trpo", 500.0, 480.0, 259.0, 500.0),
        "a2c-CartPole-v1": made("a2c", 500.0, 500.0, 500.0, 400.0),
        "mdpo-CartPole-v1": made("mdpo", 500.0, 20.0, 20.0, 20.0),
        "ppg-CartPole-v1": made("ppg", 19.0, 20.0, 20.0, 20.0),
    }
    study.study_page.write(rows, list(rows), tmp_path / "health.md")
    text = (tmp_path / "health.md").read_text()
    for line in (
        "- Survive lag 16: `a2c`.",
        "- Survive lag 4 and no larger one: `ppo`.",
        "- Survive lag 1 and no larger one: `trpo`.",
        "- Survive no lag: `mdpo`.",
        "- Gain nothing at lag 0 in so few steps: `ppg`.",
        "- Mean budget above 1 at the largest lag: `ppo` (1.6), `trpo` (1.6)",
    ):
        assert line in text
    assert "| `ppo` | 500 | 480 | 261 | 30 | 1.000 | 0.200 | 0% |" in text


def test_every_algorithm_has_its_rows(study: Any) -> None:
    listed = {path.stem for path in (SCRIPTS.parent / "conf" / "algo").glob("*.yaml")} - {
        "ppo_clip",
        "impala_async",
    }
    assert {row.algo for row in study.ROWS} == listed
    assert {row.algo for row in study.ROWS if row.env == "Pendulum-v1"} == listed - set(study.OF_CHOICES)
    assert study.ROWS[0].words[-1] == "total_steps=100000"
