"""A rollout as data to learn from: transitions in time, and one batch of samples per run.

Shapes: T time, R runs, N environments of one run, B = T N samples, O observation width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.nets.memory import Memory


class Batch(NamedTuple):
    """What gradient steps read; constants of the update, each [R, B, ...] and contiguous."""

    inputs: Tensor
    """[R, B, ...]: observations as the network's encoder has them."""
    actions: Tensor
    """[R, B] or [R, B, A]."""
    advantages: Tensor
    """[R, B], as estimated; whitening comes later."""
    targets: Tensor
    """[R, B]: value targets; of the actions taken, with a critic of action values."""
    log_anchor: Tensor
    """[R, B]: log-probability of each action under the anchor."""
    values: Tensor | None = None
    """[R, B]: what the critic predicted before the update, where the value loss is clipped around it."""
    weights: Tensor | None = None
    """[R, B]: the constant weight of each sample, min(weight_bar, anchor/μ); None: 1, as at lag 0."""
    anchor_outputs: Tensor | None = None
    """[R, B, D]: the policy head's outputs under the anchor, where there is a penalty or a mask."""

    memory: Memory | None = None
    """Of a network with memory: the rows are sequences, time-major."""

    def map(
        self, rows: Callable[[Tensor], Tensor], sequences: Callable[[Tensor], Tensor] | None = None
    ) -> Batch:
        """The batch with `rows` applied to every field of samples there is, `sequences` to states of memory.

        Without `sequences` both are the same function.
        """
        mapped = {name: rows(field) for name, field in self._asdict().items() if isinstance(field, Tensor)}
        memory = None if self.memory is None else self.memory.map(sequences or rows, rows)
        return self._replace(**mapped, memory=memory)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor there is, by name."""
        memory = {} if self.memory is None else self.memory._asdict()
        named = self._asdict() | {f"memory.{name}": leaf for name, leaf in memory.items()}
        return {name: field for name, field in named.items() if isinstance(field, Tensor)}

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
    predictions: Tensor
    """What the critic predicts and is fitted to value targets: V of the states, or Q of the actions taken."""

    @property
    def on_policy(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What on-policy estimators read."""
        return self.rewards, self.values, self.next_values, self.terminated, self.truncated


def memory_of(rollout: Rollout) -> Memory | None:
    """What a network with memory reads beside the rows of a rollout; None: there is no memory.

    The state is the one that the acting policy had, at any lag: an update begins where acting began, from a
    constant, and no gradient passes into what an earlier policy remembered.
    """
    return None if rollout.memory is None else Memory(rollout.memory, by_run(rollout.begins))


def by_run(time_major: Tensor) -> Tensor:
    """[T, R, N, ...] -> contiguous [R, T N, ...]."""
    return time_major.transpose(0, 1).flatten(1, 2).contiguous()


def by_time(batch: Tensor, rollout_steps: int) -> Tensor:
    """[R, T N] -> [T, R, N]."""
    return batch.view(len(batch), rollout_steps, -1).transpose(0, 1).contiguous()
