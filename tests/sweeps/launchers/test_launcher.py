"""Launchers: one table, whose names are those of the declarations, and those of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.config.launchers import HERE, LAUNCHERS, Launching
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import CohortEnded, Event, RunEnded, RunRow, RunsStarted
from rlcli.sweeps.launchers.table import MAKERS, opened
from rlcli.sweeps.launchers.this_machine import InProcess
from rlcli.sweeps.multirun import resume_sweep
from rlcli.sweeps.sweep import Sweep
from tests.runs.tiny import manifest_of
from tests.sweeps.conftest import Sweeping


def test_every_declared_launcher_is_in_the_table() -> None:
    assert MAKERS.keys() == LAUNCHERS.keys()


@pytest.mark.parametrize("name", ["cohort", "basic"])
def test_launchers_of_this_machine_need_nothing(name: str) -> None:
    with opened(Launching(name)) as launcher:
        assert launcher.place == ""
        assert launcher.machine(Machine(4, 10**9)).cores == 4
    assert HERE.name in MAKERS


def unbegun(done: Sweep) -> Sweep:
    """The same sweep with no job begun."""
    for job in done.jobs:
        for path in (done.dir / job.name).iterdir():
            if path.name != "config.yaml" and path.is_file():
                path.unlink()
        for path in (done.dir / job.name / "checkpoints").iterdir():
            path.unlink()
    return Sweep.read(done.dir)


def test_events_of_a_cohort_come_in_order(sweep: Sweeping) -> None:
    waiting = unbegun(sweep("seed=0,1", "total_steps=32"))
    assert [job.status for job in waiting.jobs] == ["waiting"] * 2
    events: list[Event] = []
    names = ("seed=0", "seed=1")
    assert InProcess().train(waiting, [names], 1, events.append) is None
    assert (events[0], events[-1]) == (RunsStarted(names), CohortEnded(names, None))
    assert [event.name for event in events if isinstance(event, RunRow)] == [*names, *names]
    assert {event.name: event.result.status for event in events if isinstance(event, RunEnded)} == {
        "seed=0": "finished",
        "seed=1": "finished",
    }


def test_basic_trains_every_job_by_itself_also_when_resumed(sweep: Sweeping, workplace: Path) -> None:
    waiting = unbegun(sweep("seed=0,1", "total_steps=32"))
    done = resume_sweep(waiting.dir, launching=Launching("basic"), quiet=True)
    assert [job.status for job in done.jobs] == ["finished"] * 2
    assert [manifest_of(done.dir / job.name)["cohort"] for job in done.jobs] == [[], []]
