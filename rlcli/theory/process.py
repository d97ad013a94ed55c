"""Markov decision processes of few states, of which everything can be computed exactly.

Shapes: S states, A actions, T times; float64. Policies are [S, A], rows summing to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Process(NamedTuple):
    """A process with discounting; an absorbing state of reward 0 stands for an end."""

    moves: Tensor
    """P(s'|s, a), [S, A, S]."""
    rewards: Tensor
    """r(s, a), [S, A]."""
    start: Tensor
    """p_0(s), [S]."""
    gamma: float


def random_process(states: int, actions: int, gamma: float, seed: int) -> Process:
    """A process whose moves are drawn from flat Dirichlet distributions, rewards from N(0, 1)."""
    draw = torch.Generator().manual_seed(seed)

    def shares(*shape: int) -> Tensor:
        drawn = -torch.rand(*shape, dtype=torch.float64, generator=draw).log()
        return drawn / drawn.sum(-1, keepdim=True)

    moves, start = shares(states, actions, states), shares(states)
    return Process(moves, torch.randn(states, actions, dtype=torch.float64, generator=draw), start, gamma)


def random_logits(states: int, actions: int, seed: int) -> Tensor:
    """Logits of a policy from N(0, 1), [S, A]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(states, actions, dtype=torch.float64, generator=draw)


def transitions(process: Process, policy: Tensor) -> Tensor:
    """P_π(s'|s) = Σ_a π(a|s) P(s'|s, a), [S, S]."""
    return torch.einsum("sa,sat->st", policy, process.moves)


def occupancies(process: Process, policy: Tensor, times: int) -> Tensor:
    """The distribution of s_t, t = 0 .. times - 1, [T, S]."""
    step, found = transitions(process, policy), [process.start]
    for _ in range(times - 1):
        found.append(found[-1] @ step)
    return torch.stack(found)


def discounted_occupancy(process: Process, policy: Tensor) -> Tensor:
    """d(s) = (1-γ) Σ_t γ^t P(s_t = s), [S]."""
    step = transitions(process, policy)
    system = torch.eye(len(step), dtype=torch.float64) - process.gamma * step.T
    summed: Tensor = torch.linalg.solve(system, process.start)
    return (1.0 - process.gamma) * summed


def state_values(process: Process, policy: Tensor) -> Tensor:
    """V^π, the solution of V = r_π + γ P_π V, [S]."""
    step = transitions(process, policy)
    system = torch.eye(len(step), dtype=torch.float64) - process.gamma * step
    values: Tensor = torch.linalg.solve(system, (policy * process.rewards).sum(-1))
    return values


def action_values(process: Process, policy: Tensor) -> Tensor:
    """Q^π(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) V^π(s'), [S, A]."""
    return process.rewards + process.gamma * process.moves @ state_values(process, policy)


def advantages(process: Process, policy: Tensor) -> Tensor:
    """A^π = Q^π - V^π, [S, A]."""
    return action_values(process, policy) - state_values(process, policy)[:, None]


def expected_return(process: Process, policy: Tensor) -> Tensor:
    """J(π) = Σ_s p_0(s) V^π(s), []."""
    return process.start @ state_values(process, policy)


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """½ Σ_a |π(a|s) - π'(a|s)| at each state, [S]."""
    return 0.5 * (first - second).abs().sum(-1)


def kullback_leibler(first: Tensor, second: Tensor) -> Tensor:
    """Σ_a π(a|s) log(π(a|s)/π'(a|s)) at each state, [S]; 0 log 0 = 0."""
    return torch.where(first > 0, first * (first / second).log(), 0.0).sum(-1)
