"""Learning from the last k rollouts as if they were one, of the mixture of their policies (`algo.reuse`).

A sample of any of them counts π/μ̄ with μ̄ = Σ_j μ_j / m over the m rollouts there are, the balance heuristic.
π and μ are probabilities of single actions: weights are per step, exact for the action, biased by the states,
which other policies visit differently. RT-PG (Montenegro et al. 2025) weighs whole trajectories, by a power
mean; that is not done here.

Until there are k, the current rollout fills the empty places and counts once: the others have weight 0, all
else k/m. Shapes: T time, R runs, N environments of one run, k rollouts, B = T k N samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.collect.rollout import Finals, Rollout
from rlcli.learner.batch import by_run, by_time
from rlcli.learner.comparison import Comparison
from rlcli.learner.kept import Steps, steps_of
from rlcli.learner.state import TrainState
from rlcli.maths.importance import Weights, weight_figures
from rlcli.maths.mixture import log_mixture
from rlcli.maths.segments import segments
from rlcli.nets.observations import Moments
from rlcli.nets.policy import Model, Snapshot


class Joined(NamedTuple):
    """The rollouts of k N environments, the current one's last, and which of them there are."""

    rollout: Rollout
    present: Tensor
    """[R, k]."""

    @property
    def shares(self) -> Tensor:
        """[R, B]: k/m for a sample of the m rollouts there are, 0 for one that fills a place."""
        k = self.present.shape[1]
        share = k * self.present / self.present.sum(1, keepdim=True)
        steps, _, envs = self.rollout.rewards.shape
        return share.float().repeat_interleave(envs // k, 1).repeat(1, steps)

    def newest(self, samples: Tensor) -> Tensor:
        """Of samples [R, B, ...] those of the current rollout, [R, T N, ...]."""
        steps, _, envs = self.rollout.rewards.shape
        own = samples.view(len(samples), steps, envs, *samples.shape[2:])
        return own[:, :, -(envs // self.present.shape[1]) :].flatten(1, 2)


def join(state: TrainState, rollout: Rollout) -> Joined:
    """The kept rollouts and the current one; its environments come last."""
    kept, current = state.kept.steps, steps_of(rollout)
    places = kept.rewards.shape[1]
    age = torch.arange(places, 0, -1, device=state.update.device)
    earlier = age <= state.update.unsqueeze(1)

    def together(old: Tensor, new: Tensor) -> Tensor:
        """[R, K, T, N, ...] and [R, T, N, ...] -> [T, R, k N, ...]."""
        new = new.unsqueeze(1)
        old = torch.where(earlier.view(*earlier.shape, *[1] * (old.ndim - 2)), old, new)
        return torch.cat((old, new), 1).movedim(2, 0).flatten(2, 3).contiguous()

    steps = Steps(*map(together, kept, current))
    # As a collector has it: successors are the next rows, where no episode ended.
    where = (steps.terminated | steps.truncated).nonzero()
    present = torch.cat((earlier, earlier.new_ones(len(earlier), 1)), 1)
    there = present.repeat_interleave(rollout.rewards.shape[-1], 1)
    return Joined(
        Rollout(
            torch.cat((steps.observations, steps.successors[-1:])),
            Finals(where, steps.successors[where.unbind(1)]),
            steps.actions,
            steps.rewards,
            steps.terminated,
            steps.truncated,
            steps.outputs,
            steps.counted & there,
        ),
        present,
    )


def log_behaviour(
    comparison: Comparison, model: Model, state: TrainState, joined: Joined, log_prob: Tensor
) -> Tensor:
    """log μ̄ [R, B] float64 of the actions taken; `log_prob` [R, B] is that of the current policy."""
    observations, actions = by_run(joined.rollout.acted_on), by_run(joined.rollout.actions)
    found = []
    for place in range(joined.present.shape[1] - 1):
        policy = _policy(state, place)
        distribution = model.family.distribution(*model.outputs(policy, observations))
        found.append(comparison.measured(distribution, actions).kept)
    log_probs = torch.stack((*found, log_prob))
    return log_mixture(log_probs, joined.present.T.unsqueeze(-1).expand_as(log_probs))


def _policy(state: TrainState, place: int) -> Snapshot:
    """The policy that collected the rollout in a place."""
    parameters, moments = state.kept.policies
    return Snapshot(
        parameters[:, place].contiguous(), Moments(*(leaf[:, place].contiguous() for leaf in moments))
    )


def reuse_figures(joined: Joined, log_weights: Tensor) -> dict[str, Tensor]:
    """`weights/...` of log-weights [R, B] float64 of the samples there are, each [R] float64."""
    rollout = joined.rollout
    parts = segments(rollout.terminated | rollout.truncated)._replace(counted=rollout.counted)
    by_step = by_time(log_weights, len(rollout.rewards))
    found = weight_figures(Weights("per_step", by_step, None, False, parts))
    return {f"weights/{name}": value for name, value in found.items()}
