"""Everything that a run or a sweep writes, replaced in turn by what leads elsewhere or blocks.

Whatever it is, the command ends, nothing outside is changed, and a run that could not go on is as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.errors import StorageError
from rlcli.runs.resume import resume
from rlcli.runs.train import train
from rlcli.store.layout import FOLDERS, GROWING, REPLACED, SWEEP, check_run, check_sweep, set_aside
from rlcli.sweeps.multirun import resume_sweep, run_sweep
from rlcli.sweeps.plan import plan
from tests.runs.resuming import train_with_copies
from tests.runs.tiny import tiny
from tests.sweeps.composing import multirun
from tests.sweeps.conftest import SMALL

Replace = Callable[[Path, Path], None]


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def dangling(path: Path, outside: Path) -> None:
    path.symlink_to(outside.with_name("not there"))


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, _: Path) -> None:
    path.mkdir()


def second_name(path: Path, outside: Path) -> None:
    path.hardlink_to(outside)


def linked_folder(path: Path, outside: Path) -> None:
    path.symlink_to(outside.parent, target_is_directory=True)


def plain_file(path: Path, _: Path) -> None:
    path.write_text("in the way")


WAYS: dict[str, Replace] = {
    "link": link, "dangling link": dangling, "pipe": pipe, "folder": folder, "second name": second_name
}  # fmt: skip
FOLDER_WAYS: dict[str, Replace] = {
    "link": linked_folder, "dangling link": dangling, "pipe": pipe, "plain file": plain_file
}  # fmt: skip
EVERYTHING = [
    *((name, way) for name in GROWING for way in WAYS),
    *((name, way) for name in (*REPLACED, "manifest.json.new") for way in WAYS if way != "second name"),
    *((name, way) for name in FOLDERS for way in FOLDER_WAYS),
]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three updates, killed after the second, with all files a run has."""
    config = tiny(checkpoint__every=32)
    _, [found] = train_with_copies(config, tmp_path_factory.mktemp("layout") / "run", (2,))
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that no run may change, alone in its folder."""
    path = tmp_path / "outside" / "diary"
    path.parent.mkdir()
    path.write_text("dear diary\n")
    return path


def unchanged(outside: Path) -> bool:
    return outside.read_text() == "dear diary\n" and list(outside.parent.iterdir()) == [outside]


def replaced(run: Path, name: str, way: str, outside: Path) -> None:
    path = run / name
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    (FOLDER_WAYS if name in FOLDERS else WAYS)[way](path, outside)


def told(run: Path) -> dict[str, bytes | None]:
    """What a directory holds, by name; None for what is no plain file."""
    return {
        str(path.relative_to(run)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(run.rglob("*"))
    }


def test_a_run_writes_what_the_layout_names(killed: Path) -> None:
    names = {path.relative_to(killed).parts[0] for path in killed.rglob("*")}
    assert names <= {*GROWING, *REPLACED, *FOLDERS}


@pytest.mark.parametrize(("name", "way"), EVERYTHING)
def test_a_resumed_run_writes_nowhere_else(
    name: str, way: str, killed: Path, tmp_path: Path, outside: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    replaced(run, name, way, outside)
    before = told(run)
    with pytest.raises(StorageError, match=r"link|not a file|not a folder|Is a directory"):
        resume(run, quiet=True)
    assert told(run) == before
    assert unchanged(outside)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("train.log", "pipe"),
        ("metrics.jsonl", "second name"),
        ("wandb/cache", "link"),
        ("config.yaml", "link"),
        ("checkpoints", "plain file"),
        ("digests.txt", "dangling link"),
    ],
)
def test_a_new_run_begins_in_no_such_directory(name: str, way: str, tmp_path: Path, outside: Path) -> None:
    (tmp_path / "run").mkdir()
    replaced(tmp_path / "run", name, way, outside)
    with pytest.raises(StorageError):
        train([tiny()], [tmp_path / "run"], quiet=True)
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert unchanged(outside)


def test_a_linked_checkpoint_in_the_way_is_replaced_not_followed(
    killed: Path, tmp_path: Path, outside: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    (run / "checkpoints" / "3.safetensors").symlink_to(outside)
    (run / "events.out.tfevents.0").symlink_to(outside)
    (run / "checkpoints" / "mine.txt").write_text("notes of my own")
    (run / "mine.new").write_text("these, too")
    try:
        resume(run, quiet=True)
    except StorageError as error:
        assert "3.safetensors" in str(error)  # noqa: PT017
    assert unchanged(outside)
    assert (run / "checkpoints" / "mine.txt").read_text() == "notes of my own"
    assert (run / "mine.new").read_text() == "these, too"


# --- sweeps


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("swept")
    words = [*SMALL, "total_steps=16", "seed=0,1", f"runs_dir={root}", "name=sweep"]
    command = multirun(words)
    return run_sweep(plan(command), command, quiet=True).dir


def test_a_sweep_writes_what_the_layout_names(swept: Path) -> None:
    jobs = {path.name for path in swept.iterdir() if path.is_dir()}
    assert {path.name for path in swept.iterdir()} <= {*SWEEP, *jobs}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SWEEP)
def test_a_resumed_sweep_writes_nowhere_else(
    name: str, way: str, swept: Path, tmp_path: Path, outside: Path
) -> None:
    sweep = tmp_path / "sweep"
    shutil.copytree(swept, sweep)
    replaced(sweep, name, way, outside)
    in_place = name in ("study.log", "lock")
    if way == "second name" and not in_place:
        if name != "sweep.json":
            resume_sweep(sweep, quiet=True)
    else:
        with pytest.raises(StorageError):
            resume_sweep(sweep, quiet=True)
    assert unchanged(outside)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    check_run(tmp_path)
    check_sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_set_aside_never_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert set_aside(path) is None
    for text in ("first", "second"):
        path.write_text(text)
        set_aside(path)
    assert (tmp_path / "metrics.jsonl.before-1").read_text() == "first"
    assert (tmp_path / "metrics.jsonl.before-2").read_text() == "second"
    path.write_text("")
    assert set_aside(path) is None
