"""Everything about learning that influences numbers, as tensors with a leading run axis.

`take(r)` drops the run axis, `stack` adds it, `select` shrinks it: any member of a cohort can be saved,
resumed alone, or joined to another cohort, and runs may be at different updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rlcli.learner.kept import Kept
from rlcli.nets.observations import Moments, no_moments
from rlcli.nets.policy import Snapshot


class OptimiserState(NamedTuple):
    """An optimiser's moments and step count; each optimiser uses those it needs."""

    first: Tensor
    """[R, P]."""
    second: Tensor
    """[R, P]."""
    steps: Tensor
    """[R] float32 whole numbers: fewer for runs that stopped an update early."""

    def part(self, block: slice) -> OptimiserState:
        """Of the parameters of this block alone."""
        return OptimiserState(self.first[:, block], self.second[:, block], self.steps)

    def with_part(self, block: slice, part: OptimiserState) -> OptimiserState:
        """With the moments of this block, and the step count, of `part`."""
        first, second = self.first.clone(), self.second.clone()
        first[:, block], second[:, block] = part.first, part.second
        return OptimiserState(first, second, part.steps)


class Phases(NamedTuple):
    """What learning in phases keeps between updates; of no width for other step rules.

    Shapes: N rollouts from one auxiliary phase to the next, B samples of a rollout.
    """

    value: OptimiserState
    """Of the value epochs, over the critic's parameters; over both heads of a shared trunk."""
    auxiliary: OptimiserState
    """Of the auxiliary phase, over all parameters and the auxiliary head."""
    head: Tensor
    """[R, H + 1]: the auxiliary value head on the policy's trunk; nothing where the trunk has V's own."""
    observations: Tensor
    """[R, N, B, ...]: of the last rollouts, raw; update u writes place u mod N."""
    targets: Tensor
    """[R, N, B]: their value targets, as their updates had them."""


class TrainState(NamedTuple):
    """The learner between two updates; every leaf is [R, ...]."""

    policy: Snapshot
    """The current policy; the same buffer has the critic's parameters."""
    optimiser: OptimiserState
    reward_moments: Moments
    """Statistics of the discounted return, for reward scaling."""
    discounted: Tensor
    """[R, N] float64: each environment's discounted return so far, for reward scaling."""
    queue: Snapshot
    """The `lag` policies before this one, oldest first; leaves [R, lag, ...]."""
    coefficient: Tensor
    """[R] float64: the factor of an adaptive penalty's beta (`learner/penalty.py`)."""
    rate: Tensor
    """[R, 1] float64: the factor of a learning rate that adapts (`learner/rate.py`); [R, 0] without one."""
    phases: Phases
    kept: Kept
    """The last rollouts and their policies (`algo.reuse`); of no width without reuse."""
    update: Tensor
    """[R] int64: updates done."""


def fresh(
    parameters: Tensor,
    observation_width: int,
    num_envs: int,
    lag: int,
    phases: Phases,
    kept: Kept,
    second_moment: float = 0.0,
    *,
    adapts_rate: bool = False,
) -> TrainState:
    """The state before the first update, from initial parameters [R, P]."""
    runs = parameters.shape[0]
    policy = Snapshot(parameters, no_moments(runs, observation_width))
    return TrainState(
        policy=policy,
        optimiser=fresh_optimiser(runs, parameters.shape[1], second_moment),
        reward_moments=no_moments(runs, 1),
        discounted=torch.zeros(runs, num_envs, dtype=torch.float64),
        queue=map_leaves(lambda leaf: torch.stack([leaf] * lag, 1) if lag else leaf[:, None][:, :0], policy),
        coefficient=torch.ones(runs, dtype=torch.float64),
        rate=torch.ones(runs, int(adapts_rate), dtype=torch.float64),
        phases=phases,
        kept=kept,
        update=torch.zeros(runs, dtype=torch.int64),
    )


def fresh_optimiser(runs: int, width: int, second_moment: float) -> OptimiserState:
    """An optimiser of `width` parameters before its first step."""
    zeros = torch.zeros(runs, width)
    return OptimiserState(zeros, torch.full_like(zeros, second_moment), torch.zeros(runs))


def no_phases(runs: int) -> Phases:
    """Nothing to remember."""
    nothing, idle = torch.zeros(runs, 0), fresh_optimiser(runs, 0, 0.0)
    return Phases(idle, idle, nothing, nothing, nothing)


def behaviour(state: TrainState) -> Snapshot:
    """The policy that collects next: the one from before update max(0, u - lag)."""
    if state.queue.parameters.shape[1] == 0:
        return state.policy
    oldest: Snapshot = map_leaves(lambda leaf: leaf[:, 0].contiguous(), state.queue)
    return oldest


def acted_by(state: TrainState, policies: Sequence[Snapshot], discounted: Tensor) -> TrainState:
    """The state with the policies of U unrolls in the place of the one that acted, where lag is 1.

    `discounted` [R, N] is of the environments of those unrolls, which are not those of the last update's.
    """
    first, *others = policies
    queue = map_leaves(lambda *leaves: torch.stack(leaves, 1), first, *others)
    return state._replace(queue=queue, discounted=discounted)


def pushed(queue: Snapshot, policy: Snapshot, lag: int) -> Snapshot:
    """The queue of `lag` policies after an update that began with `policy`."""
    if queue.parameters.shape[1] == 0:
        return queue
    longer: Snapshot = map_leaves(
        lambda old, new: torch.cat((old[:, old.shape[1] - lag + 1 :], new[:, None]), 1), queue, policy
    )
    return longer


def map_leaves(function: Callable[..., Tensor], tree: Any, *others: Any) -> Any:
    """The same nest of NamedTuples with `function` applied to corresponding tensors."""
    if isinstance(tree, Tensor):
        return function(tree, *others)
    parts = (map_leaves(function, *branches) for branches in zip(tree, *others, strict=True))
    return type(tree)(*parts)


def take(state: TrainState, row: int) -> TrainState:
    """One run, without a run axis."""
    return map_leaves(lambda leaf: leaf[row].clone(), state)  # type: ignore[no-any-return]


def stack(states: Sequence[TrainState]) -> TrainState:
    """Runs without a run axis, together."""
    first, *others = states
    return map_leaves(lambda *leaves: torch.stack(leaves), first, *others)  # type: ignore[no-any-return]


def select(state: TrainState, rows: Sequence[int]) -> TrainState:
    """Only these runs, in this order."""
    index = torch.tensor(rows, dtype=torch.int64, device=state.update.device)
    return map_leaves(lambda leaf: leaf.index_select(0, index), state)  # type: ignore[no-any-return]


def where(chosen: Tensor, left: Any, right: Any) -> Any:
    """Leaf by leaf, `left` for the runs chosen by the mask [R], `right` for the others."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)

    return map_leaves(choose, left, right)


def named_leaves(tree: Any, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a nest of NamedTuples by its dotted path, after a `prefix`."""
    found: dict[str, Tensor] = {}
    _name_leaves(tree, prefix, found)
    return found


def _name_leaves(tree: Any, prefix: str, found: dict[str, Tensor]) -> None:
    for name, branch in zip(tree._fields, tree, strict=True):
        if isinstance(branch, Tensor):
            found[prefix + name] = branch
        else:
            _name_leaves(branch, f"{prefix}{name}.", found)


def with_leaves(tree: Any, leaves: dict[str, Tensor], prefix: str = "") -> Any:
    """The nest `tree` with its tensors replaced by those of the same path."""
    if isinstance(tree, Tensor):
        return leaves[prefix.rstrip(".")]
    parts = (
        with_leaves(branch, leaves, f"{prefix}{name}.")
        for name, branch in zip(tree._fields, tree, strict=True)
    )
    return type(tree)(*parts)
