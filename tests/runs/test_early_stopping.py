"""Early stopping: the update at which a run ends, exact under resume, reproduce and in cohorts."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.compose import compose
from rlcli.config.overrides import parse_command
from rlcli.errors import EXIT_SIGINT, UserError
from rlcli.runs.early_stopping import stop_at_fits
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.resume import resume
from rlcli.runs.train import Result, train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.digests import read_lines
from tests.runs.resuming import (
    assert_same_run,
    assert_same_states,
    figures,
    resumed,
    train_with_copies,
    without_evaluations,
)
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny

Trained = Callable[..., Result]
Rows = Sequence[dict[str, Any]]

SETTINGS: dict[str, Any] = {
    "total_steps": 10 * BATCH, "env__id": "Pendulum-v1", "env__kwargs": {"max_episode_steps": 7},
    "algo__learning_rate": 0.02, "eval__every": 2 * BATCH, "checkpoint__every": 3 * BATCH, "digest__every": 4,
}  # fmt: skip
"""Ten updates with short episodes: every second is evaluated, every third saved, every fourth digested."""
LOWER = ("loss/value", "eval/return_std")
METRICS = ("eval/return_mean", "train/return_mean", *LOWER)


def end(rows: Rows, metric: str, threshold: float, wanted: int) -> int | None:
    """The update after which early stopping ends a run, written out from its definition."""
    having = [
        row for row in rows if metric in row and not (metric.startswith("eval/") and "eval/final" in row)
    ]
    for last in range(wanted, len(having) + 1):
        values = [row[metric] for row in having[last - wanted : last]]
        if all(value <= threshold if metric in LOWER else value >= threshold for value in values):
            return int(having[last - 1]["update"])
    return None


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that does not stop early."""
    run_dir = tmp_path_factory.mktemp("runs") / "free"
    train([tiny(**SETTINGS)], [run_dir])
    return run_dir


def threshold_within(rows: Rows, metric: str, wanted: int) -> tuple[float, int]:
    """A threshold that ends the run neither at its first nor at its last opportunity, and that update."""
    values = [row[metric] for row in rows if metric in row]
    ends = {value: end(rows, metric, value, wanted) for value in values}
    every = 2 if metric.startswith("eval/") else 1
    found = [(value, at) for value, at in ends.items() if at is not None and every * wanted < at < 10]
    assert found, (metric, wanted, values)
    return found[0]


@pytest.mark.broken_by(
    "a value that misses the threshold forgotten",
    "runs/early_stopping.py",
    "self._reached + 1 if (value >= threshold if higher else value <= threshold) else 0",
    "self._reached + (value >= threshold if higher else value <= threshold)",
    case="2-train/return_mean",
)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("wanted", [1, 2])
def test_a_run_ends_at_the_update_of_the_definition(
    metric: str, wanted: int, free: Path, trained: Trained
) -> None:
    rows = rows_of(free)
    threshold, last = threshold_within(rows, metric, wanted)
    stop: dict[str, Any] = {
        "stop_at__metric": metric, "stop_at__threshold": threshold, "stop_at__evaluations": wanted,
    }  # fmt: skip
    result = trained(**SETTINGS, **stop)
    assert (result.status, result.exit_code, result.updates) == ("finished", 0, last)
    found = rows_of(result.dir)
    assert found[:-1] == rows[: last - 1]
    assert found[-1] == found[-1] | {name: rows[last - 1][name] for name in rows[last - 1]}
    assert "eval/return_mean" in found[-1]
    assert ("eval/final" in found[-1]) == (last % 2 == 1)
    assert Checkpoints(result.dir).load().update == last
    assert [line.update for line in read_lines(result.dir)] == [*range(4, last, 4), last]
    manifest = manifest_of(result.dir)
    assert (manifest["status"], manifest["updates"], manifest["message"]) == (
        "finished",
        last,
        result.message,
    )
    reason = f"{metric}={found[-1][metric]:.6g} reached stop_at.threshold="
    assert result.message is not None
    assert result.message.startswith(reason)
    assert ("in 2 consecutive" in result.message) == (wanted == 2)


@pytest.mark.broken_by(
    "earlier values forgotten by a resume",
    "runs/early_stopping.py",
    "for value in earlier:",
    "for value in ():",
    case="train/return_mean",
)
@pytest.mark.parametrize("metric", METRICS)
def test_a_resumed_run_ends_where_the_uninterrupted_does(metric: str, free: Path, tmp_path: Path) -> None:
    """Wherever it was killed: before a checkpoint, after one, after the last row."""
    threshold, last = threshold_within(rows_of(free), metric, 2)
    stop = {"stop_at__metric": metric, "stop_at__threshold": threshold, "stop_at__evaluations": 2}
    whole, copies = train_with_copies(tiny(**SETTINGS, **stop), tmp_path / "run", range(1, last + 1))
    assert len(copies) == whole.updates == last
    for killed in copies[:-1]:
        resumed(killed)
        assert_same_run(killed, whole.dir)
        assert manifest_of(killed)["message"] == whole.message
    ended = resumed(copies[-1])  # all was saved: only the end was not recorded
    assert (ended.status, ended.updates, ended.message) == ("finished", last, whole.message)
    assert rows_of(copies[-1]) == rows_of(whole.dir)
    assert_same_states(copies[-1], whole.dir)


def test_an_interrupted_final_evaluation_is_made_by_the_resume(
    free: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(free)
    values = {row["update"]: row["train/return_mean"] for row in rows if "train/return_mean" in row}
    last = next(
        update for update in (3, 5, 7, 9) if end(rows, "train/return_mean", values[update], 1) == update
    )
    config = tiny(**SETTINGS, stop_at__metric="train/return_mean", stop_at__threshold=values[last])
    [whole] = train([config], [tmp_path / "whole"])
    assert whole.updates == last
    from rlcli.runs import evaluations as module

    evaluate = module.evaluate
    left = [last // 2]

    def interrupted(*given: Any, **options: Any) -> Any:
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
            return None
        left[0] -= 1
        return evaluate(*given, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, "evaluate", interrupted)
        [result] = train([config], [tmp_path / "run"])
    assert (result.status, result.exit_code, result.updates) == ("interrupted", EXIT_SIGINT, last)
    resumed(result.dir)
    assert_same_run(result.dir, whole.dir)
    assert manifest_of(result.dir)["message"] == whole.message


def test_a_member_of_a_cohort_ends_alone(tmp_path: Path) -> None:
    configs = [tiny(**SETTINGS, seed=seed) for seed in range(3)]
    alone = train([configs[0]], [tmp_path / "first"])[0]
    threshold, last = threshold_within(rows_of(alone.dir), "train/return_mean", 1)
    configs[0] = tiny(**SETTINGS, stop_at__metric="train/return_mean", stop_at__threshold=threshold)
    dirs = [tmp_path / f"together {seed}" for seed in range(3)]
    together = train(configs, dirs)
    assert [result.updates for result in together] == [last, 10, 10]
    assert [result.status for result in together] == ["finished"] * 3
    assert [result.message is None for result in together] == [False, True, True]
    for config, member in zip(configs, together, strict=True):
        [single] = train([config], [tmp_path / f"alone {config.seed}"])
        assert_same_run(member.dir, single.dir)


@pytest.mark.broken_by(
    "early stopping left out of a reproduction",
    "runs/reproduce.py",
    "StopAtConfig() if _stop_at_changed(manifest, config) else config.stop_at",
    "StopAtConfig()",
    case="loss/value",
)
@pytest.mark.parametrize("metric", ["eval/return_mean", "loss/value"])
def test_a_reproduction_ends_at_the_same_update_for_the_same_reason(
    metric: str, free: Path, trained: Trained, tmp_path: Path
) -> None:
    threshold, last = threshold_within(rows_of(free), metric, 1)
    run = trained(**SETTINGS, stop_at__metric=metric, stop_at__threshold=threshold)
    planned = plan(run.dir)
    assert f"digests up to update {last} of 10: {run.message}." in " ".join(planned.notes)
    again = reproduce(planned, tmp_path / "again")
    assert again.identical
    assert (again.result.updates, again.result.status, again.result.message) == (
        last,
        "finished",
        run.message,
    )
    assert rows_of(again.result.dir) == rows_of(run.dir)


def test_a_run_whose_early_stopping_changed_is_reproduced_to_its_end(
    free: Path, trained: Trained, tmp_path: Path
) -> None:
    rows = rows_of(free)
    threshold, last = threshold_within(rows, "train/return_mean", 1)
    run = trained(**SETTINGS, stop_at__metric="train/return_mean", stop_at__threshold=threshold)
    resumed(run.dir, "stop_at.threshold=1000")
    resumed(run.dir, "total_steps=352", f"stop_at.threshold={threshold}")
    updates = manifest_of(run.dir)["updates"]
    assert updates > last
    planned = plan(run.dir)
    assert any("early stopping was changed" in note for note in planned.notes)
    again = reproduce(planned, tmp_path / "again")
    assert again.identical
    assert again.until == updates


@pytest.mark.broken_by(
    "a run that stopped early resumed",
    "runs/stopped_run.py",
    "self.config.updates <= self._done or self._stop_reason is not None",
    "self.config.updates <= self._done",
)
def test_a_run_that_stopped_early_is_finished(free: Path, trained: Trained) -> None:
    threshold, last = threshold_within(rows_of(free), "train/return_mean", 1)
    run = trained(**SETTINGS, stop_at__metric="train/return_mean", stop_at__threshold=threshold)
    files = {path: path.read_bytes() for path in run.dir.rglob("*") if path.is_file()}
    result = resume(run.dir)
    assert (result.status, result.updates) == ("finished", last)
    assert result.message is not None
    assert f"finished ({run.message}), there is nothing to do" in result.message
    with pytest.raises(UserError, match="total_steps=640 has nothing left") as caught:
        resume(run.dir, parse_command(["total_steps=640"]))
    assert str(caught.value.hint).endswith(" stop_at.threshold=null")
    unlocked = {path: path.read_bytes() for path in files}
    assert unlocked == files


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_threshold_it_trains_on_as_if_it_had_not_stopped(
    metric: str, free: Path, trained: Trained
) -> None:
    """Only the evaluation at the end that it had stays in its row."""
    threshold, last = threshold_within(rows_of(free), metric, 1)
    run = trained(**SETTINGS, stop_at__metric=metric, stop_at__threshold=threshold)
    result = resumed(run.dir, "stop_at.threshold=null")
    assert result.message is None
    rows = rows_of(run.dir)
    if "eval/final" in rows[last - 1]:
        rows[last - 1 : last] = without_evaluations(rows[last - 1 : last])
    assert rows == rows_of(free)
    assert (run.dir / "digests.txt").read_text() == (free / "digests.txt").read_text()
    assert_same_states(run.dir, free)
    assert figures(run.dir) == figures(free)


def test_a_threshold_that_is_never_reached_changes_nothing(free: Path, trained: Trained) -> None:
    run = trained(**SETTINGS, stop_at__threshold=1e9)
    assert (run.updates, run.message) == (10, None)
    assert_same_run(run.dir, free)
    for name in index_of(free)["kept"]:
        file = f"checkpoints/{name}.safetensors"
        assert (run.dir / file).read_bytes() == (free / file).read_bytes()


@pytest.mark.broken_by(
    "an evaluation off the schedule counted",
    "runs/recorder.py",
    "if self._evaluation_on_schedule:\n                self._early_stopping.add(figures)",
    "self._early_stopping.add(figures)\n            if self._evaluation_on_schedule:\n                pass",
)
def test_the_evaluation_at_the_end_does_not_count(trained: Trained) -> None:
    """A longer run does not have it: trained further, the run must not remember it."""
    settings = SETTINGS | {"total_steps": 5 * BATCH, "eval__every": 4 * BATCH}
    run = trained(**settings, stop_at__threshold=-1e9, stop_at__evaluations=2)
    assert (run.updates, run.message) == (5, None)
    evaluated = [row for row in rows_of(run.dir) if "eval/return_mean" in row]
    assert [(row["update"], "eval/final" in row) for row in evaluated] == [(4, False), (5, True)]
    longer = resumed(run.dir, f"total_steps={10 * BATCH}")
    assert longer.updates == 8


def fits(*words: str) -> list[str]:
    job = compose(["tuned=none", *words])
    return [fault.text for fault in stop_at_fits(job.config, job.provenance)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("stop_at.metric=eval/return_mean",), "no effect without stop_at.threshold"),
        (("stop_at.evaluations=3",), "no effect without stop_at.threshold"),
        (("stop_at.threshold=1", "stop_at.metric=train/retrun_100"), "Did you mean 'train/return_100'"),
        (("stop_at.threshold=1", "stop_at.metric=epochs/ess"), "is a list"),
        (("stop_at.threshold=1", "stop_at.metric=time/elapsed"), "could not be repeated"),
        (("stop_at.threshold=1", "stop_at.metric=update/entropy"), "neither better high nor low"),
        (("stop_at.threshold=1", "eval.every=0"), "eval.every=0"),
        (("stop_at.threshold=1", "eval.every=1000", "eval.episodes=0"), "eval.episodes=0"),
        (("stop_at.threshold=1", "eval.every=1000", "logger=[console]"), "needs logger jsonl"),
    ],
)
def test_settings_that_cannot_work_are_refused(words: tuple[str, ...], expected: str) -> None:
    [fault] = fits(*words)
    assert expected in fault


def test_settings_that_work() -> None:
    assert fits() == []
    assert fits("stop_at.threshold=-200") == []
    assert fits("stop_at.threshold=-200", "eval.every=1000", "stop_at.evaluations=3") == []
    assert fits("stop_at.threshold=195", "stop_at.metric=train/return_100") == []
    assert fits("stop_at.threshold=0.1", "stop_at.metric=loss/value", "eval.episodes=0") == []


def test_a_config_from_before_the_keys_has_no_early_stopping(trained: Trained) -> None:
    run = trained(total_steps=BATCH).dir
    text = (run / "config.yaml").read_text()
    kept = [
        line
        for line in text.splitlines()
        if not line.startswith(("stop_at:", "  threshold", "  evaluations"))
    ]
    (run / "config.yaml").write_text("\n".join(line for line in kept if "metric: eval/" not in line) + "\n")
    planned = plan(run)
    assert planned.config.stop_at.threshold is None
    assert json.dumps(planned.notes).count("stop_at.") == 3
