"""Cohorts as tasks of Ray, on a cluster that is there or on one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from rlcli.config.launchers import SETTING, Ray
from rlcli.errors import UserError
from rlcli.sweeps.cohorts import Machine, this_machine
from rlcli.sweeps.launchers.launcher import Hear, Unit
from rlcli.sweeps.launchers.remote import NOT_BEGUN, Outcome, Task, carry_out
from rlcli.sweeps.launchers.supervision import Lost, supervise

PATIENCE = 10
"""Seconds a cluster may take to answer at all."""
STORE = 10**8
"""Bytes of shared memory of a cluster of our own: what passes through it is a few names."""


class Cluster:
    """A Ray cluster; one of our own lives as long as the sweep."""

    def __init__(self, settings: Ray) -> None:
        self._settings = settings
        self._theirs = ray.is_initialized()
        self._own = settings.address is None and not self._theirs
        try:
            if not self._theirs:
                _connect(settings.address)
            self._all: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._workers = self._room()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """See `Launcher`."""
        return "on a Ray cluster of this machine" if self._own else "on the Ray cluster"

    def machine(self, here: Machine) -> Machine:
        """The cluster."""
        memory = here.memory if self._own else int(self._all.get("memory", here.memory))
        return Machine(int(self._all.get("CPU", 1)), memory, self._workers)

    def _room(self) -> int:
        """Cohorts that find room in the cluster at a time, as it is now."""
        settings = self._settings
        wanted = {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **(settings.resources or {})}
        lacking = [f"{amount:g} {name}" for name, amount in wanted.items() if amount > self._all.get(name, 0)]
        if lacking and self._own:  # another may grow
            raise UserError(
                f"A cohort asks for {', '.join(lacking)}; Ray finds less on this machine.",
                hint=f"Ask for less, or name a cluster: {SETTING}.address=HOST:PORT",
            )
        room = [self._all.get(name, 0) // amount for name, amount in wanted.items() if amount]
        return max(1, int(min(room)))

    def train(self, directory: Path, units: Sequence[Unit], count: int, hear: Hear) -> int | None:
        """See `Launcher`."""
        if not self._own and count >= self._workers:  # what waits tells the cluster to grow
            count = len(units)
        return supervise(self, directory, units, count, hear, retries=self._settings.max_retries)

    def submit(self, tasks: Sequence[Task]) -> list[Any]:
        """See `Pool`."""
        settings = self._settings
        asked: dict[str, Any] = {
            "num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus, "resources": settings.resources,
            "runtime_env": settings.runtime_env, "max_retries": 0,
        }  # fmt: skip
        remote = ray.remote(carry_out).options(**asked)
        return [remote.remote(task) for task in tasks]

    def wait(self, handles: Sequence[Any], seconds: float) -> list[Any]:
        """See `Pool`."""
        return list(ray.wait(list(handles), timeout=seconds)[0])

    def outcome(self, handle: Any) -> Outcome:
        """See `Pool`."""
        try:
            outcome: Outcome = ray.get(handle)
        except ray.exceptions.TaskCancelledError:
            return NOT_BEGUN
        except ray.exceptions.RayError as error:
            raise Lost(f"Ray lost a worker ({type(error).__name__})") from error
        return outcome

    def withdraw(self, handle: Any) -> None:
        """See `Pool`."""
        ray.cancel(handle, force=False)

    def kill(self, handles: Sequence[Any]) -> None:
        """Kills workers of a cluster that goes on; those of our own end with this process."""
        if not self._own:
            for handle in handles:
                with contextlib.suppress(Exception):
                    ray.cancel(handle, force=True)

    def close(self) -> None:
        """See `Launcher`."""
        if not self._theirs:
            ray.shutdown()


def _connect(address: str | None) -> None:
    """Starts a cluster, or finds one.

    Raises:
        UserError: none answers there.
    """
    given: Mapping[str, Any] = {"address": address}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster of our own tells nobody of itself
        given = {
            "address": "local", "num_cpus": this_machine().cores, "include_dashboard": False,
            "object_store_memory": STORE,
        }  # fmt: skip
    try:
        if address is not None:
            _knock(address)
        with _own_handlers():
            ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        if address is None:
            raise UserError(f"Ray does not start on this machine: {error}") from error
        raise UserError(
            f"{SETTING}.address={address}: no Ray cluster answers there.",
            hint=f"ray status --address {address} asks it; null starts one on this machine.",
        ) from error


def _knock(address: str) -> None:
    """Raises `OSError` unless somebody listens there: Ray would try again for many minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address)
    if found is not None:
        socket.create_connection((found[1], int(found[2])), timeout=PATIENCE).close()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """What Ray sets for signals is put back: whoever trains the sweep hears them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
