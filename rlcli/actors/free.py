"""Collector over actors that never wait for each other: unrolls come in the order in which they are ready.

Each actor may have `collect.queue` unrolls waiting here before it waits itself. An update takes the oldest
that is ready. Its lag is the number of updates since the parameters that it was collected with. A thread
takes what actors send and replaces those that end, so that no actor waits for a learner that is busy.

With `collect.too_old=wait` no unroll's lag exceeds L = `collect.max_lag`. An unroll that begins with the
parameters of update v is due at update v + L. So an actor may begin one where all that are under way, and
this one, can still be taken in time, and the learner takes the oldest that is ready without which the others
still can be. The one that is due first can always be taken, and where none is under way one may always
begin: the learner never waits for an unroll that nobody may begin.

Shapes: N environments of one actor.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlcli.actors.local import LocalTransport
from rlcli.actors.packets import ActorError, Gone, Packet, unpacked
from rlcli.actors.transport import HERE, Transport
from rlcli.actors.unrolls import blank_policy, unroll_of
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.collect.state import RECENT, CollectorState
from rlcli.config.schema.run import RunConfig
from rlcli.envs.failures import Failures
from rlcli.envs.interface import Array
from rlcli.envs.spec import EnvSpec
from rlcli.learner.state import map_leaves
from rlcli.maths.draws import environment_seed
from rlcli.nets.policy import Model, Snapshot
from rlcli.streams import say

GLANCE = 0.5
"""Seconds after which actors are looked at that have sent nothing."""
IN_VAIN = 2
"""Actors of one place in a row that may end without an unroll: one that is killed, one whose node is lost."""
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


class _Taken(NamedTuple):
    """An unroll that the learner has taken."""

    packet: Packet
    arrays: Mapping[str, Array]
    lag: int
    waiting: int
    """Unrolls that are ready."""
    dropped: int
    """Unrolls that were dropped before it."""


class FreeCollector:
    """Unrolls of one run from actors; stands for `Collector` where order is free."""

    def __init__(
        self,
        model: Model,
        spec: EnvSpec,
        config: RunConfig,
        policy: Snapshot,
        update: int,
        state: CollectorState | None,
        *,
        in_c: bool,
    ) -> None:
        """Starts the actors with `policy`, after `update` updates; `state` is that of a checkpoint.

        Raises:
            ActorError: they cannot be started.
        """
        self._config = config
        self._unrolls = config.collect.unrolls
        each = config.env.num_envs // self._unrolls
        own = dataclasses.replace(config, env=dataclasses.replace(config.env, num_envs=each))
        self.seeds = [config.seed]
        self.env = _Elsewhere(self.close)
        self.states = [_blank_state(spec, config, model, state)]
        resumed = each * config.collect.actors if state is not None else 0
        self.given_up = np.ones((1, resumed), np.bool_)
        self.acting = [policy]
        """The policies that collected the unrolls of the last rollout."""
        self._blank = blank_policy(model, policy.parameters.shape[1])
        slots = config.collect.queue + 1
        part = {
            "replay": [spec.fresh_each_episode, spec.exact_resume, spec.inexact_reason],
            "in_c": in_c,
            "parameters": policy.parameters.shape[1],
        }
        self._limit = config.collect.max_lag
        self._waits = config.collect.too_old == "wait"
        self._published = update
        """The version that unrolls begin with: the updates that are done."""
        self._taken = 0
        """Unrolls of the update in progress that the learner has, or is taking."""
        self._ready: list[tuple[_Source, Packet]] = []
        self._delivered = False
        """Whether any actor has delivered an unroll."""
        self._restarts, self._failures = 0, 0
        self._warnings: list[str] = []
        self._error: BaseException | None = None
        self._closing = False
        self._on_steps: Callable[[int], None] = lambda _: None
        self._returned = time.monotonic()
        self._sources = [_Source(place, slots) for place in range(config.collect.actors)]
        for source in self._sources:
            source.since = self._returned
        self._changed = threading.Condition()
        """Held by whoever reads or changes anything of this object."""
        self._watcher = threading.Thread(target=self._watch, name="rlcli actors", daemon=True)
        self._transport = _transport(config.collect.mode)(own, spec, model, part, slots)
        try:
            self._transport.publish(policy, update)
            for source in self._sources:
                self._start(source)
            self._watcher.start()
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> list[int]:
        """Process ids of the actors."""
        with self._changed:
            return self._transport.processes()

    def listen(self, on_steps: Callable[[int], None]) -> None:
        """Sets the function that is called with the env steps of the rollout so far."""
        self._on_steps = on_steps

    def select(self, rows: Sequence[int]) -> None:
        """One run alone is here: nothing is left to choose from."""

    def collect(
        self, policy: Snapshot, updates: Sequence[int]
    ) -> tuple[Rollout, list[Episodes], dict[str, float]]:
        """Publishes the policy, and takes the next unrolls as one rollout; with figures about them.

        Raises:
            ActorError: an environment raised, or an actor cannot be replaced.
        """
        begun = time.monotonic()
        self.publish(policy, updates[0])
        taken = [self._take() for _ in range(self._unrolls)]
        unrolls = [unroll_of(one.arrays, self._blank) for one in taken]
        episodes = Episodes(
            [found for _, one, _ in unrolls for found in one.returns],
            [found for _, one, _ in unrolls for found in one.lengths],
        )
        self._remember(episodes)
        device = self._config.device
        self.acting = [map_leaves(lambda leaf: leaf.to(device), acted) for _, _, acted in unrolls]
        rollout = Rollout.joined([one for one, _, _ in unrolls]).to(device)
        self._on_steps(self._config.batch_size)
        return rollout, [episodes], self._figures(taken, begun)

    def _figures(self, taken: Sequence[_Taken], begun: float) -> dict[str, float]:
        """What is known of an update's unrolls, which it has waited for since `begun`."""
        now = time.monotonic()
        lags = [one.lag for one in taken]
        collected = sum(one.packet["collected"] for one in taken)
        spent = collected + sum(one.packet["waited"] for one in taken)
        figures = {
            "actors/lag": sum(lags) / len(lags),
            "actors/lag_min": float(min(lags)),
            "actors/lag_max": float(max(lags)),
            "actors/queue": float(taken[-1].waiting),
            "actors/busy": collected / max(spent, 1e-9),
            "actors/learner_busy": 1.0 - (now - begun) / max(now - self._returned, now - begun, 1e-9),
            "actors/dropped": float(sum(one.dropped for one in taken)),
            "actors/restarts": float(self._take_restarts()),
        }
        self._returned = now
        return figures

    def publish(self, policy: Snapshot, update: int) -> None:
        """Makes a policy the one of the unrolls that begin from now on, after `update` updates."""
        self._transport.publish(policy, update)
        with self._changed:
            self._published, self._taken = update, 0
            self._give_slots()

    def close(self) -> None:
        """Ends the actors."""
        if self._closing:
            return
        self._closing = True
        if self._watcher.is_alive():
            self._transport.wake()
            self._watcher.join()
        self._transport.close()

    # What the learner does.

    def _take(self) -> _Taken:
        """The next unroll; waits for it."""
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
                return _Taken(packet, arrays, lag, waiting, dropped)
            dropped += 1

    def _take_restarts(self) -> int:
        with self._changed:
            restarts, self._restarts = self._restarts, 0
            return restarts

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

    def _remember(self, episodes: Episodes) -> None:
        recent = np.concatenate((self.states[0].recent, episodes.returns))[-RECENT:]
        self.states = [self.states[0]._replace(recent=recent)]

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
                messages = self._transport.messages(GLANCE)
                with self._changed:
                    for place, packet in messages:
                        self._receive(self._sources[place], packet)
                    self._end_those_that_hang()
                    self._start_again()
                    self._give_slots()
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _receive(self, source: _Source, packet: Packet | None) -> None:
        if packet is None:
            self._replace(source, None)
        elif HERE in packet:
            source.here, source.since = True, time.monotonic()
        elif "failed" in packet:
            error = unpacked(packet["failed"])
            self._failures += 1
            if self._failures > self._config.collect.restarts:
                raise error
            self._replace(source, f"failed: {error}")
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

    def _replace(self, source: _Source, why: str | None) -> None:
        """Another actor takes the place of one that ended or hangs; its unfinished unroll is dropped.

        Raises:
            ActorError: several in its place have not delivered a single unroll.
        """
        name = self._transport.name(source.place)
        how = self._transport.end(source.place)
        what = f"Actor {source.place + 1} ({name}) {why or how}"
        if not source.here and self._delivered:
            # A cluster may place it on a node that it does not know to be lost.
            source.again = time.monotonic() + AGAIN
            return
        source.in_vain = 0 if source.delivered else source.in_vain + 1
        if source.in_vain > IN_VAIN:
            raise ActorError(f"{what}, as did the {IN_VAIN} before it without a rollout.")
        self._restarts += 1
        self._warnings.append(
            f"Warning: {what}; another took its place, and its unfinished unroll is dropped."
        )
        source.here, source.since = False, time.monotonic()
        self._start(source)

    def _start_again(self) -> None:
        for source in self._sources:
            if source.again is not None and source.again <= time.monotonic():
                self._start(source)

    def _start(self, source: _Source) -> None:
        seed = environment_seed(self._config.seed, "actor", source.place, self._published, source.lives)
        source.again, source.delivered = None, False
        source.lives += 1
        source.spare += source.given
        source.given.clear()
        self._transport.start(source.place, seed)


class _Elsewhere:
    """In the place of the environments, which are the actors' own."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.failures: Failures = {}
        self.close = close


def in_time(versions: Iterable[int], update: int, taken: int, limit: int, unrolls: int = 1) -> bool:
    """Whether unrolls of these versions can all be taken with a lag of `limit` updates at most.

    `update` updates are done, and the next has `taken` of its unrolls; each update takes `unrolls`.
    """
    due = enumerate(sorted(versions), start=taken)
    return all(update + place // unrolls <= version + limit for place, version in due)


def _transport(mode: str) -> Callable[..., Transport]:
    if mode == "process":
        return LocalTransport
    from rlcli.actors.ray_transport import RayTransport  # an extra

    return RayTransport


def _blank_state(
    spec: EnvSpec, config: RunConfig, model: Model, state: CollectorState | None
) -> CollectorState:
    """A state without episodes: those of actors are not kept. Recent returns are."""
    count, action, observed = config.env.num_envs, spec.action, spec.observation
    return CollectorState(
        episodes=np.zeros(count, np.int64),
        lengths=np.zeros(count, np.int64),
        returns=np.zeros(count),
        recent=np.zeros(0) if state is None else state.recent,
        history=np.zeros((0, count, *action.shape), action.raw_dtype),
        observations=np.zeros((count, *observed.shape), observed.dtype),
        memory=np.zeros((count, model.network.memory_width), np.float32),
    )
