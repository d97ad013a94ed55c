"""The environments of one actor, as the process that learns sees them.

Shapes: R runs, n environments of each in this actor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rlcli.actors.memory import Shared
from rlcli.actors.packets import LARGEST, Gone, opened, receive, unpacked
from rlcli.actors.processes import Actor, ForkServer
from rlcli.actors.stepping import DONE, KEEP, OTHER, RESET, STEP, TAUGHT, fields
from rlcli.envs.failures import Failures, keep_rows
from rlcli.envs.interface import Array, Step
from rlcli.envs.spec import EnvSpec

Received = TypeVar("Received")
OUTCOMES = ("rewards", "terminated", "truncated")
LEARNT = ("learnt_rewards", "learnt_terminated")
"""Names of arrays in memory."""


class Hung(Exception):
    """An actor has not answered in time."""


class Part:
    """The environments of one actor, asked and answered apart so that all actors are at work at once."""

    def __init__(
        self,
        server: ForkServer,
        spec: EnvSpec,
        runs: int,
        first: int,
        count: int,
        timeout: float | None,
    ) -> None:
        self.spec = dataclasses.replace(spec, first=first)
        self.num_runs, self.num_envs = runs, count
        self.failures: Failures = {}
        self.places = slice(first, first + count)
        self._timeout = timeout
        self._server = server
        self._shared = Shared(fields(spec, runs, count))
        self.actor = self._start()

    def _start(self) -> Actor:
        replay = [self.spec.fresh_each_episode, self.spec.exact_resume, self.spec.inexact_reason]
        part = {"runs": self.num_runs, "first": self.spec.first, "count": self.num_envs, "replay": replay}
        return self._server.start("steps", part, [self._shared.descriptor])

    def made(self) -> None:
        """Waits until the environments are made.

        Raises:
            ActorError: they cannot be made.
        """
        self._take(self._receive())

    def end(self) -> str:
        """Ends the actor, if it has not ended by itself; how it did."""
        return self._server.end(self.actor)

    def restart(self) -> None:
        """Starts a new actor in the place of one that has ended, with new environments.

        Raises:
            ActorError: it cannot be started, or its environments cannot be made.
        """
        self.actor = self._start()
        self.made()

    def ask_reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> None:
        """Has environments `mask` [R, n] reset with their seeds."""
        self["seeds"][...], self["mask"][...] = seeds, mask
        self._send(RESET)

    def ask_step(self, actions: Array) -> None:
        """Has all environments stepped with `actions` [R, n, ...]."""
        np.copyto(self["actions"], actions, casting="no")
        self._send(STEP)

    def ask_select(self, rows: Sequence[int]) -> None:
        """Has only these runs kept."""
        self._shared["rows"][: len(rows)] = rows
        self._send(KEEP + str(len(rows)).encode())

    def selected(self, rows: Sequence[int]) -> None:
        """What follows from the answer to `ask_select`."""
        self.num_runs = len(rows)
        self.failures = keep_rows(self.failures, rows)

    def answer(self) -> bool:
        """Waits for the answer; whether steps are learnt otherwise than they happened.

        Raises:
            Gone: the actor has ended.
            Hung: it did not answer in time.
            ActorError: another error than one of an environment ended it.
        """
        try:
            answer = self._in_time(lambda: self.actor.end.recv(LARGEST))
        except ConnectionResetError as error:
            raise Gone from error
        if not answer:
            raise Gone
        if not answer.startswith((DONE, TAUGHT, OTHER)):
            raise unpacked(opened(answer)["failed"])
        if answer.startswith(OTHER):
            self._take(self._receive())
        return answer.endswith(TAUGHT)

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """As of a vector environment."""
        self.ask_reset(seeds, mask)
        self.answer()
        return self["observations"].copy()

    def step(self, actions: Array) -> Step:
        """As of a vector environment."""
        self.ask_step(actions)
        self.answer()
        return Step(*(self[name].copy() for name in ("observations", *OUTCOMES)))

    def select(self, rows: Sequence[int]) -> None:
        """As of a vector environment."""
        self.ask_select(rows)
        self.answer()
        self.selected(rows)

    def close(self) -> None:
        """Releases the memory; the actor ends with its server."""
        self.actor.end.close()
        self._shared.close()

    def __getitem__(self, name: str) -> Array:
        return self._shared[name][: self.num_runs]

    def _send(self, request: bytes) -> None:
        try:
            self.actor.end.send(request)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def _receive(self) -> dict[str, Any]:
        return self._in_time(lambda: receive(self.actor.end)[0])

    def _in_time(self, received: Callable[[], Received]) -> Received:
        """What comes within the timeout, or came while this process was stopped; else raises `Hung`."""
        self.actor.end.settimeout(self._timeout)
        try:
            return received()
        except TimeoutError:
            self.actor.end.settimeout(0.0)
        try:
            return received()
        except BlockingIOError as error:
            raise Hung from error

    def _take(self, packet: dict[str, Any]) -> None:
        if "failed" in packet:
            raise unpacked(packet["failed"])
        failed = [self._receive() for _ in range(packet["failures"])]
        self.failures = {one["run"]: unpacked(one) for one in failed}
