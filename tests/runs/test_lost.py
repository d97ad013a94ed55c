"""A run that had checkpoints and has none any more is not begun again; one that never had any keeps rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.config.overrides import parse_command
from rlcli.errors import StorageError
from rlcli.runs.recorder import Recorder
from rlcli.runs.resume import resume
from tests.runs.resuming import assert_same_run, copy, reset_manifest, resumed, train_with_copies
from tests.runs.tiny import manifest_of, rows_of, tiny
from tests.store.test_layout import told

Lose = Callable[[Path], object]


def plain_file(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")


def linked(run: Path) -> None:
    (run / "checkpoints").rename(run.with_name("elsewhere"))
    (run / "checkpoints").symlink_to("../elsewhere")


def emptied(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        path.unlink()


def foreign(run: Path) -> None:
    emptied(run)
    (run / "checkpoints" / "last.pt").write_bytes(b"not ours")


LOST: dict[str, Lose] = {
    "missing": lambda run: shutil.rmtree(run / "checkpoints"),
    "a plain file": plain_file,
    "a link": linked,
    "empty": emptied,
    "others' files": foreign,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A run that finished, the same killed after its second update, and one killed before any checkpoint."""
    root = tmp_path_factory.mktemp("lost")
    whole, [killed] = train_with_copies(tiny(checkpoint__every=32), root / "saved", (2,))
    _, [early] = train_with_copies(tiny(), root / "unsaved", (2,))
    return whole.dir, killed, early


@pytest.mark.broken_by(
    "a run whose checkpoints are gone begun again",
    "runs/stopped_run.py",
    "if saved is None and last_update <= first:",
    "if True:",
)
@pytest.mark.parametrize("lose", LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("which", [0, 1], ids=["finished", "killed"])
def test_what_was_saved_and_is_gone_is_not_begun_again(
    lose: Lose, which: int, made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made[which], run)
    lose(run)
    before = told(run)
    for words in ([], ["total_steps=960"]):
        with pytest.raises(StorageError, match="checkpoints") as caught:
            resume(run, parse_command(words), quiet=True)
        assert told(run) == before
    if lose in (LOST["missing"], LOST["empty"]):
        assert f"rlcli reproduce {run}" in str(caught.value)
        assert "nothing was changed" in str(caught.value)


def test_runs_of_before_that_was_recorded_are_judged_by_their_updates(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(made[1], run)
    content = manifest_of(run)
    assert content.pop("saved") == 2
    (run / "manifest.json").write_text(json.dumps(content))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(StorageError, match="saved its state after update 2"):
        resume(run, quiet=True)


def test_a_manifest_that_forgot_is_contradicted_by_the_rows(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """With checkpoint.every=32, a row of update 2 has a checkpoint of update 1 before it."""
    run = tmp_path / "run"
    shutil.copytree(made[1], run)
    reset_manifest(run, saved=None, updates=0)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(StorageError, match="saved its state after update 1"):
        resume(run, quiet=True)


@pytest.mark.broken_by(
    "rows thrown away when a run begins again",
    "store/earlier_rows.py",
    "return self._kept.end == 0 and self.count_after > 0",
    "return False",
)
def test_a_run_without_a_checkpoint_begins_again_and_keeps_its_rows(
    made: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run = copy(made[2], "again")
    rows, digests = ((run / name).read_bytes() for name in ("metrics.jsonl", "digests.txt"))
    said: list[str] = []
    resume(run, notify=said.append, quiet=True)
    assert said == [
        "No checkpoint was saved yet: the run starts again; its 2 rows so far are kept as "
        "metrics.jsonl.before-N."
    ]
    assert (run / "metrics.jsonl.before-1").read_bytes() == rows
    assert (run / "digests.txt.before-1").read_bytes() == digests
    assert len(rows_of(run)) == 3
    shutil.rmtree(run)


def test_a_run_ended_at_once_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    """The second Ctrl-C records how far it came, and saves nothing."""
    whole, [killed] = train_with_copies(tiny(), tmp_path / "run", (2,))
    reset_manifest(killed, status="interrupted", exit_code=130, updates=2, env_steps=64)
    resumed(killed)
    assert_same_run(killed, whole.dir)


def test_a_checkpoint_is_recorded_when_it_is_saved(made: tuple[Path, Path, Path]) -> None:
    assert [manifest_of(run)["saved"] for run in made] == [3, 2, None]


def test_what_train_log_holds_steers_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(*_: object) -> None:
        raise RuntimeError("\x1b]0;owned\x07\x9b31m\u202e" + "x" * 10**6)

    monkeypatch.setattr(Recorder, "record", steps)
    from rlcli.runs.train import train

    [result] = train([tiny()], [tmp_path / "run"], quiet=True)
    text = (tmp_path / "run" / "train.log").read_bytes().decode()
    assert result.status == "failed"
    assert "\\x1b]0;owned\\x07\\x9b31m\\u202e" in text
    for found in (text, str(result.message), manifest_of(tmp_path / "run")["message"]):
        assert not set("\x1b\x07\x9b\u202e") & set(found)
        assert len(found) < 10**6
