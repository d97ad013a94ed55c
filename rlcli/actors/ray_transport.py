"""Actors on a Ray cluster that collect unrolls: policies and unrolls are objects of Ray's store.

A policy is put into the store once, however many actors read it. An unroll stays on the node of its actor
until the learner takes it. Each unroll is a call with the newest policy there is when it begins.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import ray
from ray.exceptions import RayError

from rlcli import __version__
from rlcli.actors.packets import ActorError, Gone, Packet, packed
from rlcli.actors.ray_actor import RayActor
from rlcli.actors.ray_cluster import connect, reason_of
from rlcli.actors.transport import HERE, Message
from rlcli.actors.unrolls import blank_policy, policy_arrays, unroll_fields
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec
from rlcli.errors import EXIT_USER, UserError
from rlcli.nets.policy import Model, Snapshot
from rlcli.text import shortened

ASKED = 1.0
"""Seconds after which an actor that does nothing is asked whether it is there."""
LESS = "Ask for less with collect.actors, collect.cpus or collect.resources, or add nodes."
SMALLEST_STORE = 10**8
"""Bytes."""
LONGEST_REASON = 300
"""Characters of Ray's reason why an actor did not start."""
LONGEST_WAY = 60.0
"""Seconds that the arrays of an unroll may take from their node."""


class _Life:
    """An actor of Ray."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.process = 0
        """0 until it runs."""
        self.name = "that waits for room on the cluster"
        self.busy = False
        """Whether a call of it is not done."""
        self.answered = 0.0
        """When one was done last."""
        self.how = "was ended"


class _Answer(NamedTuple):
    """What became of a call: a future that is done; its slot and the object of its arrays, of an unroll."""

    place: int
    life: _Life
    future: Any
    slot: int | None = None
    arrays: Any = None


class RayTransport:
    """See `Transport`."""

    def __init__(
        self, config: RunConfig, spec: EnvSpec, model: Model, part: Mapping[str, Any], slots: int
    ) -> None:
        """Connects to a cluster, or starts one; actors get `part`, and each has so many slots.

        Raises:
            UserError: no cluster answers, or it lacks what actors ask for.
        """
        settings = config.collect
        blank = blank_policy(model, part["parameters"])
        fields = unroll_fields(config, spec, model, blank, slots)
        size = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in fields.values())
        self._text, self._part = to_yaml(config), dict(part)
        self._lives: dict[int, _Life] = {}
        self._waiting: dict[int, list[int]] = {place: [] for place in range(settings.actors)}
        """Slots that each actor may fill when it has done what it does."""
        self._kept: dict[tuple[int, int], Any] = {}
        """Objects of the arrays in each slot."""
        self._answers: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._published: tuple[int, Any] = (0, None)
        self._lock = threading.RLock()
        cores = math.ceil(settings.cpus * settings.actors)
        store = max(SMALLEST_STORE, 2 * settings.actors * size)
        self._own = connect(settings.address, "collect.address", cores=cores, store=store)
        self._asked = {"CPU": settings.cpus, **settings.resources}
        try:
            self._check_room(settings.actors)
        except BaseException:
            self.close()
            raise
        self._remote = ray.remote(RayActor).options(
            num_cpus=settings.cpus,
            resources=dict(settings.resources),
            scheduling_strategy="SPREAD",
            max_restarts=0,
            max_task_retries=0,
        )

    def _check_room(self, actors: int) -> None:
        """Raises `UserError` where the cluster has no room for the actors, even with nothing else on it."""
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        wanted = {name: each * actors for name, each in self._asked.items()}
        lacking = [f"{count:g} {name}" for name, count in wanted.items() if count > found.get(name, 0)]
        if lacking:
            there = ", ".join(f"{found.get(name, 0):g} {name}" for name in self._asked)
            raise UserError(
                f"collect.actors={actors} ask for {', '.join(lacking)}; the Ray cluster has {there}.",
                hint=LESS,
            )
        nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]  # type: ignore[no-untyped-call]
        room = sum(
            min(int(node.get(name, 0) / each) for name, each in self._asked.items() if each) for node in nodes
        )
        if room < actors:
            raise UserError(
                f"collect.actors={actors}: each is on one node, and the nodes of the Ray cluster have room "
                f"for {room} with collect.cpus={self._asked['CPU']:g}.",
                hint=LESS,
            )

    def publish(self, policy: Snapshot, version: int) -> None:
        """See `Transport`."""
        self._published = version, ray.put(policy_arrays(policy))

    def start(self, place: int, seed: int) -> None:
        """See `Transport`."""
        self._waiting[place].clear()
        with self._lock:
            self._lives[place] = _Life(self._remote.remote(self._text, {**self._part, "seed": seed}))
            self._ask(place)

    def give(self, place: int, slot: int) -> None:
        """See `Transport`."""
        with self._lock:
            self._waiting[place].append(slot)
            self._begin(place)

    def messages(self, seconds: float) -> list[Message]:
        """See `Transport`."""
        answers = []
        with contextlib.suppress(queue.Empty):
            answers.append(self._answers.get(timeout=seconds))
            while True:
                answers.append(self._answers.get_nowait())
        with self._lock:
            found = [one for answer in answers if answer is not None for one in self._message(answer)]
            for place, life in self._lives.items():
                if not life.busy and time.monotonic() > life.answered + ASKED:
                    self._ask(place)
        return found

    def wake(self) -> None:
        """See `Transport`."""
        self._answers.put(None)

    def end(self, place: int) -> str:
        """See `Transport`."""
        with self._lock:
            life = self._lives.pop(place)
        _kill(life)
        return life.how

    def name(self, place: int) -> str:
        """See `Transport`."""
        return self._lives[place].name

    def processes(self) -> list[int]:
        """See `Transport`."""
        return [life.process for _, life in sorted(self._lives.items()) if life.process]

    def arrays(self, place: int, packet: Packet) -> Mapping[str, Array]:
        """See `Transport`."""
        try:
            found = ray.get(self._kept.pop((place, packet["slot"])), timeout=LONGEST_WAY)
        except RayError as error:
            raise Gone from error
        return {name: array.copy() for name, array in found.items()}  # those of the store are read only

    def close(self) -> None:
        """See `Transport`."""
        for life in self._lives.values():
            _kill(life)
        self._lives.clear()
        self._kept.clear()
        self._published = 0, None
        if self._own:
            ray.shutdown()

    def _ask(self, place: int) -> None:
        """Asks an actor whether it is there."""
        life = self._lives[place]
        life.busy = True
        self._when_done(place, life, life.handle.here.remote())

    def _begin(self, place: int) -> None:
        """Has an actor that does nothing collect into its next slot."""
        life = self._lives[place]
        if life.busy or not self._waiting[place]:
            return
        life.busy = True
        slot = self._waiting[place].pop(0)
        call = life.handle.collect.options(num_returns=2)
        packet, arrays = call.remote(*self._published)
        self._when_done(place, life, packet, slot, arrays)

    def _when_done(
        self, place: int, life: _Life, call: Any, slot: int | None = None, arrays: Any = None
    ) -> None:
        call.future().add_done_callback(
            lambda future: self._answers.put(_Answer(place, life, future, slot, arrays))
        )

    def _message(self, answer: _Answer) -> Iterator[Message]:
        """What a call that is done says; nothing of an actor that was ended meanwhile."""
        place, life = answer.place, answer.life
        if self._lives.get(place) is not life:
            return
        life.busy, life.answered = False, time.monotonic()
        error = answer.future.exception()
        if error is not None:
            life.how = f"was lost by Ray ({type(error).__name__})"
            if not life.process:
                life.how += f" before it ran: {shortened(reason_of(error), LONGEST_REASON)}"
            yield place, None
            return
        packet: Packet = answer.future.result()
        if "failed" in packet:
            yield place, packet
            return
        if answer.slot is not None:
            self._kept[place, answer.slot] = answer.arrays
            yield place, packet | {"slot": answer.slot, "at": life.answered}
        elif not life.process:
            life.process, life.name = packet[HERE], f"process {packet[HERE]} on {packet['node']}"
            if packet["rlcli"] != __version__:
                text = f"{packet['node']} has rlcli {packet['rlcli']}, this machine {__version__}."
                yield place, {"failed": packed(ActorError(text, EXIT_USER)), "fatal": True}
                return
            yield place, packet
        self._begin(place)


def _kill(life: _Life) -> None:
    with contextlib.suppress(Exception):  # it may have ended, and so may Ray
        ray.kill(life.handle, no_restart=True)
