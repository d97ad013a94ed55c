"""Actors of this machine that collect unrolls: processes of a fork server, and memory shared with them."""

from __future__ import annotations

import contextlib
import selectors
import threading
from collections.abc import Mapping
from typing import Any

from rlcli.actors.memory import Shared
from rlcli.actors.packets import Gone, Packet, pair, receive, send
from rlcli.actors.processes import Actor, ForkServer
from rlcli.actors.transport import HERE, Message
from rlcli.actors.unrolls import blank_policy, policy_fields, publish, read, unroll_fields
from rlcli.config.schema.run import RunConfig
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec
from rlcli.nets.policy import Model, Snapshot

AHEAD = 2
"""Slots that an actor is asked to fill; others wait here, as a socket takes only so many packets unread."""


class LocalTransport:
    """See `Transport`."""

    def __init__(
        self, config: RunConfig, spec: EnvSpec, model: Model, part: Mapping[str, Any], slots: int
    ) -> None:
        """Starts the fork server; actors get `part`, and each has so many slots.

        Raises:
            ActorError: it cannot be started.
        """
        blank = blank_policy(model, part["parameters"])
        self._part = {**part, "slots": slots}
        self._policies = Shared(policy_fields(blank))
        self._fields = unroll_fields(config, spec, model, blank, slots)
        self._slots: dict[int, Shared] = {}
        self._actors: dict[int, Actor] = {}
        self._waiting: dict[int, list[int]] = {}
        """Slots that each actor may fill and has not been asked to fill."""
        self._asked: dict[int, int] = {}
        """How many slots each has been asked to fill and has not filled."""
        self._lock = threading.Lock()
        """Held by whoever reads or changes these two."""
        self._begun: list[Message] = []
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringing = pair()
        self._ringing.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        try:
            self._server = ForkServer(config)
        except BaseException:
            self._release()
            raise

    def publish(self, policy: Snapshot, version: int) -> None:
        """See `Transport`."""
        publish(self._policies, policy, version)

    def start(self, place: int, seed: int) -> None:
        """See `Transport`."""
        if place not in self._slots:
            self._slots[place] = Shared(self._fields)
        descriptors = [self._policies.descriptor, self._slots[place].descriptor]
        actor = self._server.start("unrolls", {**self._part, "seed": seed}, descriptors)
        self._actors[place] = actor
        with self._lock:
            self._waiting[place], self._asked[place] = [], 0
        self._selector.register(actor.end, selectors.EVENT_READ, place)
        self._begun.append((place, {HERE: actor.process}))
        self.wake()

    def give(self, place: int, slot: int) -> None:
        """See `Transport`."""
        with self._lock:
            self._waiting[place].append(slot)
            self._ask(place)

    def _ask(self, place: int) -> None:
        """Asks an actor to fill slots, so many that it need not wait for the next."""
        waiting = self._waiting[place]
        with contextlib.suppress(Gone):  # `messages` notices
            while waiting and self._asked[place] < AHEAD:
                send(self._actors[place].end, {"slot": waiting.pop(0)})
                self._asked[place] += 1

    def messages(self, seconds: float) -> list[Message]:
        """See `Transport`."""
        ready = self._selector.select(seconds)
        begun, self._begun = self._begun, []
        sent: list[Message] = []
        for key, _ in ready:
            if key.fileobj is self._bell:
                receive(self._bell)
                continue
            try:
                packet = receive(self._actors[key.data].end)[0]
                sent.append((key.data, packet))
                if "slot" in packet:
                    with self._lock:
                        self._asked[key.data] -= 1
                        self._ask(key.data)
            except Gone:
                sent.append((key.data, None))
        return [*begun, *sorted(sent, key=lambda one: one[1].get("at", 0.0) if one[1] else 0.0)]

    def wake(self) -> None:
        """See `Transport`."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            send(self._ringing, {})

    def end(self, place: int) -> str:
        """See `Transport`."""
        actor = self._actors.pop(place)
        self._selector.unregister(actor.end)
        return self._server.end(actor)

    def name(self, place: int) -> str:
        """See `Transport`."""
        return f"process {self._actors[place].process}"

    def processes(self) -> list[int]:
        """See `Transport`."""
        return [self._actors[place].process for place in sorted(self._actors)]

    def arrays(self, place: int, packet: Packet) -> Mapping[str, Array]:
        """See `Transport`."""
        return read(self._slots[place], packet["slot"], packet)

    def close(self) -> None:
        """See `Transport`."""
        self._server.close()
        for actor in self._actors.values():
            actor.end.close()
        self._actors.clear()
        self._release()

    def _release(self) -> None:
        """Gives memory and descriptors back."""
        for slots in (*self._slots.values(), self._policies):
            slots.close()
        self._slots.clear()
        self._selector.close()
        self._bell.close()
        self._ringing.close()
