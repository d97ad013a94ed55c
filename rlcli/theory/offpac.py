"""The off-policy policy gradient with the behaviour policy's states, against the true one.

Off-PAC follows Σ_s d^μ(s) Σ_a ∇π(a|s) Q^π(s, a) (Degris, White and Sutton 2012, 'Off-Policy Actor-Critic',
equation 5); ∇J(π) has d^π in place of d^μ (Sutton et al. 2000). With one parameter per state and action the
former still improves every state it visits; with shared parameters the weights of states decide, and with
those of μ a step may go down where ∇J goes up.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rlcli.theory.process import (
    Process,
    action_values,
    discounted_occupancy,
    expected_return,
    random_logits,
    random_process,
)
from rlcli.theory.trial import Picture, Statement, Table, Trial

CLAIM = "An actor may learn from another policy's states: the off-policy gradient improves the return."
FINDING = (
    "With a parameter for every state and action it points uphill, for each state's part is only rescaled. "
    "With shared parameters it is another direction, the farther μ is from π, and may point downhill; at "
    "μ = π it is the gradient."
)

DISTANCES = (0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def opposed_states() -> Process:
    """Two states, of which action 1 enters the second and action 0 the first; action 1 earns 1, then -1."""
    moves = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    rewards = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    return Process(moves, rewards, torch.tensor([1.0, 0.0], dtype=torch.float64), 0.9)


def gradient(process: Process, features: Tensor, parameters: Tensor, states: Tensor) -> Tensor:
    """Σ_s d(s) Σ_a ∇π(a|s) Q^π(s, a)/(1-γ) of logits features [S, A, P] @ parameters, [P]."""
    policy = (features @ parameters).softmax(-1)
    weights = policy * action_values(process, policy)
    centred = features - (policy[..., None] * features).sum(1, keepdim=True)
    return torch.einsum("s,sa,sap->p", states, weights, centred) / (1.0 - process.gamma)


def automatic(process: Process, features: Tensor, parameters: Tensor) -> Tensor:
    """∇J by differentiating the exact return, [P]."""
    at = parameters.clone().requires_grad_()
    return torch.autograd.grad(expected_return(process, (features @ at).softmax(-1)), at)[0]


def trial() -> Trial:
    """Cosine between the two gradients as μ moves away from π, with tabular and with shared parameters."""
    process = random_process(6, 3, 0.9, seed=8)
    draw = torch.Generator().manual_seed(9)
    shared = torch.randn(6, 3, 4, dtype=torch.float64, generator=draw)
    tabular = torch.eye(18, dtype=torch.float64).reshape(6, 3, 18)
    away = random_logits(6, 3, seed=10)
    rows, exact = [], 0.0
    for distance in DISTANCES:
        found: list[float] = [distance]
        for features in (tabular, shared):
            parameters = torch.randn(
                features.shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(11)
            )
            logits = features @ parameters
            behaviour = (logits + distance * away).softmax(-1)
            true = automatic(process, features, parameters)
            own = gradient(process, features, parameters, discounted_occupancy(process, logits.softmax(-1)))
            exact = max(exact, (true - own).abs().max().item())
            other = gradient(process, features, parameters, discounted_occupancy(process, behaviour))
            found += [torch.cosine_similarity(true, other, dim=0).item(), (other @ true).item()]
        rows.append(tuple(found))
    opposed, more = _opposed()
    names = ("distance", "cosine, tabular", "slope of J, tabular", "cosine, shared", "slope of J, shared")
    return Trial(
        "offpac",
        CLAIM,
        FINDING,
        (
            Table(
                "off-policy gradient against the true one",
                names,
                tuple(rows),
                Picture("distance", names[1::2]),
            ),
            opposed,
        ),
        (
            Statement("with d^π it is the gradient of the return", exact < 1e-10),
            Statement("at μ = π they are one", abs(rows[0][1] - 1) < 1e-12 and abs(rows[0][3] - 1) < 1e-12),
            Statement("tabular: uphill at every distance", all(row[2] > 0 for row in rows)),
            Statement("tabular: the same direction", all(row[1] > 1 - 1e-9 for row in rows), expected=False),
            Statement(
                "the farther, the more it turns, tabular and shared",
                all(b[place] < a[place] for a, b in itertools.pairwise(rows) for place in (1, 3)),
            ),
            *more,
        ),
    )


def _opposed() -> tuple[Table, tuple[Statement, ...]]:
    """One parameter, the logit of action 1 in both states; π takes it with probability 0.4, μ ever less."""
    process, features = opposed_states(), torch.zeros(2, 2, 1, dtype=torch.float64)
    features[:, 1] = 1.0
    parameters = torch.tensor([0.4 / 0.6], dtype=torch.float64).log()
    true = automatic(process, features, parameters).item()
    rows = []
    for chance in (0.4, 0.3, 0.2, 0.1, 0.0):
        behaviour = torch.tensor([1.0 - chance, chance], dtype=torch.float64).expand(2, 2)
        states = discounted_occupancy(process, behaviour)
        rows.append((chance, gradient(process, features, parameters, states).item(), true))
    names = ("off-policy gradient", "true one")
    table = Table(
        "one parameter for two states, π(1) = 0.4",
        ("μ(1)", *names),
        tuple(rows),
        Picture("μ(1)", names),
    )
    return table, (
        Statement("shared: uphill for every μ", all(row[1] * row[2] > 0 for row in rows), expected=False),
    )
