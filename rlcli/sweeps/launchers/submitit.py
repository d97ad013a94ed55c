"""Launcher submitit: cohorts as jobs of Slurm, or of its local executor as processes of this machine.

submitit exchanges pickles with its jobs in a folder that is made anew for each training of the sweep; the
pickles are removed at its end, the logs stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError
from submitit.helpers import DelayedSubmission

from rlcli.config.launchers import Submitit
from rlcli.store.files import storage_error
from rlcli.sweeps.cohorts import Machine
from rlcli.sweeps.events import OnEvent
from rlcli.sweeps.launchers.launcher import Cohort
from rlcli.sweeps.launchers.supervision import Lost, supervise
from rlcli.sweeps.reference import reference
from rlcli.sweeps.sweep import Sweep
from rlcli.sweeps.worker import NOT_BEGUN, Outcome, Task, run_task
from rlcli.variables import variables

UNLIMITED, ON_SLURM = 60 * 24 * 365, 60
"""Minutes, if no time limit is given."""
GB = 10**9
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Keeps the interpreters of jobs from importing modules of the current directory."""

Job = submitit.Job[Outcome]


class CohortTask:
    """The callable of a job; after a time limit or a preemption it is queued again, and resumes."""

    def __call__(self, task: Task) -> Outcome:
        """Trains the cohort."""
        restarted = int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
        with contextlib.suppress(PermissionError):
            os.setsid()  # a local job gets no Ctrl-C of the terminal
        with _saved_before_requeue():
            return run_task(dataclasses.replace(task, retried=task.retried or restarted))

    def checkpoint(self, task: Task) -> DelayedSubmission:
        """The call when the job starts again: the same one, since begun runs resume."""
        return DelayedSubmission(self, task)


@contextmanager
def _saved_before_requeue() -> Iterator[None]:
    """Ends and saves the update in progress at submitit's signal, before submitit acts on it."""
    number = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
    queue_again: Any = signal.getsignal(number)
    received: list[FrameType | None] = []

    def first_save(_: int, frame: FrameType | None) -> None:
        if not received:
            os.kill(os.getpid(), signal.SIGTERM)
        received.append(frame)

    signal.signal(number, first_save)
    try:
        yield
        if received:
            queue_again(number, received[0])
    finally:
        signal.signal(number, queue_again)


class Submitted:
    """Jobs that are submitted by submitit."""

    def __init__(self, settings: Submitit) -> None:
        self._settings = settings
        self._slurm = settings.executor == "slurm"
        self._folder: Path | None = None
        self._executor: submitit.Executor | None = None
        self._withdrawn: set[str] = set()

    @property
    def place(self) -> str:
        """See `Launcher`."""
        return "submitted to Slurm" if self._slurm else "submitted to processes of this machine"

    def machine(self, here: Machine) -> Machine:
        """See `Launcher`: the nodes of a cluster that may train at a time, or this machine."""
        if not self._slurm:
            return here
        workers, size = self._settings.array_parallelism, self._settings.mem_gb
        memory = here.memory if size is None else int(size * GB)
        return Machine(self._settings.cpus_per_task, memory * workers, workers)

    def train(self, sweep: Sweep, cohorts: Sequence[Cohort], count: int, on_event: OnEvent) -> int | None:
        """See `Launcher`."""
        if self._executor is None:
            self._executor = self._new_executor(sweep.dir.resolve())
        if self._slurm:  # all at once: the others wait in its queue
            self._executor.update_parameters(slurm_array_parallelism=count)
            count = len(cohorts)
        return supervise(self, sweep.dir, cohorts, count, on_event, named=reference(sweep))

    def _new_executor(self, directory: Path) -> submitit.Executor:
        settings = self._settings
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="submitit-", dir=directory))
        except OSError as error:
            raise storage_error(directory, error) from error
        executor = submitit.AutoExecutor(
            self._folder, settings.executor,
            slurm_max_num_timeout=settings.max_num_timeout, local_max_num_timeout=settings.max_num_timeout,
        )  # fmt: skip
        executor.update_parameters(
            name=f"rlcli-{directory.name}",
            timeout_min=settings.timeout_min or (ON_SLURM if self._slurm else UNLIMITED),
            gpus_per_node=settings.gpus_per_node,
            cpus_per_task=settings.cpus_per_task,
            mem_gb=settings.mem_gb,
            slurm_signal_delay_s=settings.signal_delay_s,
            slurm_partition=settings.partition,
            slurm_account=settings.account,
            slurm_qos=settings.qos,
            slurm_constraint=settings.constraint,
            slurm_setup=list(settings.setup) or None,
            slurm_additional_parameters=settings.additional_parameters,
        )
        return executor

    def submit(self, tasks: Sequence[Task]) -> list[Job]:
        """See `Pool`."""
        assert self._executor is not None
        with variables(SAFE_PATH, replaced=True), self._executor.batch():
            return [self._executor.submit(CohortTask(), task) for task in tasks]

    def wait(self, handles: Sequence[Job], seconds: float) -> list[Job]:
        """See `Pool`."""
        time.sleep(seconds)
        return [job for job in handles if job.done()]

    def outcome(self, handle: Job) -> Outcome:
        """See `Pool`."""
        there = handle.paths.result_pickle.exists()
        if not there and handle.job_id in self._withdrawn:
            return NOT_BEGUN
        if not there and not self._slurm:  # on a shared file system it may still appear: submitit waits
            raise self._lost(handle)
        try:
            return handle.result()
        except (
            UncompletedJobError,
            FailedJobError,
            UnicodeError,
        ) as error:  # it may quote a log of any bytes
            raise self._lost(handle) from error

    def _lost(self, handle: Job) -> Lost:
        return Lost(f"job {handle.job_id} ended without a result; its log is {handle.paths.stderr}")

    def withdraw(self, handle: Job) -> None:
        """See `Pool`."""
        if self._slurm:
            self._withdrawn.add(handle.job_id)
            handle.cancel(check=False)

    def kill(self, handles: Sequence[Job]) -> None:
        """Cancels jobs of Slurm; local ones get SIGTERM, or notice that this process is gone."""
        for job in handles:
            if self._slurm:
                job.cancel(check=False)
            else:
                with contextlib.suppress(OSError):
                    os.kill(int(job.job_id), signal.SIGTERM)

    def close(self) -> None:
        """See `Launcher`."""
        folder, self._folder, self._executor = self._folder, None, None
        if folder is not None:
            for pickle in folder.glob("*.pkl"):
                with contextlib.suppress(OSError):
                    pickle.unlink()
