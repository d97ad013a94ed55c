"""`make learning`: what a page of unfinished rows says, and which runs are trained by a second call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import mujoco_learning

    monkeypatch.setattr(mujoco_learning.machine, "description", lambda: {"machine": "a test's"})
    return mujoco_learning


@pytest.fixture
def calls(learning: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Commands that the script ran; a run's return is 1,000 times its seed."""
    found: list[tuple[str, ...]] = []

    def rlcli(*words: str) -> str:
        found.append(words)
        if words[0] == "eval":
            figures = {"return_mean": 1000.0 * int(words[1][-1]), "return_std": 1.0, "episodes": 100}
            return json.dumps(figures)
        name = next((word for word in words if word.startswith("name=")), "name=run-0")
        return json.dumps({"dir": name, "env_steps": 1_000_448})

    monkeypatch.setattr(learning.figures, "rlcli", rlcli)
    return found


def call(learning: Any, monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> str:
    """The page after a call of the script."""
    given = ["mujoco_learning.py", "--out", str(folder), "--runs-dir", str(folder / "runs"), *words]
    monkeypatch.setattr(sys, "argv", given)
    learning.main()
    return (folder / "learning.md").read_text()


def line(page: str, text: str) -> str:
    return next(line for line in page.splitlines() if text in line)


def test_a_page_without_runs_says_so(
    learning: Any, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = call(learning, monkeypatch, tmp_path, "--minutes", "0")
    assert not calls
    assert page.count("none yet") == len(learning.TASKS)
    assert "2,300: unfinished" in line(page, "algo=ppo env=Hopper-v5")


def test_missing_seeds_are_said_and_are_what_a_second_call_trains(
    learning: Any, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call(learning, monkeypatch, tmp_path, "--only", "ppo-Hopper-v5")
    assert sum(words[0] == "train" for words in calls) == learning.SEEDS
    written = tmp_path / "learning.json"
    found = json.loads(written.read_text())
    del found["rows"]["ppo-Hopper-v5"][3]
    written.write_text(json.dumps(found))

    page = call(learning, monkeypatch, tmp_path, "--minutes", "0")
    assert "4 of 5, without 3" in line(page, "algo=ppo env=Hopper-v5")
    assert "2,300: unfinished" in line(page, "algo=ppo env=Hopper-v5")

    calls.clear()
    page = call(learning, monkeypatch, tmp_path, "--only", "ppo-Hopper-v5")
    assert [words[0] for words in calls] == ["train", "eval"]
    assert "seed=3" in calls[0]
    # the middle half of 0, 1, 2, 3 and 4 thousand is 2,000
    assert "| 2,000 | 0 | 4,000 | 0, 1,000, 2,000, 3,000, 4,000 | 2,300: missed |" in page


def test_a_run_with_a_checkpoint_is_resumed(
    learning: Any, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = next(task for task in learning.TASKS if task.name == "ppo-Hopper-v5")
    killed = tmp_path / "runs" / f"learning-ppo-Hopper-v5-{task.settings()}-0"
    (killed / "checkpoints").mkdir(parents=True)
    (killed / "checkpoints" / "index.json").write_text("{}")
    call(learning, monkeypatch, tmp_path, "--only", "ppo-Hopper-v5")
    assert [words[0] for words in calls if words[0] != "eval"] == ["resume"] + ["train"] * 4


def test_changed_settings_are_measured_again_and_comments_are_none(
    learning: Any, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    for task in learning.TASKS:
        (tuned / task.algo).mkdir(parents=True, exist_ok=True)
        (tuned / task.algo / f"{task.env}.yaml").write_text("algo:\n  gamma: 0.99\n")
    monkeypatch.setattr(learning, "TUNED", tuned)
    call(learning, monkeypatch, tmp_path, "--only", "trpo-Hopper-v5")
    calls.clear()
    (tuned / "trpo" / "Hopper-v5.yaml").write_text("# a comment\nalgo:\n  gamma: 0.99\n")
    call(learning, monkeypatch, tmp_path, "--only", "trpo-Hopper-v5")
    assert not calls
    (tuned / "trpo" / "Hopper-v5.yaml").write_text("algo:\n  gamma: 0.999\n")
    assert "none yet" in line(
        call(learning, monkeypatch, tmp_path, "--minutes", "0"), "algo=trpo env=Hopper-v5"
    )
    call(learning, monkeypatch, tmp_path, "--only", "trpo-Hopper-v5")
    assert sum(words[0] == "train" for words in calls) == learning.SEEDS


def test_an_unknown_row_is_refused(
    learning: Any, calls: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="no such row: ppo-Hoper-v5; there are ppo-HalfCheetah-v5"):
        call(learning, monkeypatch, tmp_path, "--only", "ppo-Hoper-v5")
    assert not calls
