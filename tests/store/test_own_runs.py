"""Runs made on this machine by this user need no --import; copied, moved and altered ones do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.errors import UserError
from rlcli.store import own_runs
from rlcli.store.admission import admit
from tests.runs.tiny import manifest_of, tiny

MINE: RunConfig = tiny(env__id="mygame:Mine-v0")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the user's module, and a state directory beside it."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mygame.py").touch()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return here


def made(folder: Path, finished: Path, config: RunConfig = MINE, run_id: str = "aa11bb22") -> Path:
    """A run that was made here: its files, and the record of it."""
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest_of(finished) | {"id": run_id}))
    (folder / "config.yaml").write_text(to_yaml(config))
    own_runs.remember(folder, config, run_id)
    return folder


def test_a_run_made_here_is_admitted(place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(place / "run", finished)
    assert admit(MINE, run) == ["mygame"]
    assert admit(MINE, run, ["mygame"]) == []
    assert admit(MINE, Path("run")) == ["mygame"], "a relative path of the same folder"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(place))
    with pytest.raises(UserError, match="'mygame'"):
        admit(MINE, run)
    own_runs.remember(run, MINE, "aa11bb22")
    assert admit(MINE, run) == ["mygame"]
    assert (place / ".local" / "state" / "rlcli" / "own_runs").is_file()


def copied(run: Path) -> Path:
    return Path(shutil.copytree(run, run.with_name("copy")))


def moved(run: Path) -> Path:
    return run.rename(run.with_name("elsewhere"))


def with_another_setting(run: Path) -> Path:
    (run / "config.yaml").write_text(to_yaml(tiny(env__id="mygame:Mine-v0", seed=7)))
    return run


def with_a_second_config(run: Path) -> Path:
    (run / "base.yaml").write_text(to_yaml(MINE))
    return run


def with_a_linked_config(run: Path) -> Path:
    path = run / "config.yaml"
    path.rename(run.with_name("kept.yaml"))
    path.symlink_to(run.with_name("kept.yaml"))
    return run


def with_another_id(run: Path) -> Path:
    (run / "manifest.json").write_text(json.dumps(manifest_of(run) | {"id": "cc33dd44"}))
    return run


@pytest.mark.broken_by(
    "a copied run trusted",
    "store/own_runs.py",
    "str(run_dir.resolve()), digests",
    '"", digests',
    case="copied",
)
@pytest.mark.broken_by(
    "an altered run trusted",
    "store/own_runs.py",
    "digests, module, files]",
    "module, files]",
    case="with_another_setting",
)
@pytest.mark.parametrize(
    "change",
    [copied, moved, with_another_setting, with_a_second_config, with_a_linked_config, with_another_id],
    ids=lambda change: change.__name__,
)
def test_a_run_that_was_copied_or_altered_is_not(change: Any, place: Path, finished: Path) -> None:
    run = change(made(place / "run", finished))
    assert own_runs.remembered(run, ["mygame"]) == []
    with pytest.raises(UserError, match="no module is imported just because a run directory names it"):
        admit(MINE, run)


@pytest.mark.broken_by(
    "a module trusted wherever it comes from",
    "store/own_runs.py",
    "digests, module, files]",
    "digests, module]",
)
def test_a_module_of_that_name_from_elsewhere_is_not(
    place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(place / "run", finished)
    (place / "other").mkdir()
    monkeypatch.chdir(place / "other")
    assert own_runs.remembered(run, ["mygame"]) == [], "it is not to be found"
    (place / "other" / "mygame.py").touch()
    assert own_runs.remembered(run, ["mygame"]) == [], "another file has its name"
    monkeypatch.chdir(place)
    assert own_runs.remembered(run, ["mygame", "other"]) == ["mygame"], "another module was not recorded"


def test_what_a_run_directory_holds_is_no_record(place: Path, finished: Path) -> None:
    run = made(place / "run", finished)
    record = place.parent / "state" / "rlcli" / "own_runs"
    shutil.copy(record, run / "own_runs")
    record.unlink()
    assert own_runs.remembered(run, ["mygame"]) == []


@pytest.mark.broken_by(
    "a record that others can write believed",
    "store/own_runs.py",
    "(stat.S_IWGRP | stat.S_IWOTH)",
    "0",
)
def test_a_record_that_others_can_write_is_not_believed(place: Path, finished: Path) -> None:
    run = made(place / "run", finished)
    record = place.parent / "state" / "rlcli" / "own_runs"
    assert record.stat().st_mode & 0o777 == 0o600
    record.chmod(0o622)
    assert own_runs.remembered(run, ["mygame"]) == []
    record.chmod(0o600)
    assert own_runs.remembered(run, ["mygame"]) == ["mygame"]


@pytest.mark.parametrize("kind", ["read-only", "a file", "a link", "a pipe", "no home"])
def test_a_home_that_cannot_be_written_to_is_no_error(
    kind: str, place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = place.parent / "state"
    if kind == "read-only":
        state.mkdir(mode=0o500)

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse) if os.geteuid() == 0 else None
        os.mkdir(place / "run")  # noqa: PTH102 (Path.mkdir is replaced)
        own_runs.remember(place / "run", MINE)
        assert own_runs.remembered(place / "run", ["mygame"]) == []
        return
    if kind == "a file":
        state.touch()
    elif kind == "no home":
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        monkeypatch.setattr(Path, "home", lambda: Path("relative"))
    else:
        (state / "rlcli").mkdir(parents=True)
        record = state / "rlcli" / "own_runs"
        record.symlink_to(place / "mygame.py") if kind == "a link" else os.mkfifo(record)
    run = made(place / "run", finished)
    assert own_runs.remembered(run, ["mygame"]) == []
    assert (place / "mygame.py").read_bytes() == b""


def test_a_run_without_a_module_needs_no_record(place: Path, finished: Path) -> None:
    run = made(place / "run", finished, tiny())
    assert admit(tiny(), run) == []
    assert not (place.parent / "state").exists()


def test_a_resumed_run_stays_ones_own_and_a_strangers_a_strangers(place: Path, finished: Path) -> None:
    longer = tiny(env__id="mygame:Mine-v0", total_steps=960)
    for name, expected in (("own", ["mygame"]), ("stranger", [])):
        run = made(place / name, finished)
        if name == "stranger":
            (place.parent / "state" / "rlcli" / "own_runs").unlink()
        own_runs.renew(run, longer)
        (run / "config.yaml").write_text(to_yaml(longer))
        assert own_runs.remembered(run, ["mygame"]) == expected


def test_jobs_of_a_sweep_are_recorded_before_they_have_an_id(place: Path, finished: Path) -> None:
    job = place / "job"
    job.mkdir()
    (job / "config.yaml").write_text(to_yaml(MINE))
    own_runs.remember(job, MINE)
    assert own_runs.remembered(job, ["mygame"]) == ["mygame"]
    (job / "manifest.json").write_text(json.dumps(manifest_of(finished)))
    assert own_runs.remembered(job, ["mygame"]) == ["mygame"]
    (job / "manifest.json").write_text("{")
    assert own_runs.remembered(job, ["mygame"]) == ["mygame"]


def test_modules_of_folders_without_a_file_are_found_by_their_places(place: Path, finished: Path) -> None:
    (place / "games").mkdir()
    (place / "games" / "deep.py").touch()
    config = tiny(env__id="games.deep:Mine-v0")
    run = made(place / "run", finished, config)
    assert own_runs.remembered(run, ["games.deep"]) == ["games.deep"]
    (place / "games" / "deep").mkdir()
    (place / "games" / "deep" / "__init__.py").touch()
    assert own_runs.remembered(run, ["games.deep"]) == [], "a package goes before a module"
