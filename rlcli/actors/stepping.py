"""An actor that steps its part of R x N environments when it is asked to, through shared memory.

Shapes: R runs, n environments of each in this actor.
"""

from __future__ import annotations

import socket

import numpy as np

from rlcli.actors.memory import Fields, Shared
from rlcli.actors.packets import Gone, Packet, packed, send
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.interface import Taught, VectorEnv
from rlcli.envs.replay_probe import Replay
from rlcli.envs.spec import EnvSpec

STEP, RESET, KEEP = b"s", b"r", b"k"
"""Requests: a step with the actions in memory, a reset with the seeds and the mask there; and to keep only
the first runs in `rows`, whose number follows."""
LONGEST_REQUEST = 64
DONE, TAUGHT, OTHER = b"d", b"t", b"o"
"""Answers: done, done and learnt otherwise than it happened, and: failures follow. A packet instead is the
error that ended the actor."""


def fields(spec: EnvSpec, runs: int, count: int) -> Fields:
    """What both sides have in memory of `count` environments of each of R runs."""
    each = (runs, count)
    observed, action = spec.observation, spec.action
    return {
        "actions": ((*each, *action.shape), action.raw_dtype),
        "observations": ((*each, *observed.shape), observed.dtype),
        "rewards": (each, np.float64),
        "terminated": (each, np.bool_),
        "truncated": (each, np.bool_),
        "learnt_rewards": (each, np.float64),
        "learnt_terminated": (each, np.bool_),
        "seeds": (each, np.int64),
        "mask": (each, np.bool_),
        "rows": ((runs,), np.int64),
    }


def step_environments(config: RunConfig, end: socket.socket, descriptors: list[int], part: Packet) -> None:
    """Steps environments `first` .. `first + count` of each run until the socket's end.

    The first answer says that they are made.
    """
    replay = Replay(*part["replay"])
    registry.describe(config.env, config.network.squash, replay)
    env = registry.make(
        config.env,
        part["runs"],
        num_envs=part["count"],
        squash=config.network.squash,
        training=True,
        first=part["first"],
    )
    shared = Shared(fields(env.spec, env.num_runs, env.num_envs), descriptors[0])
    _send_failures(env, end)
    try:
        while True:
            request = end.recv(LONGEST_REQUEST)
            if not request:
                raise Gone
            _answer(env, shared, request, end)
    finally:
        env.close()


def _answer(env: VectorEnv, shared: Shared, request: bytes, end: socket.socket) -> None:
    runs, failed = env.num_runs, len(env.failures)
    answer = DONE
    if request == STEP:
        step = env.step(shared["actions"][:runs].copy())
        for name in ("observations", "rewards", "terminated", "truncated"):
            shared[name][:runs] = getattr(step, name)
        if isinstance(step, Taught):
            shared["learnt_rewards"][:runs], shared["learnt_terminated"][:runs] = step.lesson
            answer = TAUGHT
    elif request == RESET:
        seeds, mask = shared["seeds"][:runs].copy(), shared["mask"][:runs].copy()
        shared["observations"][:runs] = env.reset(seeds, mask)
    else:
        env.select(shared["rows"][: int(request[len(KEEP) :])].tolist())
    if request in (STEP, RESET) and len(env.failures) > failed:
        end.send(OTHER + answer)
        _send_failures(env, end)
    else:
        end.send(answer)


def _send_failures(env: VectorEnv, end: socket.socket) -> None:
    """Sends the number of runs that failed so far, and a packet of each, as one of all could be too large."""
    send(end, {"failures": len(env.failures)})
    for run, error in env.failures.items():
        send(end, {"run": run, **packed(error)})
