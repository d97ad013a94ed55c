"""Networks, matrices and steps that the tests of the natural step share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlcli.maths.distributions import Categorical, CategoricalFamily, DiagonalGaussian, GaussianFamily
from rlcli.maths.gaussians import StateGaussian, StateGaussianFamily
from rlcli.maths.natural import fisher_vector_product
from rlcli.nets.network import ACTOR, ALL, Heads
from tests.nets.mlps import mlp, parameters_of

SHAPES = [(4, (), 2), (4, (5,), 3), (1, (1,), 1), (3, (6, 4), 2), (4, (5, 1, 3), 1), (2, (1, 1), 3)]
FAMILIES = [CategoricalFamily, GaussianFamily, StateGaussianFamily]


def draw(policy: Categorical | DiagonalGaussian | StateGaussian) -> Tensor:
    """One action a state, [R, B] or [R, B, A]."""
    if isinstance(policy, Categorical):
        return torch.multinomial(policy.probs.flatten(0, 1), 1).view(policy.probs.shape[:2])
    return policy.mean + policy.log_std.exp() * torch.randn_like(policy.mean)


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def setting(family, shape, activation="tanh", shared=False, runs=2, rows=7):
    """A network with its family, parameters [R, P] and inputs [R, B, I] in float64."""
    inputs, hidden, outputs = shape
    kind = family(outputs)
    network = mlp(inputs, hidden, kind.output_width, kind.free_width, activation, shared)
    return network, kind, parameters_of(network, runs), torch.randn(runs, rows, inputs, dtype=torch.float64)


def policy_of(network, kind, parameters, x):
    """The policy at `parameters`; differentiable."""
    heads = network.heads(parameters, x, part=ACTOR)
    return kind.distribution(heads.output, heads.free)


def fisher_of(network, kind, parameters, x, part=ALL):
    """The Fisher-vector product at `parameters`, as an update makes it of the actor's."""
    linear = network.linearise(parameters, x, part=part, repeatedly=True)
    heads = linear.heads

    def vjp(by_output: Tensor, by_free: Tensor) -> Tensor:
        return linear.vjp(Heads(by_output, by_free, torch.zeros_like(heads.value)))

    return fisher_vector_product(
        kind.distribution(heads.output, heads.free), lambda tangent: linear.jvp(tangent)[:2], vjp
    )


def explicit_fisher(network, kind, parameters, x) -> Tensor:
    """mean over states of E_a[∇ log π ∇ log πᵀ], [R, P, P], from gradients of one log-probability at a time.

    For a Gaussian the expectation over actions is that of a quadrature rule exact for these polynomials.
    """
    runs, count = parameters.shape
    total = torch.zeros(runs, count, count, dtype=torch.float64)
    nodes = torch.tensor([-math.sqrt(3.0), 0.0, math.sqrt(3.0)], dtype=torch.float64)
    chances = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
    for r in range(runs):
        at = parameters[r : r + 1].clone().requires_grad_()
        for b in range(x.shape[1]):
            policy = policy_of(network, kind, at, x[r : r + 1, b : b + 1])
            if isinstance(policy, Categorical):
                events = [(torch.tensor([[a]]), p) for a, p in enumerate(policy.probs[0, 0].tolist())]
            else:
                grid = torch.cartesian_prod(*[torch.arange(3)] * kind.width).view(-1, kind.width)
                spread = policy.log_std.exp().detach()
                mean = policy.mean.detach()
                events = [(mean + spread * nodes[row], chances[row].prod().item()) for row in grid]
            for action, chance in events:
                (score,) = torch.autograd.grad(policy.log_prob(action).sum(), at, retain_graph=True)
                total[r] += chance * score[0].outer(score[0]) / x.shape[1]
    return total


def positive_matrices(runs: int, size: int, spread: float = 2.0) -> Tensor:
    """Symmetric matrices with eigenvalues from 10^-spread to 1."""
    basis, _ = torch.linalg.qr(torch.randn(runs, size, size, dtype=torch.float64))
    eigenvalues = torch.logspace(-spread, 0.0, size, dtype=torch.float64)
    return (basis * eigenvalues) @ basis.mT


def times(matrices: Tensor):
    """Multiplication without a batched product, whose bits may depend on the number of runs."""
    return lambda tangent: (matrices * tangent.unsqueeze(1)).sum(-1)


def policy_gradient(network, kind, parameters, x, actions, advantages):
    linear = network.linearise(parameters, x)
    heads = linear.heads
    policy = kind.distribution(heads.output, heads.free)
    by_output, by_free = policy.pullback(actions, advantages / x.shape[1], None)
    return linear.vjp(Heads(by_output, by_free, torch.zeros_like(heads.value)))
