"""Collector over actors that never wait for each other: unrolls come in the order in which they are ready.

Each actor may have `collect.queue` unrolls waiting here before it waits itself. An update takes one unroll:
the oldest that is ready. Its lag is the number of updates since the parameters that it was collected with.

Shapes: N environments of one actor.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from rlcli.actors.memory import Shared
from rlcli.actors.packets import ActorError, Gone, Packet, receive, send, unpacked
from rlcli.actors.processes import Actor, ForkServer
from rlcli.actors.unrolls import blank_policy, policy_fields, publish, read, unroll_fields
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.collect.state import RECENT, CollectorState
from rlcli.config.schema.run import RunConfig
from rlcli.envs.failures import Failures
from rlcli.envs.spec import EnvSpec
from rlcli.learner.state import map_leaves
from rlcli.maths.draws import environment_seed
from rlcli.nets.policy import Model, Snapshot
from rlcli.streams import say


class _Source:
    """One actor with its slots."""

    def __init__(self, number: int, slots: Shared) -> None:
        self.number = number
        self.slots = slots
        self.actor: Actor
        self.lives = 0
        """Actors that have had this place."""
        self.since = 0.0
        """When it began what it does now."""
        self.free = 0
        """Slots that it may fill."""
        self.delivered = False
        """Whether this actor has delivered an unroll."""


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
        self._spec, self._config, self._update = spec, config, update
        self.seeds = [config.seed]
        self.env = _Elsewhere(self.close)
        self.states = [_blank_state(spec, config, model, state)]
        resumed = config.env.num_envs * config.collect.actors if state is not None else 0
        self.given_up = np.ones((1, resumed), np.bool_)
        self.acting = policy
        """The policy that collected the last unroll."""
        self._blank = blank_policy(model, policy.parameters.shape[1])
        self._depth = config.collect.queue + 1
        self._policies = Shared(policy_fields(self._blank))
        self._ready: deque[tuple[_Source, Packet]] = deque()
        self._restarts, self._failures = 0, 0
        self._on_steps: Callable[[int], None] = lambda _: None
        self._returned = time.monotonic()
        self._part = {
            "replay": [spec.fresh_each_episode, spec.exact_resume, spec.inexact_reason],
            "in_c": in_c,
            "parameters": policy.parameters.shape[1],
            "slots": self._depth,
        }
        publish(self._policies, policy, update)
        self._server = ForkServer(config)
        fields = unroll_fields(config, spec, model, self._blank, self._depth)
        self._sources = [_Source(number, Shared(fields)) for number in range(config.collect.actors)]
        try:
            for source in self._sources:
                self._start(source)
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> list[int]:
        """Process ids of the actors."""
        return [source.actor.process for source in self._sources]

    def listen(self, on_steps: Callable[[int], None]) -> None:
        """Sets the function that is called with the env steps of the rollout so far."""
        self._on_steps = on_steps

    def select(self, rows: Sequence[int]) -> None:
        """One run alone is here: nothing is left to choose from."""

    def collect(
        self, policy: Snapshot, updates: Sequence[int]
    ) -> tuple[Rollout, list[Episodes], dict[str, float]]:
        """Publishes the policy, and takes the next unroll; with figures about it.

        Raises:
            ActorError: an environment raised, or an actor cannot be replaced.
        """
        begun = time.monotonic()
        self._update = updates[0]
        publish(self._policies, policy, self._update)
        dropped = 0
        while True:
            source, packet = self._next()
            lag = self._update - packet["version"]
            limit = self._config.collect.max_lag
            if limit is None or lag <= limit:
                break
            dropped += 1
            self._give(source, packet["slot"])
        waiting = len(self._ready)
        rollout, episodes, self.acting = read(source.slots, packet["slot"], packet, self._blank)
        self._give(source, packet["slot"])
        self._remember(episodes)
        now = time.monotonic()
        spent, waited = packet["collected"] + packet["waited"], now - begun
        figures = {
            "actors/lag": float(lag),
            "actors/queue": float(waiting),
            "actors/busy": packet["collected"] / max(spent, 1e-9),
            "actors/learner_busy": 1.0 - waited / max(now - self._returned, waited, 1e-9),
            "actors/dropped": float(dropped),
            "actors/restarts": float(self._restarts),
        }
        self._returned, self._restarts = now, 0
        self._on_steps(self._config.batch_size)
        device = self._config.device
        self.acting = map_leaves(lambda leaf: leaf.to(device), self.acting)
        return rollout.to(device), [episodes], figures

    def close(self) -> None:
        """Ends the actors."""
        self._server.close()
        for source in self._sources:
            if source.lives:
                source.actor.end.close()
            source.slots.close()
        self._policies.close()

    def _next(self) -> tuple[_Source, Packet]:
        """The oldest unroll that is ready; waits for one."""
        self._listen(0.0)
        while not self._ready:
            self._listen(self._patience())
        oldest = min(self._ready, key=lambda one: float(one[1]["at"]))
        self._ready.remove(oldest)
        return oldest

    def _patience(self) -> float | None:
        """Seconds until an actor has taken too long; None: it may take any time."""
        timeout = self._config.collect.timeout
        if timeout is None:
            return None
        busy = [source.since for source in self._sources if source.free]
        return max(0.0, min(busy, default=time.monotonic()) + timeout - time.monotonic())

    def _listen(self, seconds: float | None) -> None:
        """Takes what actors have sent, waiting so long for the first; replaces those that ended or hang."""
        by_end = {source.actor.end: source for source in self._sources}
        found, _, _ = select.select(list(by_end), [], [], seconds)
        for end in found:
            self._take(by_end[end])
        if not found and seconds and self._config.collect.timeout is not None:
            late = time.monotonic() - self._config.collect.timeout
            for source in self._sources:
                if source.free and source.since <= late:
                    self._replace(source, f"did not answer within {self._config.collect.timeout:g} s")

    def _take(self, source: _Source) -> None:
        try:
            packet = receive(source.actor.end)[0]
        except Gone:
            self._replace(source, None)
            return
        if "failed" in packet:
            error = unpacked(packet["failed"])
            self._failures += 1
            if self._failures > self._config.collect.restarts:
                raise error
            self._replace(source, f"failed: {error}")
            return
        source.free -= 1
        source.since, source.delivered = time.monotonic(), True
        self._ready.append((source, packet))

    def _replace(self, source: _Source, why: str | None) -> None:
        """Another actor takes the place of one that ended or hangs; its unroll is dropped.

        Raises:
            ActorError: it had not delivered a single unroll.
        """
        process = source.actor.process
        how = self._server.end(source.actor)
        what = f"Actor {source.number + 1} (process {process}) {why or how}"
        if not source.delivered and source.lives > 1:
            raise ActorError(f"{what}, as did the one before it.")
        self._ready = deque(one for one in self._ready if one[0] is not source)
        self._restarts += 1
        say(f"Warning: {what}; another took its place, and its unfinished unroll is dropped.")
        self._start(source)

    def _start(self, source: _Source) -> None:
        seed = environment_seed(self._config.seed, "actor", source.number, self._update, source.lives)
        descriptors = [self._policies.descriptor, source.slots.descriptor]
        source.actor = self._server.start("unrolls", {**self._part, "seed": seed}, descriptors)
        source.lives += 1
        source.free, source.delivered, source.since = 0, False, time.monotonic()
        for slot in range(self._depth):
            self._give(source, slot)

    def _give(self, source: _Source, slot: int) -> None:
        """Lets an actor fill a slot."""
        source.since = source.since if source.free else time.monotonic()
        source.free += 1
        try:
            send(source.actor.end, {"slot": slot})
        except Gone:  # noticed where its unroll is due
            return

    def _remember(self, episodes: Episodes) -> None:
        recent = np.concatenate((self.states[0].recent, episodes.returns))[-RECENT:]
        self.states = [self.states[0]._replace(recent=recent)]


class _Elsewhere:
    """In the place of the environments, which are the actors' own."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.failures: Failures = {}
        self.close = close


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
