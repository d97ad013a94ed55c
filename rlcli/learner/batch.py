"""A rollout as data to learn from: transitions in time, and one batch of samples per run.

Shapes: T time, R runs, N environments of one run, B = T N samples, O observation width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """What gradient steps read; constants of the update, each [R, B, ...] and contiguous."""

    inputs: Tensor
    """[R, B, ...]: observations as the network's encoder has them."""
    actions: Tensor
    """[R, B] or [R, B, A]."""
    advantages: Tensor
    """[R, B], as estimated; whitening comes later."""
    targets: Tensor
    """[R, B]: value targets."""
    log_anchor: Tensor
    """[R, B]: log-probability of each action under the anchor."""
    values: Tensor | None = None
    """[R, B]: V at the start of the update, where the value loss is clipped around it."""
    weights: Tensor | None = None
    """[R, B]: the constant weight of each sample, min(weight_bar, anchor/μ); None: 1, as at lag 0."""
    anchor_outputs: Tensor | None = None
    """[R, B, D]: the policy head's outputs under the anchor, where there is a penalty or a mask."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to every field there is."""
        return Batch(*(None if field is None else function(field) for field in self))  # type: ignore[arg-type]

    def weighted(self, samples: Tensor) -> Tensor:
        """Samples [R, B] times their constant weights."""
        return samples if self.weights is None else self.weights * samples


class Transitions(NamedTuple):
    """What estimators of advantages read, each [T, R, N]."""

    rewards: Tensor
    values: Tensor
    next_values: Tensor
    """V of the true successors."""
    terminated: Tensor
    truncated: Tensor
    log_rhos: Tensor
    """log(pi/mu) of the actions taken."""

    @property
    def on_policy(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What on-policy estimators read."""
        return self.rewards, self.values, self.next_values, self.terminated, self.truncated


def by_run(time_major: Tensor) -> Tensor:
    """[T, R, N, ...] -> contiguous [R, T N, ...]."""
    return time_major.transpose(0, 1).flatten(1, 2).contiguous()


def by_time(batch: Tensor, rollout_steps: int) -> Tensor:
    """[R, T N] -> [T, R, N]."""
    return batch.view(len(batch), rollout_steps, -1).transpose(0, 1).contiguous()
