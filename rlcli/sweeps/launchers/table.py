"""From the name of a launcher to the launcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rlcli.config.launchers import Launching
from rlcli.sweeps.launchers.launcher import Launcher


def _joblib(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.joblib import Processes

    return Processes(settings)


def _submitit(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.submitit import Submitted

    return Submitted(settings)


def _ray(settings: Any) -> Launcher:
    from rlcli.sweeps.launchers.ray import Cluster

    return Cluster(settings)


MAKERS: Mapping[str, Callable[[Any], Launcher]] = {"joblib": _joblib, "submitit": _submitit, "ray": _ray}
"""Launchers beside this process and workers of its own, which `Training` sees to."""


@contextmanager
def opened(launching: Launching | None) -> Iterator[Launcher | None]:
    """The launcher, ready to take cohorts, and closed afterwards; None is this process and its own workers.

    So is what comes of None, where there is nothing to be launched.

    Raises:
        UserError: it cannot be had: a cluster that does not answer, say.
    """
    maker = None if launching is None else MAKERS.get(launching.name)
    if launching is None or maker is None:
        yield None
        return
    launcher = maker(launching.settings)
    try:
        yield launcher
    finally:
        launcher.close()
