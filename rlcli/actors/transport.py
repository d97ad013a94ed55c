"""What actors that collect unrolls are to the learner, however policies and unrolls travel.

`actors/local.py::LocalTransport` is shared memory of this machine, `actors/ray_transport.py::RayTransport`
Ray's object store. Each actor has a place, 0 to `collect.actors` - 1, and slots, each for one unroll.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rlcli.actors.packets import Packet
from rlcli.envs.interface import Array
from rlcli.nets.policy import Snapshot

HERE = "here"
"""Packet of an actor that runs: it may be given slots."""
Message = tuple[int, Packet | None]
"""Place of an actor, and its packet; None: it is gone.

Packets are `HERE`, `failed` with an error as plain data, and unrolls: `slot`, `version` of the parameters,
`number` among the actor's unrolls, seconds that it `waited` and `collected`, and `at`, the time it was ready
by this process's clock.
"""


class Transport(Protocol):
    """Actors, one in each place.

    One thread calls `messages`, and the learner `publish` and `arrays`, while others may call anything else;
    all else is called by one at a time.
    """

    def publish(self, policy: Snapshot, version: int) -> None:
        """Makes a policy the one that the next unrolls are collected with; versions never decrease."""

    def start(self, place: int, seed: int) -> None:
        """Starts an actor, which has no slots yet."""

    def give(self, place: int, slot: int) -> None:
        """Has an actor collect into a slot, once it has filled those given before."""

    def messages(self, seconds: float) -> list[Message]:
        """What actors have sent, in order; waits so long for the first."""

    def wake(self) -> None:
        """Ends the wait of `messages`."""

    def end(self, place: int) -> str:
        """Kills an actor if it is still there; how it ended, in words."""

    def name(self, place: int) -> str:
        """An actor as a person finds it, such as 'process 12'."""

    def processes(self) -> list[int]:
        """Process ids of the actors that are there, in the order of their places."""

    def arrays(self, place: int, packet: Packet) -> Mapping[str, Array]:
        """The arrays of an unroll, copied.

        Raises:
            Gone: they are lost.
        """

    def close(self) -> None:
        """Ends all actors."""
