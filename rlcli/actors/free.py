"""Collector over actors that never wait for each other: unrolls come in the order in which they are ready.

An update takes the oldest that are ready. Their lag is the number of updates since the parameters that they
were collected with. What actors may do meanwhile, and what becomes of those that end, is `actors/pool.py`.

Shapes: N environments of one actor.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from rlcli.actors.local import LocalTransport
from rlcli.actors.pool import ActorPool, Taken
from rlcli.actors.transport import Transport
from rlcli.actors.unrolls import blank_policy, unroll_of
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.collect.state import RECENT, CollectorState
from rlcli.config.schema.run import RunConfig
from rlcli.envs.failures import Failures
from rlcli.envs.spec import EnvSpec
from rlcli.learner.state import map_leaves
from rlcli.nets.policy import Model, Snapshot


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
        each = config.env.num_envs // config.collect.unrolls
        own = dataclasses.replace(config, env=dataclasses.replace(config.env, num_envs=each))
        self.seeds = [config.seed]
        self.env = _Elsewhere(self.close)
        self.states = [_blank_state(spec, config, model, state)]
        resumed = each * config.collect.actors if state is not None else 0
        self.given_up = np.ones((1, resumed), np.bool_)
        self.acting = [policy]
        """The policies that collected the unrolls of the last rollout."""
        self.discounted = torch.zeros(1, config.env.num_envs, dtype=torch.float64)
        """[1, N] float64: discounted returns of that rollout's environments before its first step."""
        self._blank = blank_policy(model, policy.parameters.shape[1])
        slots = config.collect.queue + 1
        part = {
            "replay": [spec.fresh_each_episode, spec.exact_resume, spec.inexact_reason],
            "in_c": in_c,
            "parameters": policy.parameters.shape[1],
        }
        self._on_steps: Callable[[int], None] = lambda _: None
        self._returned = time.monotonic()
        transport = _transport(config.collect.mode)(own, spec, model, part, slots)
        self.pool = ActorPool(config, transport, slots, policy, update)

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
        self.pool.publish(policy, updates[0])
        taken = [self.pool.take() for _ in range(self._config.collect.unrolls)]
        unrolls = [unroll_of(one.arrays, self._blank) for one in taken]
        episodes = Episodes(
            [found for one in unrolls for found in one.episodes.returns],
            [found for one in unrolls for found in one.episodes.lengths],
        )
        self._remember(episodes)
        device = self._config.device
        self.acting = [map_leaves(lambda leaf: leaf.to(device), one.policy) for one in unrolls]
        self.discounted = torch.cat([one.discounted for one in unrolls], 1).to(device)
        rollout = Rollout.joined([one.rollout for one in unrolls]).to(device)
        self._on_steps(self._config.batch_size)
        return rollout, [episodes], self._figures(taken, begun)

    def _figures(self, taken: Sequence[Taken], begun: float) -> dict[str, float]:
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
            "actors/restarts": float(self.pool.take_restarts()),
        }
        self._returned = now
        return figures

    def close(self) -> None:
        """Ends the actors."""
        self.pool.close()

    def _remember(self, episodes: Episodes) -> None:
        recent = np.concatenate((self.states[0].recent, episodes.returns))[-RECENT:]
        self.states = [self.states[0]._replace(recent=recent)]


class _Elsewhere:
    """In the place of the environments, which are the actors' own."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.failures: Failures = {}
        self.close = close


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
