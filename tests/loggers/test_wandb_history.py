from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.loggers import wandb_history
from rlcli.loggers.wandb_history import (
    Held,
    OtherHistory,
    known,
    known_rows,
    remove_superseded,
    run_id,
    segments,
)
from tests.loggers.wandb_server import StoredRun, serving


@pytest.mark.parametrize(
    ("rows", "next_step", "updates", "there"),
    [
        (0, 0, [1, 2, 3], 0),
        (2, 3, [1, 2, 3], 2),
        (3, 4, [1, 2, 3], 3),
        (None, 3, [1, 2, 3], 2),  # it does not say how many
        (3, 2, [1, 2, 3, 4], 3),  # the step lags behind
        (5, 6, [1, 2, 3], 3),  # ahead: a killed process uploaded what is computed again
        (5, 6, [], 0),
        (2, 4, [1, 3, 4], 2),  # a row of the record is lost
    ],
)
@pytest.mark.broken_by(
    "rows that the server has are sent again",
    "loggers/wandb_history.py",
    "below += update < holds.next_step",
    "below += update < holds.next_step - 1",
    case="2-3-updates1-2",
)
def test_the_rows_that_the_server_has(rows, next_step, updates, there):
    assert known_rows(Held(rows, next_step), updates) == there


@pytest.mark.parametrize(
    ("rows", "next_step", "updates"),
    [(1, 4, [1, 2, 3]), (6, 4, [1, 2, 3]), (8, 8, [1, 2, 3, 4]), (2, 6, [1, 2, 3])],
    ids=["replaced by a segment", "twice", "uploaded again", "a gap"],
)
def test_other_rows_are_refused(rows, next_step, updates):
    with pytest.raises(OtherHistory, match=f"{rows} rows, and the record has {len(updates)}"):
        known_rows(Held(rows, next_step), updates)


def test_a_server_that_lags_behind_is_asked_again(monkeypatch):
    answers = [Held(1, 4), Held(3, 4), Held(9, 4)]
    monkeypatch.setattr(wandb_history, "held", lambda _: answers.pop(0))
    waited: list[float] = []
    monkeypatch.setattr(wandb_history.time, "sleep", waited.append)
    assert known(object(), [1, 2, 3, 4]) == 3
    assert (waited, answers) == ([3.0], [Held(9, 4)])
    answers[:] = [Held(9, 4)] * 3
    with pytest.raises(OtherHistory):
        known(object(), [1, 2, 3, 4])
    assert (len(waited), answers) == (3, [])


def segment(directory, name, wandb_id):
    folder = directory / "wandb" / name
    folder.mkdir(parents=True)
    (folder / f"run-{wandb_id}.wandb").touch()
    return folder


def test_superseded_are_segments_of_the_same_run_and_nothing_else(tmp_path):
    first = segment(tmp_path, "offline-run-20260101_000000-abc-1", "abc")
    online = segment(tmp_path, "run-20260102_000000-abc", "abc")
    other = segment(tmp_path, "offline-run-20260103_000000-xyz", "xyz")
    complete = segment(tmp_path, "offline-run-20260104_000000-abc", "abc")
    for name in ("cache", "settings-run-1-2", "offline-run-mine-abc"):
        (tmp_path / "wandb" / name).mkdir()
    assert segments(tmp_path) == [first, online, other, complete]
    assert run_id(tmp_path, "own") == "abc"
    remove_superseded(tmp_path, complete)
    assert segments(tmp_path) == [other, complete]
    assert {path.name for path in (tmp_path / "wandb").iterdir()} == {
        "cache", "settings-run-1-2", "offline-run-mine-abc", other.name, complete.name,
    }  # fmt: skip
    assert run_id(tmp_path / "none", "own") == "own"


RESUMED = """
import pathlib, sys
from rlcli.config.schema.record import WandbConfig
from rlcli.config.schema.run import RunConfig
from rlcli.loggers import wandb
from rlcli.loggers.interface import RunInfo

def row(update):
    return {"update": update, "env_steps": 8 * update, "behaviour/ess": 1 / update}

done, last, exact = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "exact"
info = RunInfo(
    id="k3x9", name="run", dir=pathlib.Path(sys.argv[1]), config_dict={}, total_steps=1, resumed=done > 0,
    config=RunConfig(wandb=WandbConfig(mode="online")), exact=exact, started=1000.0, start_steps=8 * done,
    earlier=lambda: [(row(update), 1000.0 + update) for update in range(1, done + 1)],
)
logger = wandb.WandbLogger(info, lambda text: print(text))
for update in range(done + 1, last + 1):
    logger.log(row(update))
logger.close("finished")
"""


def online(server, folder: Path, *words: str) -> str:
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {
        "HOME": str(folder), "PYTHONPATH": str(Path.cwd()), "WANDB_API_KEY": "k" * 40,
        "WANDB_BASE_URL": server.url,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, str(folder), *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("uploaded", [0, 2, 3, 6], ids="{} rows uploaded".format)
def test_a_run_resumed_online_has_each_update_once(uploaded, tmp_path):
    """Killed with so many rows on the server, resumed from its checkpoint after update 3."""
    with serving() as server:
        place = ("somebody", "rlcli", "k3x9")
        if uploaded:
            rows = [{"_step": update, "update": update} for update in range(1, uploaded + 1)]
            server.runs[place] = StoredRun(history=rows, summary={"_step": uploaded})
        assert online(server, tmp_path / "run", "3", "7", "exact") == ""
        assert server.runs[place].updates() == [1, 2, 3, 4, 5, 6, 7]
        assert [row["_step"] for row in server.runs[place].history] == [1, 2, 3, 4, 5, 6, 7]
        sent = server.runs[place].history[uploaded:]
        assert [row["behaviour/ess"] for row in sent] == [1 / row["update"] for row in sent]
        assert [row["_timestamp"] for row in sent if row["update"] <= 3] == [
            1000.0 + update for update in range(uploaded + 1, 4)
        ]
        assert server.names()[:2] == ["RunResumeStatus", "UpsertBucket"]
        assert "status" in server.runs[place].summary


def test_rows_of_another_course_are_named(tmp_path):
    """Rows after the checkpoint are computed otherwise than before: what W&B has of them is not theirs."""
    with serving() as server:
        rows = [{"_step": update, "update": update} for update in range(1, 6)]
        server.runs["somebody", "rlcli", "k3x9"] = StoredRun(history=rows, summary={"_step": 5})
        said = online(server, tmp_path / "run", "3", "7", "otherwise")
        assert said.startswith(
            "W&B: the run k3x9 on its server holds 2 rows of updates that are now computed again"
        )
        assert f"rlcli sync {tmp_path / 'run'} --id k3x9-2" in said
        assert server.only().updates() == [1, 2, 3, 4, 5, 6, 7]
