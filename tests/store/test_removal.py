"""Removal of runs and sweeps: what counts as one, that links are not followed, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.errors import StorageError, UserError
from rlcli.store.lock import Lock
from rlcli.store.removal import disk_usage, obstacles, remove


def made(folder: Path, *more: str) -> Path:
    """A folder with the files of a run, and some more."""
    (folder / "checkpoints").mkdir(parents=True)
    for name in (
        "manifest.json", "config.yaml", "metrics.jsonl", "metrics.jsonl.before-1", "digests.txt",
        "code.diff.new", "start.safetensors", "events.out.tfevents.1.host.2.0",
        "checkpoints/1.safetensors", *more,
    ):  # fmt: skip
        (folder / name).write_text("{}")
    return folder


def swept(folder: Path) -> Path:
    """A sweep of two runs."""
    for name in ("seed=0", "seed=1"):
        made(folder / name)
    for name in ("sweep.json", "results.csv", "study.log"):
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("make", [made, swept])
def test_everything_is_removed(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "one")
    assert disk_usage(folder) > 4096
    assert list(obstacles(folder, force=True)) == []
    remove(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.broken_by(
    "what rlcli did not write is removed with a run",
    "store/layout.py",
    "name.removesuffix(NEW) in known or",
    "True or",
    case="<lambda>-holds notes.md, which rlcli did not write",
)
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda run: (run / "notes.md").touch(), "holds notes.md, which rlcli did not write"),
        (lambda run: (run / "inner").mkdir(), "holds inner"),
        (lambda run: (run / "manifest.json").unlink(), "is not a run: it has no manifest.json"),
        (lambda run: made(run / "run in a run"), "holds run in a run"),
    ],
)
def test_a_folder_that_is_not_clearly_a_run(tmp_path: Path, harm: Callable[[Path], None], told: str) -> None:
    run = made(tmp_path / "run")
    harm(run)
    assert told in " ".join(obstacles(run, force=True))


def test_a_manifest_that_cannot_be_read_needs_force(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    assert "it may be no run; if it is, --force removes it" in " ".join(obstacles(run))


def test_a_sweep_with_a_folder_that_is_no_job(tmp_path: Path) -> None:
    sweep = swept(tmp_path / "sweep")
    (sweep / "thesis").mkdir()
    (sweep / "thesis" / "chapter.tex").touch()
    assert "thesis is not a run" in " ".join(obstacles(sweep, force=True))


def test_links_are_not_followed(tmp_path: Path) -> None:
    run, elsewhere = made(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "link").symlink_to(run)
    assert "is a link" in " ".join(obstacles(tmp_path / "link", force=True))
    (run / "wandb").symlink_to(elsewhere)
    remove(run)
    assert not run.exists()
    assert (elsewhere / "precious").exists()


def test_a_run_in_use(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    lock = Lock(run)
    assert "is running; stop it first" in " ".join(obstacles(run))
    with pytest.raises(UserError, match="in use"):
        remove(run)
    assert (run / "metrics.jsonl").exists()
    remove(run, force=True)
    assert not run.exists()
    lock.release()


@pytest.mark.broken_by(
    "the manifest goes first",
    "store/removal.py",
    "key=lambda path: path.name == last",
    "key=lambda path: path.name != last",
)
def test_an_interrupted_removal_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, unlink, left = swept(tmp_path / "sweep"), Path.unlink, [0]

    def failing(path: Path, missing_ok: bool = False) -> None:
        if path.name == "metrics.jsonl":
            left[0] += 1
            if left[0] == 2:
                raise OSError(5, "Input/output error")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        remove(sweep)
    assert [path.name for path in sweep.iterdir() if path.is_dir()] == ["seed=1"]
    assert (sweep / "seed=1" / "manifest.json").is_file()
    assert list(obstacles(sweep, force=True)) == []
    remove(sweep)
    assert not sweep.exists()
