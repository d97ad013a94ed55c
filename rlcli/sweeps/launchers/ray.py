"""Launcher ray: cohorts as tasks of Ray, on a running cluster or on one started here for the sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import ray

from rlcli.actors.ray_cluster import connect
from rlcli.config.launchers import SETTING, Ray
from rlcli.errors import UserError
from rlcli.sweeps.cohorts import Machine, this_machine
from rlcli.sweeps.events import OnEvent
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.launchers.supervision import Lost, supervise
from rlcli.sweeps.reference import reference
from rlcli.sweeps.sweep import Sweep
from rlcli.sweeps.worker import NOT_BEGUN, Outcome, Task, run_task

STORE = 10**8
"""Bytes of shared memory of a cluster started here: only names and results pass through it."""


class Cluster:
    """A Ray cluster; one started here lives as long as the sweep."""

    def __init__(self, settings: Ray) -> None:
        self._settings = settings
        self._theirs = ray.is_initialized()
        self._own = settings.address is None and not self._theirs
        try:
            if not self._theirs:
                connect(settings.address, f"{SETTING}.address", cores=this_machine().cores, store=STORE)
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
        """See `Launcher`: the cluster."""
        memory = here.memory if self._own else int(self._all.get("memory", here.memory))
        return Machine(int(self._all.get("CPU", 1)), memory, self._workers)

    def _room(self) -> int:
        """How many cohorts the cluster can train at a time, as it is now."""
        settings = self._settings
        wanted = {"CPU": settings.num_cpus, "GPU": settings.num_gpus, **(settings.resources or {})}
        lacking = [f"{amount:g} {name}" for name, amount in wanted.items() if amount > self._all.get(name, 0)]
        if lacking and self._own:  # a running cluster may grow
            raise UserError(
                f"A cohort asks for {', '.join(lacking)}; Ray finds less on this machine.",
                hint=f"Ask for less, or name a cluster: {SETTING}.address=HOST:PORT",
            )
        room = [self._all.get(name, 0) // amount for name, amount in wanted.items() if amount]
        return max(1, int(min(room)))

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        if not self._own and count >= self._workers:  # queued tasks make the cluster grow
            count = len(cohorts)
        return supervise(
            self,
            sweep.dir,
            cohorts,
            count,
            on_event,
            named=reference(sweep),
            retries=self._settings.max_retries,
        )

    def submit(self, tasks: Sequence[Task]) -> list[Any]:
        """See `Pool`."""
        settings = self._settings
        asked: dict[str, Any] = {
            "num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus, "resources": settings.resources,
            "runtime_env": settings.runtime_env, "max_retries": 0,
        }  # fmt: skip
        remote = ray.remote(run_task).options(**asked)
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
        """Kills workers of a running cluster; those of a cluster started here end with this process."""
        if not self._own:
            for handle in handles:
                with contextlib.suppress(Exception):
                    ray.cancel(handle, force=True)

    def close(self) -> None:
        """See `Launcher`."""
        if not self._theirs:
            ray.shutdown()
