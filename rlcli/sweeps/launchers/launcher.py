"""Launchers: the interface of what trains the cohorts of a sweep, and the table of launchers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rlcli.config.launchers import Launching
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import OnEvent
from rlcli.sweeps.sweep import Sweep

Cohort = Sequence[str]
"""The names of the jobs of a cohort."""


class Launcher(Protocol):
    """Trains cohorts, as often as it is asked to, until it is closed."""

    @property
    def place(self) -> str:
        """Where cohorts train, as shown after '48 jobs: 2 cohorts of 24, '; '' for this machine."""

    def machine(self, here: Machine) -> Machine:
        """The machine that jobs are divided into cohorts for; `here` is this one."""

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """Trains cohorts of a sweep, at most `count` side by side; events come in the calling thread.

        Ctrl-C and SIGTERM are passed on: each worker ends the update in progress and saves. A second signal
        ends all at once. Returns the exit code of such a signal, else None.
        """

    def close(self) -> None:
        """Ends all processes of the launcher; calling it again does nothing."""


def _cohort(_: Any) -> Launcher:
    from rlcli.sweeps.launchers.this_machine import ThisMachine

    return ThisMachine()


def _basic(_: Any) -> Launcher:
    from rlcli.sweeps.launchers.this_machine import InProcess

    return InProcess(max_size=1)


def _joblib(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.joblib import Processes

    return Processes(settings)


def _submitit(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.submitit import Submitted

    return Submitted(settings)


def _ray(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.ray import Cluster

    return Cluster(settings)


MAKERS: Mapping[str, Callable[[Any], Launcher]] = {
    "cohort": _cohort,
    "basic": _basic,
    "joblib": _joblib,
    "submitit": _submitit,
    "ray": _ray,
}
"""From the names in `rlcli.config.launchers` and their settings to launchers."""


@contextmanager
def opened(launching: Launching) -> Iterator[Launcher]:
    """The launcher that was chosen, closed at the end of the block.

    Raises:
        UserError: it cannot start, for example because a cluster does not answer.
    """
    launcher = MAKERS[launching.name](launching.settings)
    try:
        yield launcher
    finally:
        launcher.close()
