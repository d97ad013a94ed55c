"""Sweeps whose record or jobs were made to do harm."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ended, Rlcli
from tests.cli.hostile.harm import (
    REFUSED,
    STEERING,
    Harm,
    line,
    names_module,
    relink,
    writes,
)
from tests.cli.hostile.sweeps import SWEEPS, harmed


def job(**changes: Any) -> Harm:
    """The record of a sweep whose first job is changed."""
    about = {
        "name": "run",
        "overrides": [],
        "varied": [],
        "status": "waiting",
        "exit_code": None,
        "message": None,
    }

    def harm(sweep: Path) -> None:
        record = {"version": 2, "overrides": [], "started": "", "jobs": [about | changes]}
        (sweep / "sweep.json").write_text(json.dumps(record))

    return harm


def and_waiting(harm: Harm) -> Harm:
    """A job that was not begun, its config harmed."""

    def both(sweep: Path) -> None:
        job()(sweep)
        (sweep / "run" / "manifest.json").unlink()
        harm(sweep / "run")

    return both


NO_SWEEPS: dict[str, Harm] = {
    "a job above": job(name=".."),
    "a job elsewhere": job(name="../../secret"),
    "a job of an absolute path": job(name="/etc"),
    "a job that is a link": lambda sweep: job(name="link")(sweep) or (sweep / "link").symlink_to("../good"),
    "a job that is none": job(name="none"),
    "a job twice": lambda sweep: (sweep / "sweep.json").write_text(
        json.dumps({"version": 2, "overrides": [], "started": "", "jobs": [{"name": "run"}] * 2})
    ),
    "deep": writes("sweep.json", b"[" * 100_000),
    "digits": writes("sweep.json", b'{"version": ' + b"9" * 5000 + b"}"),
    "a link": lambda sweep: (sweep / "sweep.json").symlink_to("../secret"),
    "types": job(message=[STEERING], overrides=3),
}  # fmt: skip
NOT_BEGUN: dict[str, Harm] = {
    "a module": and_waiting(names_module("run")),
    "another module": and_waiting(names_module("here")),
    "too large": and_waiting(line("hidden", "[1000000, 1000000]")),
    "no config": and_waiting(writes("config.yaml", "x")),
    "a config elsewhere": and_waiting(lambda run: relink(run / "config.yaml", "../../secret")),
    "no such environment": and_waiting(line("id", "Nothing-v0")),
}


@pytest.fixture
def attack_sweep(honest: Path, workplace: Path, secret: Path, rlcli: Rlcli) -> Callable[[Harm, str], Ended]:
    """As `attack`, of a sweep with one job."""

    def run(harm: Harm, verb: str) -> Ended:
        sweep = workplace / "stolen"
        shutil.copytree(honest, sweep / "run")
        shutil.copytree(honest, workplace / "good")
        return harmed(sweep, harm, verb, workplace, rlcli)

    return run


@pytest.mark.parametrize("verb", sorted(SWEEPS))
@pytest.mark.parametrize("harm", NO_SWEEPS.values(), ids=NO_SWEEPS.keys())
def test_a_sweep_that_is_none(harm: Harm, verb: str, attack_sweep: Any) -> None:
    assert attack_sweep(harm, verb).code in ((0,) if verb == "runs" else REFUSED)


@pytest.mark.parametrize("verb", ["resume", "resume --retry"])
@pytest.mark.parametrize("harm", NOT_BEGUN.values(), ids=NOT_BEGUN.keys())
def test_a_job_that_may_not_begin(harm: Harm, verb: str, attack_sweep: Any) -> None:
    assert attack_sweep(harm, verb).code in REFUSED
    assert not {"evil"} & set(sys.modules)


@pytest.mark.parametrize("verb", sorted(SWEEPS))
def test_nothing_of_a_sweep_steers_the_terminal(verb: str, attack_sweep: Any) -> None:
    def harm(sweep: Path) -> None:
        name = STEERING.replace("/", "")
        (sweep / "run").rename(sweep / name)
        job(name=name, status="failed", message=STEERING, varied=[STEERING])(sweep)
        (sweep / name / "manifest.json").unlink()

    attack_sweep(harm, verb)
