"""Files of any size are read in a stream or refused by their name, before memory is spent on them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from rlcli.errors import StorageError, UserError
from rlcli.runs.policy import read_policy
from rlcli.runs.resume import resume
from rlcli.runs.train import train
from rlcli.store.admission import admit
from rlcli.store.bounded_call import exceeded_limit
from rlcli.store.checkpoint_file import SPARE, largest_checkpoint
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.earlier_rows import COMPARED, EarlierRows
from rlcli.store.rows import LONGEST_ROW, Rows, blocks
from rlcli.sweeps.search.journal import Journal
from tests.runs.long import make_long
from tests.runs.resuming import train_with_copies
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny

HUGE = 2**31
MB = 2**20


@contextmanager
def little_memory(megabytes: int) -> Iterator[None]:
    """This process may have so much more data than it has."""
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + megabytes * MB, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bounds")
    _, [found] = train_with_copies(tiny(checkpoint__every=32), root / "run", (2,))
    return found


@pytest.fixture
def run(killed: Path, tmp_path: Path) -> Path:
    shutil.copytree(killed, tmp_path / "run")
    return tmp_path / "run"


def test_a_long_run_is_resumed_in_little_memory(tmp_path: Path) -> None:
    """56 MB of rows: held whole, they would take several times as much."""
    run = tmp_path / "long"
    make_long(run, 20_000)
    begun = time.process_time()
    with little_memory(60):
        result = resume(run, quiet=True)
    assert (result.status, result.updates) == ("finished", 20_001)
    assert time.process_time() - begun < 10.0
    assert "are not those that were written" not in (run / "train.log").read_text()
    assert Rows(run).settle().rows == 20_001


def hole(path: Path) -> None:
    """A file of 2 GB that takes no room."""
    path.touch()
    os.truncate(path, HUGE)


SPARSE: dict[str, Callable[[Path], object]] = {
    "metrics.jsonl": lambda run: hole(run / "metrics.jsonl"),
    "digests.txt": lambda run: hole(run / "digests.txt"),
    "config.yaml": lambda run: hole(run / "config.yaml"),
    "manifest.json": lambda run: hole(run / "manifest.json"),
    "index.json": lambda run: hole(run / "checkpoints" / "index.json"),
    "2.safetensors": lambda run: hole(run / "checkpoints" / "2.safetensors"),
}


@pytest.mark.parametrize(("name", "make"), SPARSE.items(), ids=SPARSE.keys())
def test_a_file_that_is_nothing_but_a_hole_is_named_at_once(
    name: str, make: Callable[[Path], object], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(run)
    begun = time.process_time()
    with little_memory(100):
        if name in ("index.json", "2.safetensors"):  # what is whole besides is gone on from
            resume(run, quiet=True)
            assert name in capsys.readouterr().err
        else:
            with pytest.raises(StorageError, match=name):
                resume(run, quiet=True)
    assert time.process_time() - begun < 6.0


def test_a_hole_amid_the_rows_is_named(run: Path) -> None:
    with (run / "metrics.jsonl").open("r+b") as file:
        file.seek(HUGE)
        file.write(b'{"update": 3}\n')
    with pytest.raises(StorageError, match="longer than any row"), little_memory(100):
        resume(run, quiet=True)


def test_far_more_lines_than_updates_are_refused(run: Path) -> None:
    (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes() + b"\n" * 10**6)
    with pytest.raises(StorageError, match="far more lines than its run has updates"):
        resume(run, quiet=True)


@pytest.mark.broken_by(
    "an index that says how large a checkpoint may be",
    "store/checkpoints.py",
    "if path.lstat().st_size > possible:",
    "if False:",
)
def test_an_index_does_not_say_how_large_a_checkpoint_may_be(run: Path) -> None:
    """Whoever makes a file can make an index that fits it."""
    from rlcli.store.checkpoint_index import Index

    folder = run / "checkpoints"
    index = Index.read(folder)
    path = folder / "2.safetensors"
    os.truncate(path, 2**33)
    kept = index.kept[2]
    index.kept[2] = type(kept)(kept.number, kept.due, kept.env_steps, 2**33, kept.sha256)
    index.write(folder)
    with pytest.raises(StorageError, match=r"2\.safetensors is damaged: it has 8,589,934,592 bytes"):
        read_policy(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"lag": 3},
        {"algo__reuse": 5},
        {"env__id": "Pendulum-v1"},
        {"algo__name": "trpo", "algo__step_rule": "natural", "network__hidden": (64, 64)},
    ],
)
def test_a_checkpoint_is_smaller_than_it_can_be(changes: dict[str, object], tmp_path: Path) -> None:
    config = tiny(**changes)
    train([config], [tmp_path / "run"], quiet=True)
    tensors = Checkpoints(tmp_path / "run").load().tensors.values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    history = 64 * config.env.num_envs * config.env.replay_limit
    assert size < largest_checkpoint(config) - SPARE < 100 * size + history


# --- rows


def test_blocks_are_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = [b"x" * (number * 7919 % LONGEST_ROW) + b"\n" for number in range(40)]
    path.write_bytes(b"".join(lines) + b"torn")
    with path.open("rb") as file:
        found = list(blocks(file, path))
    assert all(block.endswith(b"\n") for block in found[:-1])
    assert b"".join(found) == path.read_bytes()


def test_no_more_rows_are_kept_than_are_compared(tmp_path: Path) -> None:
    text = "".join(json.dumps({"update": update, "x": 0.5}) + "\n" for update in range(1, 2 * COMPARED + 1))
    (tmp_path / "metrics.jsonl").write_text(text + '{"update": 2, torn')
    earlier = EarlierRows(tmp_path, None, 10 * COMPARED)
    assert (len(earlier.rows_after), earlier.count_after, earlier.last_update) == (
        COMPARED,
        2 * COMPARED,
        2 * COMPARED,
    )


@pytest.mark.broken_by(
    "damaged times taken out of the rows' checksum",
    "store/rows.py",
    "%s[\\w/]*\": %s(?=[,}])' % (group, NUMBER))",
    '%s[^"]*": [^,}]*\' % group)',
)
@pytest.mark.parametrize(
    "damage", [b"time/elapsed\xff", b'time/elapsed": 1x', b'time/"lapsed', b"tIme/elapsed"]
)
def test_damage_among_the_times_is_found_without_reading_every_row(damage: bytes, run: Path) -> None:
    path = run / "metrics.jsonl"
    content = path.read_bytes()
    place = content.index(b"time/elapsed")
    path.write_bytes(content[:place] + damage + content[place + len(damage) :])
    about = Checkpoints(run).recover()
    assert about is not None
    assert not EarlierRows(run, about.about, 3).intact


def test_times_do_not_count(run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(row | {"time/elapsed": 1e-07}) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)
    about = Checkpoints(run).recover()
    assert about is not None
    assert EarlierRows(run, about.about, 3).intact


def test_a_study_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    hole(path)
    os.truncate(path, 2**27)
    with pytest.raises(StorageError, match="too long to be an event"), little_memory(30):
        list(Journal(path).read_logs(0))


# --- what env.kwargs may cost


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: None, None),
        (lambda: 1 / 0, None),
        (lambda: np.ones(10**9), "500 MB"),
        (lambda: [0] * 10**9, "500 MB"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), f"signal {signal.SIGUSR1}"),
    ],
)
def test_a_call_is_tried_within_bounds(call: Callable[[], object], said: str | None) -> None:
    found = exceeded_limit(call)
    assert found is None if said is None else found is not None and said in found


def test_a_call_without_end_is_ended() -> None:
    begun = time.monotonic()
    assert exceeded_limit(lambda: time.sleep(60), seconds=1) == "takes more than 1 s"
    assert time.monotonic() - begun < 10.0


def test_what_is_printed_meanwhile_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert exceeded_limit(lambda: os.write(1, b"hello")) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kwargs", [{"size": 10**9}, {"wait": 60}])
def test_arguments_that_cost_too_much_are_not_admitted(
    kwargs: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tests.envs.greedy  # noqa: F401

    monkeypatch.setattr("rlcli.store.bounded_call.SECONDS", 1)
    config = tiny(env__id="Greedy-v0", env__kwargs=kwargs)
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"Greedy-v0 with env\.kwargs=.* takes more than") as caught:
        admit(config, tmp_path)
    assert time.monotonic() - begun < 12.0
    assert "--import tests.envs.greedy" in str(caught.value.hint)
    admit(config, tmp_path, ["tests.envs.greedy"])
    admit(tiny(env__id="Greedy-v0", env__kwargs={"size": 10}), tmp_path)


def test_the_fixtures_are_what_they_say(run: Path) -> None:
    assert manifest_of(run)["saved"] == 2
    assert index_of(run)["last"] == 2
    assert [row["update"] * BATCH for row in rows_of(run)] == [32, 64]
