"""Cohorts in workers that a library brings into being: handed over, followed, stopped, told of."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rlcli.errors import EXIT_CRASH
from rlcli.runs.stop import STOPPING, stop_on_signals
from rlcli.store.admission import VARIABLE
from rlcli.sweeps.launchers.following import Following
from rlcli.sweeps.launchers.interface import Hear, Unit
from rlcli.sweeps.launchers.order import Order, withdraw
from rlcli.sweeps.launchers.remote import NOT_BEGUN, Outcome, Task
from rlcli.sweeps.work import failed

WAIT = 0.5
"""Most seconds between two looks at signals and run directories."""


class Lost(Exception):
    """A worker that ended without telling what came of its cohort; why, as far as the library knows."""


class Pool(Protocol):
    """What a library is asked for; a handle stands for a cohort that was handed over, and can be a key."""

    def submit(self, tasks: Sequence[Task]) -> list[Any]:
        """Hands cohorts over; a handle each."""

    def wait(self, handles: Sequence[Any], seconds: float) -> list[Any]:
        """Those that have ended, after some time at most."""

    def outcome(self, handle: Any) -> Outcome:
        """What came of one that has ended; raises `Lost` if its worker died."""

    def withdraw(self, handle: Any) -> None:
        """One that seems not to have begun need not begin."""

    def kill(self, handles: Sequence[Any]) -> None:
        """Ends workers at once, as far as they do not end with this process."""


@dataclass
class _Sent:
    names: Unit
    retries: int


def supervise(
    pool: Pool, directory: Path, units: Sequence[Unit], count: int, hear: Hear, *, retries: int = 0
) -> int | None:
    """Trains cohorts in a pool, `count` handed over at a time; see `Launcher.train`.

    One whose worker died is handed over again, `retries` times: what its jobs had begun goes on.
    """
    directory = directory.resolve()
    following = Following(directory, hear)
    sent: dict[Any, _Sent] = {}

    def at_once(_: int) -> None:
        pool.kill(list(sent))
        withdraw(directory)

    def announce() -> None:
        order.stop()
        hear("say", STOPPING)

    with Order(directory) as order, stop_on_signals(announce, at_once) as stop:

        def hand_over(given: Sequence[_Sent]) -> None:
            tasks = [_task(directory, one, order, retries) for one in given]
            with _undisturbed():
                handles = pool.submit(tasks)
            sent.update(zip(handles, given, strict=True))
            for one in given:
                following.follow(one.names)

        try:
            waiting = [_Sent(names, retries) for names in units]
            stopping = False
            while sent or (waiting and not stop):
                free = 0 if stop else count - len(sent)
                if waiting and free > 0:
                    hand_over(waiting[:free])
                    del waiting[:free]
                if stop and not stopping:
                    stopping = True
                    for handle, one in sent.items():
                        if not following.begun(one.names):
                            pool.withdraw(handle)
                over = pool.wait(list(sent), WAIT)
                following.look()
                for handle in over:
                    one = sent.pop(handle)
                    if not _told(pool, handle, one, directory, following, hear, final=bool(stop)):
                        waiting.append(_Sent(one.names, one.retries - 1))
        except BaseException:
            order.stop()
            pool.kill(list(sent))
            raise
        return stop.exit_code


def _task(directory: Path, one: _Sent, order: Order, retries: int) -> Task:
    imports = os.environ.get(VARIABLE, "")
    return Task(str(directory), tuple(one.names), order.starter, imports, one.retries < retries)


def _told(
    pool: Pool, handle: Any, one: _Sent, directory: Path, following: Following, hear: Hear, *, final: bool
) -> bool:
    """Tells what came of a cohort that has ended; whether that is all, or it is to be tried again."""
    try:
        outcome = pool.outcome(handle)
    except Lost as error:
        outcome = NOT_BEGUN | {"lost": str(error)}
        if not final and one.retries > 0:
            hear("say", f"{error}; the cohort of {one.names[0]} is taken up again.")
            following.leave(one.names)
            return False
    for text in outcome["said"]:
        hear("say", text)
    for name in following.leave(one.names):
        result = outcome["results"].get(name)
        if result is not None:
            hear("result", (name, result | {"dir": Path(result["dir"])}))
        elif outcome["code"] is None and not final:
            message = outcome["lost"] or "its worker did not tell how it ended"
            hear("result", (name, dataclasses.asdict(failed(directory / name, EXIT_CRASH, message))))
    hear("ended", (one.names, None))
    return True


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that come into being meanwhile do not hear Ctrl-C, which reaches them by way of the order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
