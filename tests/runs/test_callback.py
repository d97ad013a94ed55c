"""Callbacks of a Python program: `rlcli.train(..., on_row=f)` between updates."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rlcli
from rlcli.errors import UserError
from rlcli.runs.reproduce import plan, reproduce
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.digests import read_lines
from tests.runs.resuming import assert_same_run, assert_same_states, resumed, without_evaluations
from tests.runs.tiny import manifest_of, rows_of

WORDS = (
    "tuned=none", "total_steps=256", "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[8]",
    "algo.epochs=2", "algo.minibatches=2", "eval.every=96", "eval.episodes=2", "checkpoint.every=64",
    "checkpoint.seconds=0",
    "digest.every=4", "logger=[jsonl]",
)  # fmt: skip
"""Eight updates; the third and the sixth are evaluated, every second is saved, every fourth digested."""


def trained(name: str, **options: Any) -> rlcli.Result:
    return rlcli.train([*WORDS, f"name={name}"], **options)


def stop_at(update: int) -> Any:
    return lambda row: rlcli.STOP if row["update"] == update else None


def test_it_gets_every_row_as_it_is_written(workplace: Path) -> None:
    seen: list[dict[str, Any]] = []
    result = trained("one", on_row=seen.append)
    assert (result.status, result.updates, result.message) == ("finished", 8, None)
    written = rows_of(result.dir, without="none")
    volatile = {"time/elapsed", "time/steps_per_second"}  # of the moment
    assert [row.keys() for row in seen] == [row.keys() for row in written]
    for row, one in zip(written, seen, strict=True):
        assert [name for name in row if row[name] != one[name] and name not in volatile] == []
    assert ["eval/return_mean" in row for row in seen] == [update in (3, 6, 8) for update in range(1, 9)]


@pytest.mark.broken_by(
    "the row itself handed to a callback",
    "runs/callback.py",
    "answer = self._function(copied)",
    "answer = self._function(row)",
)
def test_it_changes_no_number(workplace: Path) -> None:
    """Whatever it does to the row, which is its own."""

    def spoil(row: dict[str, Any]) -> None:
        for name, value in tuple(row.items()):
            if isinstance(value, list):
                value.clear()
            elif name != "update":
                row[name] = 1e9

    assert_same_run(trained("spoilt", on_row=spoil).dir, trained("plain").dir)


@pytest.mark.broken_by(
    "no evaluation of a run that a callback stops",
    "runs/loop.py",
    "evaluation = evaluation or self._evaluations.after(recorder, run, row, len(self._recorders))",
    "pass",
    case="5",
)
@pytest.mark.parametrize("update", [3, 5])
def test_it_may_end_the_run(update: int, workplace: Path) -> None:
    """The run is evaluated, saved and digested as at its end, once."""
    seen: list[int] = []

    def on_row(row: dict[str, Any]) -> Any:
        seen.append(row["update"])
        return stop_at(update)(row)

    whole, result = trained("whole"), trained("stopped", on_row=on_row)
    assert seen == list(range(1, update + 1))
    assert (result.status, result.exit_code, result.updates) == ("finished", 0, update)
    assert result.message == manifest_of(result.dir)["message"] == "on_row returned STOP"
    rows, wanted = rows_of(result.dir), rows_of(whole.dir)
    assert without_evaluations(rows) == without_evaluations(wanted[:update])
    assert ("eval/final" in rows[-1]) == (update == 5)
    assert result.eval_return_mean == rows[-1]["eval/return_mean"]
    assert Checkpoints(result.dir).load().update == update
    assert [line.update for line in read_lines(result.dir)][-1] == update


def test_it_may_raise_the_reason(workplace: Path) -> None:
    def plateau(row: dict[str, Any]) -> None:
        raise rlcli.StopTraining("no progress\x1b[2J")

    def silent(row: dict[str, Any]) -> None:
        raise rlcli.StopTraining

    result = trained("one", on_row=plateau)
    assert (result.status, result.updates) == ("finished", 1)
    assert result.message is not None
    assert result.message.startswith("on_row: no progress")
    assert "\x1b" not in result.message
    assert result.message in (result.dir / "train.log").read_text()
    assert trained("two", on_row=silent).message == "on_row raised StopTraining"


def test_a_run_that_it_ended_repeats_and_trains_further(workplace: Path) -> None:
    whole, stopped = trained("whole"), trained("stopped", on_row=stop_at(5))
    planned = plan(stopped.dir)
    assert "digests up to update 5 of 8: on_row returned STOP." in " ".join(planned.notes)
    again = reproduce(planned, workplace / "again")
    assert again.identical
    assert again.result.updates == 5
    assert resumed(stopped.dir).updates == 8
    assert without_evaluations(rows_of(stopped.dir)) == without_evaluations(rows_of(whole.dir))
    assert (stopped.dir / "digests.txt").read_text() == (whole.dir / "digests.txt").read_text()
    assert_same_states(stopped.dir, whole.dir)


def test_a_defect_of_it_ends_the_run_and_is_raised(workplace: Path) -> None:
    def broken(row: dict[str, Any]) -> None:
        if row["update"] == 3:
            raise KeyError("eval/return")

    with pytest.raises(KeyError, match="eval/return"):
        trained("one", on_row=broken)
    run = workplace / "runs" / "one"
    manifest = manifest_of(run)
    assert (manifest["status"], manifest["exit_code"], manifest["updates"]) == ("failed", 1, 3)
    assert "KeyError" in manifest["message"]
    assert [row["update"] for row in rows_of(run)] == [1, 2, 3]
    assert "test_callback.py" in (run / "train.log").read_text()
    assert resumed(run).updates == 8
    assert_same_run(run, trained("whole").dir)


@pytest.mark.broken_by(
    "a callback that exits leaves its run without an end",
    "runs/callback.py",
    'raise contained(self._raised, "on_row")',
    "raise self._raised",
    case="SystemExit",
)
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_its_attempt_to_exit_ends_the_run_first(kind: type[BaseException], workplace: Path) -> None:
    def leave(row: dict[str, Any]) -> None:
        raise kind(7)

    with pytest.raises(kind, match="7"):
        trained("one", on_row=leave)
    manifest = manifest_of(workplace / "runs" / "one")
    assert (manifest["status"], manifest["exit_code"], manifest["updates"]) == ("failed", 1, 1)
    assert re.search(rf"test_callback.py:\d+: on_row raised {kind.__name__}: 7", manifest["message"])


@pytest.mark.parametrize("answer", [True, False, 0, "stop"])
def test_other_answers_are_refused(answer: object, workplace: Path) -> None:
    with pytest.raises(
        UserError, match=r"on_row returned .*: return rlcli\.STOP to end the run, else nothing"
    ):
        trained("one", on_row=lambda row: answer)
    assert manifest_of(workplace / "runs" / "one")["updates"] == 1


def test_stop_loads_no_torch() -> None:
    code = "import sys, rlcli; rlcli.STOP, rlcli.StopTraining; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
