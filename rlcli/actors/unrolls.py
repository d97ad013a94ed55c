"""An actor that collects unrolls by itself, with the parameters it received last, while others learn.

An unroll is a rollout of T steps of N environments under one policy: parameters are read before it, and not
within it. What acted is kept beside it, so that the learner corrects for exactly that policy.

Shapes: T time, N environments of this actor, D policy outputs, M numbers of recurrent state, S slots.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.actors.memory import Fields, Shared
from rlcli.actors.packets import Packet, receive, send
from rlcli.collect.collector import Collector
from rlcli.collect.kernel import KernelCollector
from rlcli.collect.rollout import Episodes, Finals, Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.interface import Array
from rlcli.envs.replay_probe import Replay
from rlcli.envs.spec import EnvSpec
from rlcli.learner.model import make_model
from rlcli.learner.state import named_leaves, with_leaves
from rlcli.maths.estimators import discounted_returns
from rlcli.nets.observations import no_moments
from rlcli.nets.policy import Model, Snapshot

POLICY = "policy."
"""Prefix of the arrays of a policy."""
BUFFERS = 2
TENSORS = ("observations", "actions", "rewards", "terminated", "truncated", "outputs", "counted")
VARYING = ("places", "finals", "returns", "lengths")
"""Arrays with one row for each episode that ended."""


def blank_policy(model: Model, parameters: int) -> Snapshot:
    """A policy of the model's shapes; P parameters."""
    return Snapshot(torch.zeros(1, parameters), no_moments(1, model.network.encoder.width))


def policy_arrays(policy: Snapshot) -> dict[str, Array]:
    """A policy as plain arrays."""
    return {name: leaf.cpu().numpy() for name, leaf in named_leaves(policy, POLICY).items()}


def policy_of(arrays: Mapping[str, Array], blank: Snapshot) -> Snapshot:
    """The policy that `policy_arrays` made arrays of, copied."""
    found: Snapshot = with_leaves(
        blank, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, POLICY
    )
    return found


def policy_fields(blank: Snapshot) -> Fields:
    """The policies that are published: two, written in turn, with their versions before and after."""
    leaves = policy_arrays(blank)
    found: dict[str, Any] = {name: ((BUFFERS, *leaf.shape), leaf.dtype) for name, leaf in leaves.items()}
    return found | {"begun": ((BUFFERS,), np.int64), "version": ((1,), np.int64)}


def publish(shared: Shared, policy: Snapshot, version: int) -> None:
    """Writes a policy into the older of both places; its version, no smaller than any before, comes last."""
    place = version % BUFFERS
    shared["begun"][place] = version
    for name, leaf in policy_arrays(policy).items():
        shared[name][place] = leaf
    shared["version"][0] = version


def newest(shared: Shared, blank: Snapshot) -> tuple[int, Snapshot]:
    """The newest policy and its version, read whole: again if it was overwritten meanwhile."""
    while True:
        version = int(shared["version"][0])
        place = version % BUFFERS
        leaves = {name: torch.from_numpy(shared[name][place].copy()) for name in named_leaves(blank, POLICY)}
        if int(shared["begun"][place]) == version:
            return version, with_leaves(blank, leaves, POLICY)


def unroll_fields(config: RunConfig, spec: EnvSpec, model: Model, blank: Snapshot, slots: int) -> Fields:
    """S unrolls, each with the policy that acted."""
    time_steps, envs = config.algo.rollout_steps, config.env.num_envs
    each, action = (slots, time_steps, 1, envs), spec.action
    observed = (*spec.observation.shape,)
    chosen = () if action.kind == "discrete" else (math.prod(action.shape),)
    found: dict[str, Any] = {
        "observations": ((slots, time_steps + 1, 1, envs, *observed), spec.observation.dtype),
        "actions": ((*each, *chosen), action.raw_dtype),
        "rewards": (each, np.float64),
        "terminated": (each, np.bool_),
        "truncated": (each, np.bool_),
        "outputs": ((*each, model.family.output_width), np.float32),
        "counted": (each, np.bool_),
        "memory": ((slots, 1, envs, model.network.memory_width), np.float32),
        "discounted": ((slots, 1, envs), np.float64),
        "places": ((slots, time_steps * envs, 3), np.int64),
        "finals": ((slots, time_steps * envs, *observed), spec.observation.dtype),
        "returns": ((slots, time_steps * envs), np.float64),
        "lengths": ((slots, time_steps * envs), np.int64),
    }
    leaves = policy_arrays(blank)
    return found | {name: ((slots, *leaf.shape), leaf.dtype) for name, leaf in leaves.items()}


class Unroll(NamedTuple):
    """A rollout of one actor, with what belongs to it."""

    rollout: Rollout
    episodes: Episodes
    """Those that ended in it."""
    policy: Snapshot
    """The one that acted."""
    discounted: Tensor
    """[1, N] float64: each environment's discounted return before the first step, for reward scaling."""


def arrays_of(unroll: Unroll) -> dict[str, Array]:
    """An unroll as plain arrays; what is as long as its episodes are many has that length."""
    rollout, episodes, policy, discounted = unroll
    memory = {} if rollout.memory is None else {"memory": rollout.memory.numpy()}
    return {
        **{name: getattr(rollout, name).numpy() for name in TENSORS},
        **memory,
        "places": rollout.finals.places.numpy(),
        "finals": rollout.finals.observations.numpy(),
        "returns": np.array(episodes.returns, np.float64),
        "lengths": np.array(episodes.lengths, np.int64),
        "discounted": discounted.numpy(),
        **policy_arrays(policy),
    }


def unroll_of(arrays: Mapping[str, Array], blank: Snapshot) -> Unroll:
    """The unroll that `arrays_of` made arrays of; it shares their memory."""
    found = {name: torch.from_numpy(array) for name, array in arrays.items()}
    finals, memory = Finals(found["places"], found["finals"]), found.get("memory")
    if memory is not None and not memory.shape[-1]:
        memory = None
    rollout = Rollout(**{name: found[name] for name in TENSORS}, finals=finals, memory=memory)
    policy = with_leaves(blank, {name: found[name] for name in named_leaves(blank, POLICY)}, POLICY)
    episodes = Episodes(arrays["returns"].tolist(), arrays["lengths"].tolist())
    return Unroll(rollout, episodes, policy, found["discounted"])


def write(shared: Shared, slot: int, arrays: Mapping[str, Array]) -> dict[str, int]:
    """Writes an unroll's arrays into a slot; the lengths that a reader does not know."""
    for name, array in arrays.items():
        if name in VARYING:
            shared[name][slot, : len(array)] = array
        else:
            shared[name][slot] = array
    return {name: len(arrays[name]) for name in VARYING}


def read(shared: Shared, slot: int, counts: Mapping[str, int]) -> dict[str, Array]:
    """The arrays of the unroll in a slot, copied."""
    return {name: array[slot][: counts.get(name)].copy() for name, array in shared.arrays.items()}


class UnrollActor:
    """Environments and collector of one actor: what it does, however policies and unrolls travel."""

    def __init__(self, config: RunConfig, part: Packet) -> None:
        """Makes the environments; `part` is this actor's part of the work, as plain data."""
        torch.set_num_threads(1)
        spec = registry.describe(config.env, config.network.squash, Replay(*part["replay"]))
        model = make_model(config, spec, in_c=part["in_c"])
        self.config, self.spec, self.model = config, spec, model
        self.blank = blank_policy(model, part["parameters"])
        self._env = registry.make(config.env, 1, squash=config.network.squash, training=True)
        kind = KernelCollector if part["in_c"] else Collector
        steps = config.algo.rollout_steps
        self._collector = kind(model, self._env, [part["seed"]], steps, 0, "cpu")
        self._number = 0
        self._gamma = torch.tensor(config.algo.gamma, dtype=torch.float64)
        self._discounted = torch.zeros(1, config.env.num_envs, dtype=torch.float64)
        self._ended = time.monotonic()

    def collect(self, version: int, policy: Snapshot) -> tuple[Packet, dict[str, Array]]:
        """One unroll under a policy of that version: what is to be known of it, and its arrays.

        Raises:
            Exception: what a failing environment raised.
        """
        begun = time.monotonic()
        with torch.inference_mode():
            rollout, [episodes] = self._collector.collect(policy, [self._number])
        if self._env.failures:
            raise self._env.failures[0]
        arrays = arrays_of(Unroll(rollout, episodes, policy, self._discounted))
        ended_episodes = rollout.terminated | rollout.truncated
        _, self._discounted = discounted_returns(
            rollout.rewards, ended_episodes, self._gamma, self._discounted
        )
        ended = time.monotonic()
        packet = {
            "version": version,
            "number": self._number,
            "waited": begun - self._ended,
            "collected": ended - begun,
            "at": ended,
        }
        self._number, self._ended = self._number + 1, ended
        return packet, arrays

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()


def collect_unrolls(config: RunConfig, end: socket.socket, descriptors: list[int], part: Packet) -> None:
    """Collects an unroll into each slot that the learner gives, until the socket's end."""
    actor = UnrollActor(config, part)
    blank = actor.blank
    policies = Shared(policy_fields(blank), descriptors[0])
    slots = Shared(unroll_fields(config, actor.spec, actor.model, blank, part["slots"]), descriptors[1])
    try:
        while True:
            slot = receive(end)[0]["slot"]
            packet, arrays = actor.collect(*newest(policies, blank))
            send(end, {"slot": slot, **packet, **write(slots, slot, arrays)})
    finally:
        actor.close()
