"""What `algo.reuse` keeps from one update to the next: the last rollouts, and the policies of each.

Shapes: R runs, K = reuse - 1 rollouts, T time, N environments of one run, D policy outputs, P parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.nets.network import ALL
from rlcli.nets.observations import Moments
from rlcli.nets.policy import Model, Snapshot


class Steps(NamedTuple):
    """Rollouts step by step, each [R, K, T, N, ...]; of no width where nothing is kept."""

    observations: Tensor
    """Raw, before each step."""
    successors: Tensor
    """Raw, what each step led to: the final observation where an episode ended."""
    actions: Tensor
    rewards: Tensor
    """float64."""
    terminated: Tensor
    truncated: Tensor
    outputs: Tensor
    """[R, K, T, N, D]: the policy head's while acting."""
    counted: Tensor


class Kept(NamedTuple):
    """The last K rollouts, oldest first; the first places are blank until there were so many."""

    steps: Steps
    policies: Snapshot
    """The policy that collected each, with its statistics; leaves [R, K, ...]."""


def nothing_kept(runs: int) -> Kept:
    """The state of runs that learn from each rollout once."""
    nothing = torch.zeros(runs, 0)
    return Kept(Steps(*[nothing] * len(Steps._fields)), Snapshot(nothing, Moments(*[nothing] * 3)))


def blank(config: RunConfig, runs: int, model: Model, spec: EnvSpec) -> Kept:
    """The state before the first update, with places for `reuse - 1` rollouts."""
    kept, encoder = config.algo.reuse - 1, model.network.encoder
    if not kept:
        return nothing_kept(runs)
    places = (runs, kept, config.algo.rollout_steps, config.env.num_envs)
    observations = torch.from_numpy(np.zeros((*places, *spec.observation.shape), spec.observation.dtype))
    width = () if spec.action.kind == "discrete" else (spec.action.width,)
    actions = torch.zeros(*places, *width, dtype=torch.float32 if spec.action.kind == "box" else torch.int64)
    flags = torch.zeros(places, dtype=torch.bool)
    steps = Steps(
        observations,
        observations.clone(),
        actions,
        torch.zeros(places, dtype=torch.float64),
        flags,
        flags.clone(),
        torch.zeros(*places, model.family.output_width),
        flags.clone(),
    )
    numbers = torch.zeros(runs, kept, encoder.width, dtype=torch.float64)
    moments = Moments(torch.zeros(runs, kept, dtype=torch.float64), numbers, numbers.clone())
    return Kept(steps, Snapshot(torch.zeros(runs, kept, model.network.parts[ALL].stop), moments))


def pushed(kept: Kept, rollout: Rollout, policy: Snapshot) -> Kept:
    """What is kept after an update on `rollout`, in which `policy` acted: both in the place of the oldest."""
    if kept.steps.rewards.shape[1] == 0:
        return kept

    def push(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat((old[:, 1:], new.unsqueeze(1)), 1)

    steps = Steps(*map(push, kept.steps, steps_of(rollout)))
    moments = Moments(*map(push, kept.policies.moments, policy.moments))
    return Kept(steps, Snapshot(push(kept.policies.parameters, policy.parameters), moments))


def steps_of(rollout: Rollout) -> Steps:
    """A rollout step by step, each [R, T, N, ...]."""
    found = Steps(
        rollout.acted_on,
        rollout.successors(),
        rollout.actions,
        rollout.rewards,
        rollout.terminated,
        rollout.truncated,
        rollout.outputs,
        rollout.counted,
    )
    return Steps(*(part.transpose(0, 1) for part in found))
