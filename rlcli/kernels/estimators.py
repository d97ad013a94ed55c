"""Estimators of advantages in C: each stands for the entry of its name in `learner.table.TARGETS`.

Shapes: T time, R runs, N environments of one run. Everything is float32 but `discounted_returns`, which is
float64.
"""

from __future__ import annotations

from ctypes import c_int, c_long
from typing import Any, Protocol

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, pointer
from rlcli.kernels.library import function

Pair = tuple[Tensor, Tensor]


class Transitions(Protocol):
    """What estimators read of a rollout, each [T, R, N]."""

    @property
    def rewards(self) -> Tensor: ...  # noqa: D102
    @property
    def values(self) -> Tensor: ...  # noqa: D102
    @property
    def next_values(self) -> Tensor: ...  # noqa: D102
    @property
    def terminated(self) -> Tensor: ...  # noqa: D102
    @property
    def truncated(self) -> Tensor: ...  # noqa: D102
    @property
    def log_rhos(self) -> Tensor: ...  # noqa: D102


def gae(algo: Any, hyper: Any, transitions: Transitions) -> Pair:  # noqa: ARG001 -- called alike
    """Advantages GAE(lambda), and targets A + V."""
    return _call("gae", transitions, (hyper.gamma, hyper.gae_lambda))


def monte_carlo(algo: Any, hyper: Any, transitions: Transitions) -> Pair:  # noqa: ARG001 -- called alike
    """Advantages G - V, and whole returns G as targets."""
    return _call("monte_carlo", transitions, (hyper.gamma,))


def nstep(algo: Any, hyper: Any, transitions: Transitions) -> Pair:
    """Advantages over `algo.n_step` steps, and targets A + V."""
    if algo.n_step < 1:
        raise ValueError(f"n_step: expected 1 or more, got {algo.n_step}")
    return _call("nstep", transitions, (hyper.gamma,), (c_long, algo.n_step))


def vtrace(algo: Any, hyper: Any, transitions: Transitions) -> Pair:
    """Advantages and targets of V-trace; under `surrogate=score` the advantages carry their ratio."""
    numbers = hyper.gamma, hyper.gae_lambda, hyper.rho_bar, hyper.c_bar
    by_score = c_int, int(algo.surrogate == "score")
    return _call("vtrace", transitions, numbers, by_score, ("log_rhos",))


TARGETS = {"gae": gae, "nstep": nstep, "monte_carlo": monte_carlo, "vtrace": vtrace}

READ = ("rewards", "values", "next_values")
ENDS = ("terminated", "truncated")


def _call(
    name: str,
    transitions: Transitions,
    numbers: tuple[Tensor, ...],
    choice: tuple[Any, int] | None = None,
    first: tuple[str, ...] = (),
) -> Pair:
    """Advantages and targets of one estimator.

    It reads the fields `first`, those of on-policy estimators, `numbers` [R, 1], and a `choice`, a type and a
    value.
    """
    steps, runs, envs = shape = tuple(transitions.rewards.shape)
    fields = [(field, getattr(transitions, field).contiguous(), torch.float32) for field in first + READ]
    fields += [(field, getattr(transitions, field).contiguous(), torch.bool) for field in ENDS]
    by_run = [number.contiguous() for number in numbers]
    advantages, targets = torch.empty(shape), torch.empty(shape)
    types = (POINTER,) * (len(fields) + len(by_run))
    chosen_types, chosen = ((), ()) if choice is None else ((choice[0],), (choice[1],))
    function(name, c_long, c_long, c_long, *types, *chosen_types, POINTER, POINTER)(
        steps,
        runs,
        envs,
        *(pointer(field, tensor, dtype, shape) for field, tensor, dtype in fields),
        *(pointer("a hyperparameter", number, torch.float32, (runs, 1)) for number in by_run),
        *chosen,
        advantages.data_ptr(),
        targets.data_ptr(),
    )
    return advantages, targets


def discounted_returns(rewards: Tensor, ended: Tensor, gamma: Tensor, carried: Tensor) -> Pair:
    """Forward accumulators G_t = γ G_{t-1} + r_t of float64 rewards [T, R, N] (`maths.estimators`).

    `gamma` is [R, 1]. Returns ([T, R, N], the accumulator [R, N] to carry on).
    """
    steps, runs, envs = shape = tuple(rewards.shape)
    rewards, ended, gamma = rewards.contiguous(), ended.contiguous(), gamma.contiguous()
    carried, totals = carried.clone(memory_format=torch.contiguous_format), torch.empty_like(rewards)
    function("discounted_returns", c_long, c_long, c_long, *(POINTER,) * 5)(
        steps,
        runs,
        envs,
        pointer("rewards", rewards, torch.float64, shape),
        pointer("ended", ended, torch.bool, shape),
        pointer("gamma", gamma, torch.float64, (runs, 1)),
        pointer("carried", carried, torch.float64, (runs, envs)),
        totals.data_ptr(),
    )
    return totals, carried
