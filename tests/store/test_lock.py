"""One process at a time on a run directory."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.overrides import parse_command
from rlcli.errors import UserError
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.resume import resume
from rlcli.runs.train import Verdict, train
from rlcli.store.directory import list_runs, summary
from rlcli.store.lock import FILE, Lock, holder, this_process
from tests.runs.resuming import resumed, train_with_copies
from tests.runs.test_signals import ROOT, long_run, wait_for
from tests.runs.tiny import manifest_of, tiny


def write(run_dir: Path, **named: Any) -> None:
    mine = this_process()
    content = {"pid": mine.pid, "host": mine.host, "started": mine.started} | named
    (run_dir / FILE).write_text(json.dumps(content))


def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_lock_says_who_holds_it_and_goes_with_its_release(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert holder(tmp_path) == this_process()
    assert (this_process().pid, this_process().host) == (os.getpid(), platform.node())
    with pytest.raises(UserError, match=f"in use by process {os.getpid()} on {platform.node()}"):
        Lock(tmp_path)
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path).release()


def test_the_lock_of_a_process_that_is_gone_is_stale(tmp_path: Path) -> None:
    write(tmp_path, pid=gone())
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


@pytest.mark.broken_by(
    "a process taken for another of the same number",
    "store/lock.py",
    "_exists(self.pid) and self.started == _started(self.pid)",
    "_exists(self.pid)",
)
def test_a_number_that_was_given_again_is_no_holder(tmp_path: Path) -> None:
    write(tmp_path, started="another boot 1")
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


def test_a_process_that_ended_and_was_not_asked_for_is_no_holder(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        if not stat.exists():
            pytest.skip("no /proc here")
        boot = str(this_process().started).split()[0]
        write(tmp_path, pid=process.pid, started=f"{boot} {stat.read_text().rpartition(')')[2].split()[19]}")
        assert holder(tmp_path) is not None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert holder(tmp_path) is None


def test_another_host_is_respected_and_the_way_out_told(tmp_path: Path) -> None:
    write(tmp_path, host="elsewhere", pid=1)
    with pytest.raises(UserError) as caught:
        Lock(tmp_path)
    assert "process 1 on elsewhere" in str(caught.value)
    assert f"remove {tmp_path / FILE}" in str(caught.value)
    assert holder(tmp_path) is not None
    (tmp_path / FILE).unlink()
    Lock(tmp_path).release()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "1"}', '{"pid": -1, "host": "a", "started": null}']
)
def test_a_lock_cut_short_holds_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    assert holder(tmp_path) is None
    Lock(tmp_path).release()


def test_one_that_is_being_written_holds(tmp_path: Path) -> None:
    """The operating system's lock comes before the name in the file."""
    with (tmp_path / FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="in use by another process"):
            Lock(tmp_path)


def test_one_removed_meanwhile_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, first = fcntl.flock, Lock(tmp_path)
    calls: list[int] = []

    def wait(handle: int, how: int) -> None:
        calls.append(handle)
        first.release()
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", wait)
    lock = Lock(tmp_path)
    assert len(calls) == 2
    assert (tmp_path / FILE).exists()
    lock.release()


def test_a_file_system_without_locks_goes_by_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    lock = Lock(tmp_path)
    with pytest.raises(UserError, match="in use"):
        Lock(tmp_path)
    lock.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / FILE).symlink_to(tmp_path / "other")
    with pytest.raises(Exception, match="lock"):
        Lock(tmp_path)
    assert (tmp_path / "other").read_text() == "theirs"


def test_a_run_is_held_while_it_trains_and_free_however_it_ends(tmp_path: Path) -> None:
    """Held against another that would train it; whoever only reads may."""
    seen = []

    def on_row(run: int, row: dict[str, Any]) -> Verdict:
        seen.append(holder(tmp_path / "run"))
        with pytest.raises(UserError, match="in use"):
            resume(tmp_path / "run")
        assert evaluate_run(tmp_path / "run", episodes=1)["checkpoint"] == row["update"]
        return Verdict.CONTINUE if row["update"] < 2 else Verdict.PRUNE

    [result] = train([tiny(checkpoint__every=32)], [tmp_path / "run"], on_row=on_row)
    assert result.status == "pruned"
    assert seen == [this_process()] * 2
    assert not (tmp_path / "run" / FILE).exists()
    [result] = train([tiny()], [tmp_path / "failed"], on_row=lambda run, row: 1 // 0)  # type: ignore[arg-type, return-value]
    assert result.status == "failed"
    assert not (tmp_path / "failed" / FILE).exists()


def test_a_mistake_leaves_the_lock_as_it_was(tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(), tmp_path / "run", (1,))
    with pytest.raises(UserError):
        resume(killed, parse_command(["seed=1"]))
    assert not (killed / FILE).exists()


def test_a_killed_run_is_told_and_goes_on(tmp_path: Path) -> None:
    """A real kill -9, another process meanwhile, and the end."""
    run_dir = tmp_path / "run"
    metrics = run_dir / "metrics.jsonl"
    with long_run(run_dir, checkpoint__every=64, total_steps=20 * 32) as process:
        wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, process)
        os.kill(process.pid, signal.SIGSTOP)
        assert summary(run_dir)["status"] == "running"
        with pytest.raises(UserError, match=f"in use by process {process.pid}"):
            resume(run_dir)
        process.kill()
        process.wait()
    assert manifest_of(run_dir)["status"] == "running"
    [told] = list_runs(tmp_path)
    assert told["status"] == "killed"
    assert f"rlcli resume {told['id']}" in told["message"]
    resumed(run_dir)
    assert summary(run_dir)["status"] == "finished"


def test_two_that_resume_at_once_one_of_which_is_refused(tmp_path: Path) -> None:
    _, [killed] = train_with_copies(tiny(total_steps=40 * 32), tmp_path / "run", (1,))
    command = [sys.executable, "-m", "rlcli", "resume", str(killed), "-q", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    ended = [process.communicate() for process in both]
    codes = sorted(process.returncode for process in both)
    said = "".join(err for _, err in ended)
    # The later one may come when the run is finished, and has nothing to do.
    assert codes == [0, 2] or (codes == [0, 0] and "nothing to do" in "".join(out for out, _ in ended)), said
    # Who holds the lock is named, unless it has only just been taken.
    assert codes == [0, 0] or re.search(r"is in use by (process \d+|another process)", said)
    assert summary(killed)["status"] == "finished"
