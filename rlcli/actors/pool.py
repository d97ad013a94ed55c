"""Actors of a run that never wait for each other, and the unrolls that they have ready.

Each actor may have `collect.queue` unrolls waiting here before it waits itself. The learner takes the oldest
that is ready. A thread takes what actors send and replaces those that end, so that no actor waits for a
learner that is busy.

With `collect.too_old=wait` no unroll's lag exceeds L = `collect.max_lag`. An unroll that begins with the
parameters of update v is due at update v + L. So an actor may begin one where all that are under way, and
this one, can still be taken in time, and the learner takes the oldest that is ready without which the others
still can be. The one that is due first can always be taken, and where none is under way one may always
begin: the learner never waits for an unroll that nobody may begin.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rlcli.actors.packets import ActorError, Gone, Packet, unpacked
from rlcli.actors.transport import HERE, Transport
from rlcli.config.schema.run import RunConfig
from rlcli.envs.interface import Array
from rlcli.maths.draws import environment_seed
from rlcli.nets.policy import Snapshot
from rlcli.streams import say
from rlcli.text import message_of

GLANCE = 0.5
"""Seconds after which actors are looked at that have sent nothing."""
IN_VAIN = 2
"""Actors of one place in a row that may end without an unroll: one that is killed, one whose node is lost."""
PAUSE = 1.0
"""Seconds more than GLANCE without a message: this process was stopped, as by Ctrl-Z, and nobody is late."""
MISSED = 30.0
"""Seconds without an actor in a place before a warning says so."""
AGAIN = 1.0
"""Seconds before another actor is started in the place of one that did not come to run."""


class _Source:
    """One actor with its slots."""

    def __init__(self, place: int, slots: int) -> None:
        self.place = place
        self.lives = 0
        """Actors that have had this place."""
        self.here = False
        """Whether this actor runs: on a cluster it may wait for room."""
        self.since = 0.0
        """When it began what it does now; of a place where none runs, when the last one was lost."""
        self.warned = False
        """Whether a warning said that no actor has come to run here."""
        self.again: float | None = None
        """When another is to be started, where none is."""
        self.given: dict[int, int] = {}
        """Slots that it may fill, and the version that is the oldest it may use for each."""
        self.spare = list(range(slots))
        """Slots that nobody uses."""
        self.delivered = False
        """Whether this actor has delivered an unroll."""
        self.in_vain = 0
        """Actors in a row that ended here without one."""


class Taken(NamedTuple):
    """An unroll that the learner takes."""

    packet: Packet
    arrays: Mapping[str, Array]
    lag: int
    waiting: int
    """Unrolls that are ready."""
    dropped: int
    """Unrolls that were dropped before it."""


class ActorPool:
    """Actors with what they have collected; everything but `close` may be called while they work."""

    def __init__(
        self, config: RunConfig, transport: Transport, slots: int, policy: Snapshot, update: int
    ) -> None:
        """Starts the actors with `policy`, after `update` updates; each gets so many slots.

        Raises:
            ActorError: they cannot be started.
        """
        self._config, self._transport = config, transport
        self._unrolls = config.collect.unrolls
        self._limit = config.collect.max_lag
        self._waits = config.collect.too_old == "wait"
        self._published = 0
        """The version that unrolls begin with: the updates that are done."""
        self._taken = 0
        """Unrolls of the update in progress that the learner has, or is taking."""
        self._ready: list[tuple[_Source, Packet]] = []
        self._delivered = False
        """Whether any actor has delivered an unroll."""
        self._restarts, self._failures = 0, 0
        self._warnings: list[str] = []
        self._error: BaseException | None = None
        self._closing, self._closed = False, False
        self._sources = [_Source(place, slots) for place in range(config.collect.actors)]
        for source in self._sources:
            source.since = time.monotonic()
        self._changed = threading.Condition()
        """Held by whoever reads or changes anything of this object."""
        self._watcher = threading.Thread(target=self._watch, name="rlcli actors", daemon=True)
        try:
            self.publish(policy, update)
            for source in self._sources:
                self._start(source)
            self._watcher.start()
        except OSError as error:
            self.close()
            raise as_actor_error(error) from error
        except BaseException:
            self.close()
            raise

    @property
    def processes(self) -> list[int]:
        """Process ids of the actors."""
        with self._changed:
            return self._transport.processes()

    def publish(self, policy: Snapshot, update: int) -> None:
        """Makes a policy the one of the unrolls that begin from now on, after `update` updates."""
        self._transport.publish(policy, update)
        with self._changed:
            self._published, self._taken = update, 0
            self._give_slots()

    def take(self) -> Taken:
        """The next unroll; waits for it.

        Raises:
            ActorError: an environment raised, or an actor cannot be replaced.
        """
        dropped = 0
        while True:
            with self._changed:
                source, packet = self._chosen()
                lag, waiting = self._published - packet["version"], len(self._ready)
                late = not self._waits and self._limit is not None and lag > self._limit
                self._taken += not late
            # Its slot is nobody else's until it is given back.
            arrays = None if late else self._arrays(source, packet)
            with self._changed:
                source.spare.append(packet["slot"])
                self._taken -= arrays is None and not late
                self._give_slots()
            if arrays is not None:
                return Taken(packet, arrays, lag, waiting, dropped)
            dropped += 1

    def take_restarts(self) -> int:
        """Actors that were replaced since the last call."""
        with self._changed:
            restarts, self._restarts = self._restarts, 0
            return restarts

    def close(self) -> None:
        """Ends the actors."""
        if self._closed:
            return
        self._closing = True
        try:
            if self._watcher.is_alive():
                self._transport.wake()
                self._watcher.join()
        finally:
            self._closed = True
            self._transport.close()

    def _chosen(self) -> tuple[_Source, Packet]:
        """The oldest unroll that may be taken, which is ready no more; waits for it."""
        while True:
            for text in self._warnings:
                say(text)
            self._warnings.clear()
            if self._error is not None:
                raise self._error
            for one in self._ready:
                if not self._waits or self._in_time(one, taken=self._taken + 1):
                    self._ready.remove(one)
                    return one
            self._changed.wait()

    def _arrays(self, source: _Source, packet: Packet) -> Mapping[str, Array] | None:
        """The arrays of an unroll; None: they were lost with the machine that they were on."""
        try:
            return self._transport.arrays(source.place, packet)
        except Gone:
            return None

    # What either does, where it holds `_changed`.

    def _give_slots(self) -> None:
        """Lets actors begin as many unrolls as they may."""
        for source in sorted(self._sources, key=lambda one: one.since):
            while source.here and source.spare and (not self._waits or self._may_begin(source)):
                source.since = source.since if source.given else time.monotonic()
                slot = source.spare.pop(0)
                source.given[slot] = self._published
                self._transport.give(source.place, slot)

    def _may_begin(self, source: _Source) -> bool:
        """Whether an actor that does nothing may begin an unroll that is taken in time, as are all others."""
        return not source.given and self._in_time(None, self._published, taken=self._taken)

    def _in_time(self, left_out: tuple[_Source, Packet] | None, *more: int, taken: int) -> bool:
        """Whether unrolls under way can be taken in time: without one of them, and with `more` versions."""
        assert self._limit is not None
        versions = [version for source in self._sources for version in source.given.values()]
        versions += [one[1]["version"] for one in self._ready if one is not left_out]
        return in_time([*versions, *more], self._published, taken, self._limit, self._unrolls)

    # What the thread does.

    def _watch(self) -> None:
        """Takes what actors send and replaces those that end, until the end."""
        try:
            while not self._closing:
                begun = time.monotonic()
                messages = self._transport.messages(GLANCE)
                stopped = time.monotonic() - begun - GLANCE
                with self._changed:
                    if stopped > PAUSE:
                        for source in self._sources:
                            source.since += stopped
                    for place, packet in messages:
                        self._receive(self._sources[place], packet)
                    self._end_those_that_hang()
                    self._start_again()
                    self._warn_of_those_that_wait()
                    self._give_slots()
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = as_actor_error(error)
                self._changed.notify_all()

    def _receive(self, source: _Source, packet: Packet | None) -> None:
        if packet is None:
            self._replace(source, None)
        elif HERE in packet:
            source.here, source.since, source.warned = True, time.monotonic(), False
        elif "failed" in packet:
            error = unpacked(packet["failed"])
            self._failures += 1
            if self._failures > self._config.collect.restarts or packet.get("fatal"):
                raise error
            self._replace(source, f"failed: {error}", allowed=True)
        else:
            del source.given[packet["slot"]]
            source.since, source.delivered, self._delivered = time.monotonic(), True, True
            self._ready.append((source, packet))

    def _end_those_that_hang(self) -> None:
        timeout = self._config.collect.timeout
        if timeout is None:
            return
        late = time.monotonic() - timeout
        if all(not source.here and source.since <= late for source in self._sources):
            raise ActorError(f"No actor could be started within collect.timeout={timeout:g} s.")
        for source in self._sources:
            if source.given and source.since <= late:
                self._replace(source, f"did not answer within {timeout:g} s")

    def _replace(self, source: _Source, why: str | None, *, allowed: bool = False) -> None:
        """Another actor takes the place of one that ended or hangs; its unfinished unroll is dropped.

        `allowed` are those whose environment raised, of which collect.restarts is the number.

        Raises:
            ActorError: several in its place have not delivered a single unroll.
        """
        name = self._transport.name(source.place)
        how = self._transport.end(source.place)
        what = f"Actor {source.place + 1} ({name}) {(why or how).removesuffix('.')}"
        if not source.here and self._delivered:
            # A cluster may place it on a node that it does not know to be lost.
            source.again = time.monotonic() + AGAIN
            return
        source.in_vain = 0 if source.delivered else source.in_vain + (not allowed)
        if source.in_vain > IN_VAIN:
            raise ActorError(f"{what}, as did the {IN_VAIN} before it without a rollout.")
        source.here, source.since = False, time.monotonic()
        self._start(source)
        self._restarts += 1
        self._warnings.append(
            f"Warning: {what}; another took its place, and its unfinished unroll is dropped."
        )

    def _start_again(self) -> None:
        for source in self._sources:
            if source.again is not None and source.again <= time.monotonic():
                self._start(source)

    def _warn_of_those_that_wait(self) -> None:
        """Warns once of each place where no actor has come to run for a while."""
        long_ago = time.monotonic() - MISSED
        for source in self._sources:
            if not source.here and not source.warned and source.since <= long_ago:
                source.warned = True
                self._warnings.append(
                    f"Warning: actor {source.place + 1} has not come to run for {MISSED:g} s."
                )

    def _start(self, source: _Source) -> None:
        seed = environment_seed(self._config.seed, "actor", source.place, self._published, source.lives)
        source.again, source.delivered = None, False
        source.lives += 1
        source.spare += source.given
        source.given.clear()
        self._transport.start(source.place, seed)


def as_actor_error(error: BaseException) -> ActorError:
    """An error of actors, which ends the run and keeps its state, whatever it was."""
    if isinstance(error, ActorError):
        return error
    found = ActorError(f"Actors cannot go on: {message_of(error)}")
    found.__cause__ = error
    return found


def in_time(versions: Iterable[int], update: int, taken: int, limit: int, unrolls: int = 1) -> bool:
    """Whether unrolls of these versions can all be taken with a lag of `limit` updates at most.

    `update` updates are done, and the next has `taken` of its unrolls; each update takes `unrolls`.
    """
    due = enumerate(sorted(versions), start=taken)
    return all(update + place // unrolls <= version + limit for place, version in due)
