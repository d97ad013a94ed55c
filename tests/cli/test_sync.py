"""`rlcli sync` against a stand-in of W&B's server, with the SDK as it is."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlcli.loggers import wandb_history, wandb_process, wandb_upload
from rlcli.store.lock import Lock
from tests.cli.conftest import Rlcli, on_a_terminal
from tests.cli.hostile.harm import contents
from tests.loggers import wandb_file
from tests.loggers.wandb_server import Server, serving

SMALL = ("total_steps=64", "algo.rollout_steps=8", "env.num_envs=2", "algo.epochs=1", "tuned=none",
         "logger=[jsonl]", "eval.episodes=1", "network.hidden=[4]")  # fmt: skip
HEALTH = (
    "behaviour/ess",
    "behaviour/clip_fraction",
    "behaviour/kl_mu_pi",
    "update/budget_used",
    "train/episodes",
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    import wandb

    with serving() as found:
        for name, value in {"BASE_URL": found.url, "API_KEY": "k" * 40}.items():
            monkeypatch.setenv(f"WANDB_{name}", value)
        monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setattr(wandb_process, "INIT_TIMEOUT", 2.0)
        monkeypatch.setattr(wandb_history, "LAG", 0.0)
        wandb.teardown()
        yield found
        wandb.teardown()


@pytest.fixture
def one(rlcli: Rlcli, workplace: Path) -> Path:
    assert rlcli("train", *SMALL, "name=one").code == 0
    return workplace / "runs" / "one"


def recorded(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.broken_by(
    "a second upload sends everything again",
    "loggers/wandb_history.py",
    "rest = islice(rows, skipped, None)",
    "rest = islice(rows, 0, None)",
)
def test_again_and_again_with_the_same_result(server: Server, one: Path, rlcli: Rlcli) -> None:
    before = contents(one)
    first = rlcli("sync", "last")
    assert first.code == 0, first.err
    (url,) = [f"{server.url}/somebody/rlcli/runs/{name}" for _, _, name in server.runs]
    assert first.out == f"runs/one: 4 rows uploaded. {url}\n"
    rows = recorded(one)
    assert server.only().updates() == [1, 2, 3, 4]
    for sent, row in zip(server.only().history, rows, strict=True):
        assert sent["_step"] == row["update"]
        assert {name: sent.get(name) for name in HEALTH} == {name: row.get(name) for name in HEALTH}
        assert sent["epochs/ess"] == row["epochs/ess"][-1]
        assert sent["_runtime"] == pytest.approx(row["time/elapsed"], abs=1e-3)
    assert server.only().summary["behaviour/ess"] == rows[-1]["behaviour/ess"]
    assert (server.only().summary["status"], server.only().exit_code) == ("finished", 0)
    assert server.only().about["displayName"] == "one"
    history = list(server.only().history)
    again = rlcli("sync", "one")
    assert again.out == f"runs/one: 0 rows uploaded; 4 were there. {url}\n"
    assert server.only().history == history
    assert contents(one) == before, "the run's folder is as it was"


KILLED = """
import os, signal, sys
import rlcli

def on_row(row):
    if row["update"] == 7:
        os.kill(os.getpid(), signal.SIGKILL)

rlcli.train(sys.argv[1:], on_row=on_row)
"""


@pytest.mark.filterwarnings("ignore:::mlflow", "ignore::FutureWarning")
def test_after_a_kill_and_a_resume_each_copy_has_each_update_once(
    server: Server, workplace: Path, rlcli: Rlcli
) -> None:
    """Killed after the row of update 6, resumed from the checkpoint after update 4, then uploaded."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = (*SMALL, "name=one", "total_steps=160", "checkpoint.every=64", "checkpoint.seconds=0",
             "eval.every=0", "logger=[jsonl,wandb,tensorboard,mlflow]", "wandb.mode=offline")  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *words], cwd=workplace, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    run = workplace / "runs" / "one"
    assert [row["update"] for row in recorded(run)] == [1, 2, 3, 4, 5, 6]
    assert "6 rows uploaded" in rlcli("sync", "one").out
    assert server.only().summary["status"] == "killed"
    assert rlcli("resume", "one").code == 0
    assert "4 rows uploaded; 6 were there" in rlcli("sync", "one").out
    assert rlcli("sync", "one", "--id", "anew").code == 0
    rows = recorded(run)
    everything = list(range(1, 11))
    assert [row["update"] for row in rows] == everything
    for stored in server.runs.values():
        assert stored.updates() == [row["_step"] for row in stored.history] == everything
        assert stored.summary["status"] == "finished"
        for sent, row in zip(stored.history, rows, strict=True):
            assert [sent[name] for name in HEALTH[:3]] == [row[name] for name in HEALTH[:3]]
    (segment,) = (run / "wandb").glob("*run-*/run-*.wandb")
    assert [row["update"] for row in wandb_file.rows(wandb_file.records_to_the_end(segment))] == everything
    points = EventAccumulator(str(run)).Reload().Scalars("behaviour/ess")
    assert [point.step for point in points] == [row["env_steps"] for row in rows]
    (metric,) = (workplace / "runs" / "mlruns").glob("*/*/metrics/behaviour/ess")
    stored = [line.split()[1:] for line in metric.read_text().splitlines()]
    assert stored == [[repr(row["behaviour/ess"]), str(row["env_steps"])] for row in rows]


def test_a_dry_run_sends_nothing(server: Server, one: Path, rlcli: Rlcli, monkeypatch: Any) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    ended = rlcli("sync", "one", "--dry-run", "--project", "clips", "--entity", "team")
    assert ended.code == 0
    assert "runs/one  finished     4" in ended.out
    assert f"{server.url}, team/clips, " in ended.out
    assert ended.err == "Nobody is logged in to W&B. To upload: wandb login\n"
    (row,) = rlcli("sync", "one", "--dry-run", "--json").rows()
    assert (row["rows"], row["last_update"], row["faults"], row["project"]) == (4, 4, [], "rlcli")
    assert (server.log, server.keys) == ([], set())


def test_the_sdk_that_is_missing_is_named(one: Path, rlcli: Rlcli, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ended = rlcli("sync", "one", "--dry-run")
    assert (ended.code, ended.err) == (
        2, "Error: W&B needs a package that is not installed: pip install wandb\n"
    )  # fmt: skip


def test_a_sweep_and_where_it_goes(server: Server, rlcli: Rlcli, monkeypatch: Any) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # that is for training
    assert rlcli("train", "-m", *SMALL, "seed=0,1", "name=both").code == 0
    ended = rlcli("sync", "both", "--project", "clips", "--entity", "team", "--json")
    assert ended.code == 0, ended.err
    assert [(row["sent"], row["known"]) for row in ended.rows()] == [(4, 0), (4, 0)]
    assert {place[:2] for place in server.runs} == {("team", "clips")}
    assert {run.about["groupName"] for run in server.runs.values()} == {"both"}
    assert all(run.updates() == [1, 2, 3, 4] for run in server.runs.values())
    ended = rlcli("sync", "both", "--id", "x")
    assert (ended.code, ended.err) == (2, "Error: --id is for one run, not 2.\n")


def test_without_a_login_one_message(server: Server, one: Path, rlcli: Rlcli, monkeypatch: Any) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    ended = rlcli("sync", "one")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        f"Error: Nobody is logged in to W&B's server {server.url}.",
        "Log in: wandb login, or set WANDB_API_KEY; then run the same command again.",
    ]
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    server.accepts = "k" * 40
    refused = rlcli("sync", "one", "-q")
    assert refused.code == 2
    assert refused.err.startswith("Error: W&B's server refuses the credentials, or the project: ")


def test_a_lost_connection_is_continued_by_the_same_command(
    server: Server, one: Path, rlcli: Rlcli, monkeypatch: Any
) -> None:
    monkeypatch.setattr(wandb_upload, "FINISH_TIMEOUT", 1.0)
    monkeypatch.setattr(wandb_history, "TIMEOUT", 1)
    assert rlcli("sync", "one").code == 0
    run = server.only()
    del run.history[2:]
    run.summary["_step"] = 2
    server.closes_after = 0
    away = rlcli("sync", "one", "-q")
    assert away.code == 1
    assert "W&B's server does not answer: " in away.err
    assert away.err.endswith("Run the same command again later.\n")
    server.closes_after = 1  # the connection is lost after the first part of the rows
    lost = rlcli("sync", "one", "-q")
    assert lost.code == 1, lost
    assert "did not confirm all rows within 1 s" in lost.err
    assert "run the same command again" in lost.err
    server.closes_after = None
    ended = rlcli("sync", "one", "-q")
    assert ended.code == 0, ended.err
    assert run.updates() == [1, 2, 3, 4]
    assert [row["_step"] for row in run.history] == [1, 2, 3, 4]


def test_a_run_that_trains_is_uploaded_so_far(server: Server, one: Path, rlcli: Rlcli) -> None:
    rows = (one / "metrics.jsonl").read_text().splitlines(keepends=True)
    manifest = json.loads((one / "manifest.json").read_text())
    (one / "manifest.json").write_text(json.dumps(manifest | {"status": "running"}))
    (one / "metrics.jsonl").write_text("".join(rows[:2]) + rows[2][:40])
    lock = Lock(one)
    ended = rlcli("sync", "one")
    assert ended.code == 0
    assert "2 rows uploaded; it is being trained, these are its rows so far." in ended.out
    (one / "wandb" / "run-20260101_000000-abc").mkdir(parents=True)
    ended = rlcli("sync", "one")
    assert (ended.code, ended.err) == (2, "Error: runs/one is being trained, and uploads to W&B itself.\n")
    (one / "wandb" / "run-20260101_000000-abc").rmdir()
    lock.release()
    (one / "metrics.jsonl").write_text("".join(rows))
    assert rlcli("sync", "one").code == 0
    assert server.only().updates() == [1, 2, 3, 4]


def test_damaged_rows_are_named_and_left_out(server: Server, one: Path, rlcli: Rlcli) -> None:
    rows = (one / "metrics.jsonl").read_text().splitlines(keepends=True)
    rows[1] = '{"update": 2, "env_steps": Infinity\x1b[2J}\n'
    (one / "metrics.jsonl").write_text("".join(rows))
    ended = rlcli("sync", "one", "-q")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "Warning: runs/one: 1 line left out, damaged or out of order: line 2.",
        "Warning: runs/one: 1 update has no row.",
    ]
    assert server.only().updates() == [1, 3, 4]
    assert rlcli("sync", "one", "-q").code == 0
    assert server.only().updates() == [1, 3, 4]


def test_another_history_is_refused_by_name_and_may_have_another_id(
    server: Server, one: Path, rlcli: Rlcli
) -> None:
    assert rlcli("sync", "one").code == 0
    run = server.only()
    run.history[:] = [*run.history, *run.history]
    ended = rlcli("sync", "one", "-q")
    assert ended.code == 2
    assert "holds other rows than the record: 8 rows, and the record has 4." in ended.err
    (place,) = server.runs
    assert ended.err.splitlines()[1].startswith(
        f"Upload it as another W&B run: rlcli sync {one} --id {place[2]}-2;"
    )
    assert rlcli("sync", "one", "--id", "again", "-q").code == 0
    assert server.runs["somebody", "rlcli", "again"].updates() == [1, 2, 3, 4]


def test_what_cannot_be_uploaded_is_named_and_the_others_are_uploaded(
    server: Server, one: Path, rlcli: Rlcli
) -> None:
    assert rlcli("train", *SMALL, "name=two").code == 0
    (one / "metrics.jsonl").unlink()
    ended = rlcli("sync", "one", "two", "-q")
    assert ended.code == 2
    assert ended.err == "Error: runs/one has no rows to upload yet.\n"
    assert server.only().about["displayName"] == "two"
    ended = rlcli("sync", "thre")
    assert ended.code == 2
    assert "There is no run 'thre'" in ended.err
    assert rlcli("sync").code == 2


def test_progress_on_a_terminal_makes_way_for_the_result(server: Server, one: Path, monkeypatch: Any) -> None:
    shown = on_a_terminal("sync", "one", columns=200)
    assert shown.count("waiting for W&B's server") == 1
    (line,) = [line for line in shown.splitlines() if "4 rows uploaded" in line]
    assert line.rpartition("\r")[2].startswith("runs/one: 4 rows uploaded. ")
    assert server.only().updates() == [1, 2, 3, 4]


def test_two_uploads_of_a_run_do_not_meet(server: Server, one: Path, rlcli: Rlcli) -> None:
    import fcntl

    with (one / "metrics.jsonl").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = rlcli("sync", "one", "-q")
    assert (ended.code, ended.err) == (2, "Error: runs/one is being uploaded by another process.\n")


def test_settings_in_the_run_directory_choose_nothing(server: Server, one: Path, rlcli: Rlcli) -> None:
    (one / "wandb").mkdir()
    (one / "wandb" / "settings").write_text("[default]\nbase_url = http://127.0.0.1:9\nproject = theirs\n")
    (one.parents[1] / "wandb").mkdir()
    (one.parents[1] / "wandb" / "settings").write_text("[default]\nproject = theirs\nentity = theirs\n")
    assert rlcli("sync", "one", "-q").code == 0
    assert [place[:2] for place in server.runs] == [("somebody", "rlcli")]
