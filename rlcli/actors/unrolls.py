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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcli.actors.memory import Fields, Shared
from rlcli.actors.packets import Packet, packed, receive, send
from rlcli.collect.kernel import KernelCollector
from rlcli.collect.rollout import Collector, Episodes, Finals, Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.replay_probe import Replay
from rlcli.envs.spec import EnvSpec
from rlcli.learner.model import make_model
from rlcli.learner.state import named_leaves, with_leaves
from rlcli.nets.observations import no_moments
from rlcli.nets.policy import Model, Snapshot

POLICY = "policy."
"""Prefix of the arrays of a policy."""
BUFFERS = 2
TENSORS = ("observations", "actions", "rewards", "terminated", "truncated", "outputs", "counted")


def blank_policy(model: Model, parameters: int) -> Snapshot:
    """A policy of the model's shapes; P parameters."""
    return Snapshot(torch.zeros(1, parameters), no_moments(1, model.network.encoder.width))


def policy_fields(blank: Snapshot) -> Fields:
    """The policies that are published: two, written in turn, with their versions before and after."""
    leaves = named_leaves(blank, POLICY)
    found: dict[str, Any] = {
        name: ((BUFFERS, *leaf.shape), leaf.numpy().dtype) for name, leaf in leaves.items()
    }
    return found | {"begun": ((BUFFERS,), np.int64), "version": ((1,), np.int64)}


def publish(shared: Shared, policy: Snapshot, version: int) -> None:
    """Writes a policy into the older of both places; its version, larger than any before, comes last."""
    place = version % BUFFERS
    shared["begun"][place] = version
    for name, leaf in named_leaves(policy, POLICY).items():
        shared[name][place] = leaf.cpu().numpy()
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
        "places": ((slots, time_steps * envs, 3), np.int64),
        "finals": ((slots, time_steps * envs, *observed), spec.observation.dtype),
        "returns": ((slots, time_steps * envs), np.float64),
        "lengths": ((slots, time_steps * envs), np.int64),
    }
    leaves = named_leaves(blank, POLICY)
    return found | {name: ((slots, *leaf.shape), leaf.numpy().dtype) for name, leaf in leaves.items()}


def write(
    shared: Shared, slot: int, rollout: Rollout, episodes: Episodes, policy: Snapshot
) -> dict[str, int]:
    """Writes an unroll into a slot; the numbers of final observations and of episodes."""
    for name in TENSORS:
        shared[name][slot] = getattr(rollout, name).numpy()
    if rollout.memory is not None:
        shared["memory"][slot] = rollout.memory.numpy()
    finals, ended = len(rollout.finals.places), len(episodes.returns)
    shared["places"][slot, :finals] = rollout.finals.places.numpy()
    shared["finals"][slot, :finals] = rollout.finals.observations.numpy()
    shared["returns"][slot, :ended] = episodes.returns
    shared["lengths"][slot, :ended] = episodes.lengths
    for name, leaf in named_leaves(policy, POLICY).items():
        shared[name][slot] = leaf.numpy()
    return {"finals": finals, "ended": ended}


def read(
    shared: Shared, slot: int, counts: Mapping[str, int], blank: Snapshot
) -> tuple[Rollout, Episodes, Snapshot]:
    """The unroll in a slot, copied."""

    def copy(name: str, count: int | None = None) -> Tensor:
        return torch.from_numpy(shared[name][slot][:count].copy())

    tensors = {name: copy(name) for name in TENSORS}
    finals = Finals(copy("places", counts["finals"]), copy("finals", counts["finals"]))
    memory = copy("memory")
    rollout = Rollout(**tensors, finals=finals, memory=memory if memory.shape[-1] else None)
    returns, lengths = (shared[name][slot][: counts["ended"]].tolist() for name in ("returns", "lengths"))
    policy = with_leaves(blank, {name: copy(name) for name in named_leaves(blank, POLICY)}, POLICY)
    return rollout, Episodes(returns, lengths), policy


def collect_unrolls(config: RunConfig, end: socket.socket, descriptors: list[int], part: Packet) -> None:
    """Collects an unroll into each slot that the learner gives, until the socket's end."""
    torch.set_num_threads(1)
    spec = registry.describe(config.env, config.network.squash, Replay(*part["replay"]))
    model = make_model(config, spec, in_c=part["in_c"])
    env = registry.make(config.env, 1, squash=config.network.squash, training=True)
    blank = blank_policy(model, part["parameters"])
    policies = Shared(policy_fields(blank), descriptors[0])
    slots = Shared(unroll_fields(config, spec, model, blank, part["slots"]), descriptors[1])
    kind = KernelCollector if part["in_c"] else Collector
    collector = kind(model, env, [part["seed"]], config.algo.rollout_steps, 0, "cpu")
    number = 0
    try:
        while not env.failures:
            begun = time.monotonic()
            slot = receive(end)[0]["slot"]
            given = time.monotonic()
            version, policy = newest(policies, blank)
            with torch.inference_mode():
                rollout, [episodes] = collector.collect(policy, [number])
            if env.failures:
                break
            counts = write(slots, slot, rollout, episodes, policy)
            ended = time.monotonic()
            figures = {"waited": given - begun, "collected": ended - given, "at": ended}
            send(end, {"slot": slot, "version": version, "number": number, **counts, **figures})
            number += 1
        send(end, {"failed": packed(env.failures[0])})
    finally:
        env.close()
