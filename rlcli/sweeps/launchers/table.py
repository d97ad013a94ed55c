"""The table of launchers by name; each module is loaded when its launcher is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rlcli.config.launchers import Launching
from rlcli.sweeps.launchers.launcher import Launcher


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
