"""The file of a study: whole lines, torn lines, several writers, files that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlcli.errors import StorageError
from rlcli.sweeps.search import journal as module
from rlcli.sweeps.search.journal import Journal

ROOT = Path(module.__file__).parents[2]


def numbers(journal: Journal, since: int = 0) -> list[int]:
    return [event["n"] for event in journal.read_logs(since)]


def test_events_are_read_from_where_one_was(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "log")
    assert numbers(journal) == []
    journal.append_logs([{"n": 0}, {"n": 1}])
    assert numbers(journal) == [0, 1]
    journal.append_logs([{"n": 2}])
    assert numbers(journal, 2) == [2]
    assert numbers(journal, 3) == []
    assert numbers(journal, 1) == [1, 2]
    assert numbers(Journal(tmp_path / "log"), 2) == [2]


@pytest.mark.broken_by(
    "a torn line joined with the next",
    "sweeps/search/journal.py",
    "                os.ftruncate(handle, _whole(handle))\n",
    "",
)
@pytest.mark.parametrize("torn", [b'{"n": 1', b"{", b'{"n": 1}', b"\xff" * 100_000])
def test_what_a_kill_tore_is_cut_off_by_the_next(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    journal = Journal.create(path)
    journal.append_logs([{"n": 0}])
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert numbers(journal) == [0]
    assert path.read_bytes() == whole + torn, "reading changes nothing"
    journal.append_logs([{"n": 2}])
    assert numbers(journal, 1) == [2]
    assert numbers(Journal(path)) == [0, 2]


def test_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Journal.create(path)
    script = (
        "import sys\nfrom pathlib import Path\nfrom rlcli.sweeps.search.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for n in range(40):\n    journal.append_logs([{'n': n, 'who': sys.argv[2], 'x': 'y' * 5000}])\n"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), who], env=env) for who in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = list(Journal(path).read_logs(0))
    for who in "ab":
        assert [event["n"] for event in found if event["who"] == who] == list(range(40))


def test_the_lock_of_a_process_that_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Journal.create(path)
    script = (
        "import fcntl, os, sys\nhandle = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)])
    begun = time.monotonic()
    Journal(path).append_logs([{"n": 0}])
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[1]\n",
        b"3\n",
        b"\xff\xfe\n",
        b"[" * 10_000 + b"\n",
        b'{"a":' * 30 + b"1" + b"}" * 30 + b"\n",
    ],
)
def test_a_line_that_is_no_event(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"n": 0}\n' + line + b'{"n": 1}\n')
    with pytest.raises(StorageError, match=r"damaged in line 2"):
        numbers(Journal(path))


def test_it_leads_nowhere_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps({"n": 1}) + "\n")
    (tmp_path / "log").symlink_to(secret)
    with pytest.raises(StorageError, match="is a link"):
        numbers(Journal(tmp_path / "log"))
    with pytest.raises(StorageError, match="is a link"):
        Journal(tmp_path / "log").append_logs([{"n": 2}])
    assert secret.read_text() == '{"n": 1}\n'
