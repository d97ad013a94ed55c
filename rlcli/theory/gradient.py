"""The ratio and the log-probability as surrogates: one gradient at the old policy, two objectives.

E_μ[(π/μ) A] and E_μ[log π A] have the gradient E_μ[∇ log π A] at π = μ. Away from it only the ratio is the
expectation under π: the other's gradient still weighs actions as often as μ took them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "Policy gradients may be written with log-probabilities or with ratios."
FINDING = (
    "The gradients agree at the policy that acted. Once the parameters move, only the ratio's is that of the "
    "return (here of a bandit, where no states shift); the log-probability's is another."
)

OLD = (0.2, -0.4, 0.5)
DIRECTION = (0.6, 1.0, -0.9)
REWARDS = (1.0, -0.5, 2.0)
"""A bandit of three actions: logits of μ, the line along which π moves, and what actions earn."""
STEPS = (-2.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0)


def _tensor(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def slopes(step: float) -> tuple[float, float, float]:
    """Derivatives along the line, at a step from μ: of J, and of both surrogates."""
    at = torch.tensor(step, dtype=torch.float64, requires_grad=True)
    behaviour = _tensor(OLD).softmax(-1)
    advantage = _tensor(REWARDS) - behaviour @ _tensor(REWARDS)
    policy = (_tensor(OLD) + at * _tensor(DIRECTION)).log_softmax(-1)
    objectives = (
        policy.exp() @ _tensor(REWARDS),
        behaviour @ (policy.exp() / behaviour * advantage),
        behaviour @ (policy * advantage),
    )
    found = [torch.autograd.grad(one, at, retain_graph=True)[0].item() for one in objectives]
    return found[0], found[1], found[2]


def _parts(differences: Sequence[float]) -> bool:
    return all(b > a for a, b in itertools.pairwise(differences))


def trial() -> Trial:
    """Slopes of the three along a line of logits."""
    rows = tuple((step, *slopes(step)) for step in STEPS)
    at_old = dict(zip(STEPS, rows, strict=True))[0.0]
    apart = [abs(row[3] - row[1]) for row in rows]
    return Trial(
        "gradient",
        CLAIM,
        FINDING,
        (
            Table(
                "slope along a line of logits of a bandit with three actions",
                ("step", "J", "ratio", "log-probability"),
                rows,
                Picture("step", ("J", "ratio", "log-probability")),
            ),
        ),
        (
            Statement("equal at the old policy", max(at_old[1:]) - min(at_old[1:]) < 1e-12),
            Statement(
                "the ratio's slope is the return's everywhere",
                all(abs(row[2] - row[1]) < 1e-12 for row in rows),
            ),
            Statement(
                "the log-probability's slope is the return's everywhere", max(apart) < 1e-12, expected=False
            ),
            Statement(
                "the longer the step, either way, the more they differ",
                all(_parts(side) for side in (apart[STEPS.index(0.0) :], apart[STEPS.index(0.0) :: -1])),
            ),
            Statement(
                "it is constant: in the logits that surrogate is a line, without a maximum",
                max(row[3] for row in rows) - min(row[3] for row in rows) < 1e-12,
            ),
        ),
    )
