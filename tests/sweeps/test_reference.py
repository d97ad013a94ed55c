"""Suggested commands name a module with `--import` only if the next command would refuse it otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.runs.reference import import_flags, reference
from rlcli.store import own_runs
from rlcli.store.manifest import Manifest
from rlcli.sweeps.reference import reference as sweep_reference
from rlcli.sweeps.sweep import Job, Sweep

PLAIN = RunConfig()
MINE = dataclasses.replace(PLAIN, env=dataclasses.replace(PLAIN.env, id="mygame:Mine-v0"))
NEEDED = ["--import mygame"]


@pytest.fixture
def module(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the current folder, and no record of runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(workplace / "state"))
    (workplace / "mygame.py").write_text("")
    return workplace


def job(folder: Path, config: RunConfig, mine: bool) -> Job:
    """A job of a sweep that has not started."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(to_yaml(config))
    if mine:
        own_runs.remember(folder, config)
    return Job(folder.name, (), dir=str(folder))


@pytest.mark.broken_by(
    "a module named although the run is remembered",
    "store/own_runs.py",
    "return [name for name in names if name not in known]",
    "return names",
    case="made here",
)
@pytest.mark.broken_by(
    "a module left out that has to be named",
    "store/own_runs.py",
    "return [name for name in names if name not in known]",
    "return []",
    case="copied",
)
@pytest.mark.parametrize(
    ("config", "mine", "flags"),
    [(MINE, True, []), (MINE, False, NEEDED), (PLAIN, False, [])],
    ids=["made here", "copied", "without a module"],
)
def test_runs_and_sweeps(config: RunConfig, mine: bool, flags: list[str], module: Path) -> None:
    jobs = [job(module / "runs" / "two" / f"seed={seed}", config, mine) for seed in (0, 1)]
    assert import_flags(Path("runs/two/seed=0"), config) == flags
    sweep = Sweep(Path("runs/two"), (), jobs, "")
    assert sweep_reference(sweep).words == " ".join(("runs/two", *flags))


def test_a_job_refers_to_its_sweep_and_a_run_to_its_id(module: Path) -> None:
    content = {"id": "aa11bb22", "sweep": None}
    folder = module / "runs" / "one"
    manifest = Manifest(folder, content)
    assert reference(manifest, Path("runs/one"), MINE).words == "aa11bb22 --import mygame"
    assert reference(manifest, Path("my run"), PLAIN).words == "'my run'"
    of_sweep = Manifest(folder, content | {"sweep": "two"})
    assert reference(of_sweep, Path("runs/two/seed=0"), MINE) == ("sweep two", "runs/two")


def test_a_sweep_whose_configs_are_damaged_is_named_by_its_folder(module: Path) -> None:
    damaged = job(module / "runs" / "two" / "seed=0", MINE, mine=False)
    (module / "runs/two/seed=0/config.yaml").write_text("[")
    assert sweep_reference(Sweep(Path("runs/two"), (), [damaged], "")).words == "runs/two"
