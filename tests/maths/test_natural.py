"""The natural step: Fisher products against explicit matrices, CG against `solve`, the line search."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import Categorical, CategoricalFamily, DiagonalGaussian, GaussianFamily
from rlcli.maths.estimators import whiten
from rlcli.maths.natural import (
    Outcome,
    Proposal,
    conjugate_gradient,
    fisher_vector_product,
    line_search,
    natural_step,
)
from rlcli.nets.activations import ACTIVATIONS
from rlcli.nets.mlp import MLP, Heads

SHAPES = [(4, (), 2), (4, (5,), 3), (1, (1,), 1), (3, (6, 4), 2), (4, (5, 1, 3), 1), (2, (1, 1), 3)]
FAMILIES = [CategoricalFamily, GaussianFamily]


def draw(policy: Categorical | DiagonalGaussian) -> Tensor:
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
    network = MLP(inputs, hidden, kind.output_width, kind.free_width, activation, shared)
    parameters = 0.7 * torch.randn(runs, sum(network.sizes), dtype=torch.float64)
    return network, kind, parameters, torch.randn(runs, rows, inputs, dtype=torch.float64)


def fisher_of(network, kind, parameters, x):
    """The Fisher-vector product at `parameters`, as an update makes it."""
    heads, tape = network.forward(network.unflatten(parameters), x)
    prepared = network.prepared(tape)

    def vjp(by_output: Tensor, by_free: Tensor) -> Tensor:
        return network.backward(prepared, Heads(by_output, by_free, torch.zeros_like(heads.value)))

    return fisher_vector_product(
        kind.distribution(heads.output, heads.free), lambda tangent: network.jvp(prepared, tangent)[:2], vjp
    )


# The tangent of the network


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_jvp_is_the_derivative_along_the_tangent(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    tangent = torch.randn_like(parameters)

    def heads(at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return *network.policy(at, x), network.value(at, x)

    _, wanted = torch.autograd.functional.jvp(heads, parameters, tangent)
    _, tape = network.forward(network.unflatten(parameters), x)
    for found, exact in zip(network.jvp(tape, tangent), wanted, strict=True):
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jvp_and_backward_are_transposes(activation, shared):
    network, _, parameters, x = setting(GaussianFamily, (3, (6, 4), 2), activation, shared)
    heads, tape = network.forward(network.unflatten(parameters), x)
    tangent, by = torch.randn_like(parameters), Heads(*(torch.randn_like(part) for part in heads))
    given = [part.clone() for part in (tangent, *by)]
    pushed = sum((a * b).flatten(1).sum(-1) for a, b in zip(network.jvp(tape, tangent), by, strict=True))
    torch.testing.assert_close(pushed, (network.backward(tape, by) * tangent).sum(-1))
    assert all(torch.equal(*pair) for pair in zip((tangent, *by), given, strict=True))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_prepared_tape_gives_the_same_passes_again_and_again(shape, activation, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, activation, shared)
    heads, tape = network.forward(network.unflatten(parameters), x)
    prepared = network.prepared(tape)
    found, wanted = [], []
    for _ in range(2):
        tangent, by = torch.randn_like(parameters), Heads(*(torch.randn_like(part) for part in heads))
        found += [*network.jvp(prepared, tangent), network.backward(prepared, by)]
        wanted += [*network.jvp(tape, tangent), network.backward(tape, by)]
    for part, same in zip(found, wanted, strict=True):
        torch.testing.assert_close(part, same, rtol=1e-12, atol=1e-14)


# Fisher


def test_fisher_of_one_state_is_the_covariance_of_the_score():
    logits = torch.randn(1, 1, 4, dtype=torch.float64)
    policy = Categorical(logits)
    scores = torch.eye(4, dtype=torch.float64) - policy.probs[0, 0]
    matrix = (policy.probs[0, 0].unsqueeze(1) * scores).T @ scores
    for j, unit in enumerate(torch.eye(4, dtype=torch.float64)):
        found, _ = policy.fisher(unit.view(1, 1, 4), torch.empty(1, 1, 0, dtype=torch.float64))
        torch.testing.assert_close(found[0, 0], matrix[j])


def test_fisher_of_a_gaussian_in_three_parametrisations():
    deviation = 0.3
    policy = DiagonalGaussian(
        torch.zeros(1, 1, 1).double(), torch.full((1, 1, 1), math.log(deviation)).double()
    )
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    by_mean, by_log_std = policy.fisher(one, one)
    assert by_mean.item() == pytest.approx(1 / deviation**2)
    assert by_log_std.item() == pytest.approx(2.0)
    # Of the deviation itself: 2/σ², by the chain rule.
    assert policy.fisher(one, one / deviation)[1].item() / deviation == pytest.approx(2 / deviation**2)


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
            policy = kind.distribution(*network.policy(at, x[r : r + 1, b : b + 1]))
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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(4, (), 2), (3, (5, 4), 2), (1, (1,), 1)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_fisher_product_is_the_explicit_matrix(shape, family, shared):
    network, kind, parameters, x = setting(family, shape, shared=shared, rows=3)
    tangent = torch.randn_like(parameters)
    wanted = (explicit_fisher(network, kind, parameters, x) @ tangent.unsqueeze(-1)).squeeze(-1)
    found = fisher_of(network, kind, parameters, x)(tangent)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    assert found.abs().max() > 1e-3 or kind == CategoricalFamily(1)


@pytest.mark.parametrize("direction", ["anchor_pi", "pi_anchor"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fisher_product_is_the_hessian_of_either_kl(activation, family, direction):
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), activation)
    anchor = kind.distribution(*network.policy(parameters, x))
    at = parameters.clone().requires_grad_()
    policy = kind.distribution(*network.policy(at, x))
    kl = anchor.kl(policy) if direction == "anchor_pi" else policy.kl(anchor)
    (slope,) = torch.autograd.grad(kl.mean(-1).sum(), at, create_graph=True)
    tangent = torch.randn_like(parameters)
    (wanted,) = torch.autograd.grad((slope * tangent).sum(), at)
    found = fisher_of(network, kind, parameters, x)(tangent)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


def test_the_critic_is_no_part_of_the_fisher_matrix():
    network, kind, parameters, x = setting(CategoricalFamily, (3, (6, 4), 2))
    moved = network.unflatten(fisher_of(network, kind, parameters, x)(torch.randn_like(parameters)))
    assert (moved["value.weight"] == 0).all()
    assert (moved["trunk.0.weight"][:, 1] == 0).all()
    assert (moved["trunk.0.weight"][:, 0] != 0).any()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_actor_alone_has_the_same_policy_and_fisher_matrix(shape, family, shared):
    network, kind, parameters, x = setting(family, shape, shared=shared)
    columns = network.actor_columns
    own = parameters[:, columns]
    for part, of_all in zip(network.actor.policy(own, x), network.policy(parameters, x), strict=True):
        assert torch.equal(part, of_all)
    tangent = torch.randn_like(parameters)
    whole = fisher_of(network, kind, parameters, x)(tangent)
    alone = torch.zeros_like(whole)
    alone[:, columns] = fisher_of(network.actor, kind, own, x)(tangent[:, columns])
    torch.testing.assert_close(alone, whole, rtol=1e-12, atol=1e-14)
    assert len(columns) == len(columns.unique()) == sum(network.actor.sizes)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_critic_alone_has_the_same_values_and_slopes(shape, shared):
    network, _, parameters, x = setting(GaussianFamily, shape, shared=shared)
    columns = network.critic_columns
    own = parameters[:, columns]
    heads, tape = network.forward(network.unflatten(parameters), x)
    alone, tape_alone = network.critic.forward(network.critic.unflatten(own), x)
    assert torch.equal(alone.value, heads.value)
    assert torch.equal(network.critic.value(own, x), heads.value)
    by_value = torch.randn_like(heads.value)
    nothing = heads._replace(output=torch.zeros_like(heads.output), free=torch.zeros_like(heads.free))
    whole = network.backward(tape, nothing._replace(value=by_value))
    found = torch.zeros_like(whole)
    found[:, columns] = network.critic.backward(tape_alone, alone._replace(value=by_value))
    torch.testing.assert_close(found, whole, rtol=1e-12, atol=1e-14)
    assert len(columns) == len(columns.unique()) == sum(network.critic.sizes)


# Conjugate gradients


def positive_matrices(runs: int, size: int, spread: float = 2.0) -> Tensor:
    """Symmetric matrices with eigenvalues from 10^-spread to 1."""
    basis, _ = torch.linalg.qr(torch.randn(runs, size, size, dtype=torch.float64))
    eigenvalues = torch.logspace(-spread, 0.0, size, dtype=torch.float64)
    return (basis * eigenvalues) @ basis.mT


def times(matrices: Tensor):
    """Multiplication without a batched product, whose bits may depend on the number of runs."""
    return lambda tangent: (matrices * tangent.unsqueeze(1)).sum(-1)


def test_conjugate_gradients_solve_the_system():
    matrices, b = positive_matrices(4, 12), torch.randn(4, 12, dtype=torch.float64)
    found = conjugate_gradient(times(matrices), b, 40, torch.full((4, 1), 1e-12))
    torch.testing.assert_close(found.x, torch.linalg.solve(matrices, b), rtol=1e-8, atol=1e-8)


def test_each_iteration_is_the_best_in_its_krylov_space():
    matrices, b = positive_matrices(3, 10), torch.randn(3, 10, dtype=torch.float64)
    for count in (1, 3, 6):
        powers = [b]
        for _ in range(count - 1):
            powers.append(times(matrices)(powers[-1]))
        basis, _ = torch.linalg.qr(torch.stack(powers, -1))
        inner = torch.linalg.solve(basis.mT @ matrices @ basis, basis.mT @ b.unsqueeze(-1))
        found = conjugate_gradient(times(matrices), b, count, torch.zeros(3, 1))
        torch.testing.assert_close(found.x, (basis @ inner).squeeze(-1), rtol=1e-7, atol=1e-9)
        assert found.iterations.tolist() == [count] * 3


def test_a_run_stops_at_its_own_tolerance_and_stays_there():
    matrix, b = (
        positive_matrices(1, 12).expand(3, -1, -1),
        torch.randn(1, 12, dtype=torch.float64).expand(3, -1),
    )
    tolerance = column(1e-1, 1e-4, 0.5)
    found = conjugate_gradient(times(matrix), b, 40, tolerance)
    residual = (b - times(matrix)(found.x)).norm(dim=-1) / b.norm(dim=-1)
    assert (residual <= tolerance.squeeze(-1) * (1 + 1e-6)).all()
    loose, tight, loosest = found.iterations.tolist()
    assert 0 < loosest < loose < tight < 40
    for run, count in enumerate(found.iterations.tolist()):
        stopped = conjugate_gradient(times(matrix), b, count, torch.zeros(3, 1))
        assert torch.equal(stopped.x[run], found.x[run])
        earlier = conjugate_gradient(times(matrix), b, count - 1, torch.zeros(3, 1)).x[run]
        assert (b[run] - times(matrix)(earlier[None])[0]).norm() > tolerance[run] * b[run].norm()


def test_no_product_is_computed_for_runs_that_are_all_done():
    matrices, products = positive_matrices(2, 12), []

    def counted(tangent: Tensor) -> Tensor:
        products.append(tangent)
        return times(matrices)(tangent)

    b = torch.randn(2, 12, dtype=torch.float64)
    b[1] = 0.0
    found = conjugate_gradient(counted, b, 40, column(1e-3, 1e-3))
    assert 0 < found.iterations[0].item() == len(products) < 40
    assert found.iterations[1].item() == 0


def test_a_direction_without_curvature_ends_the_search_with_what_was_found():
    matrices = torch.diag_embed(torch.tensor([[1.0, 0.0], [1.0, -1.0], [-1.0, -1.0], [1.0, 2.0]])).double()
    b = torch.tensor([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5], [1.0, 0.5]]).double()
    found = conjugate_gradient(times(matrices), b, 10, torch.full((4, 1), 1e-10))
    assert found.x.isfinite().all()
    # Indefinite: the first direction's curvature is 0.75, the next one's is negative.
    assert found.iterations.tolist()[1:] == [1, 0, 2]
    torch.testing.assert_close(found.x[1], b[1] * (1.25 / 0.75))
    assert (found.x[2] == 0).all()
    torch.testing.assert_close(found.x[3], torch.tensor([1.0, 0.25]).double())


def test_nothing_that_is_not_finite_enters_the_solution():
    matrices, b = positive_matrices(3, 4), torch.randn(3, 4, dtype=torch.float64)
    b[0, 1], b[1, 2] = math.inf, math.nan
    found = conjugate_gradient(times(matrices), b, 5, torch.full((3, 1), 1e-10))
    assert (found.x[:2] == 0.0).all()
    assert (found.x[2] != 0.0).all()


# The step


def test_the_step_is_its_closed_form():
    matrices, gradient = positive_matrices(3, 8), torch.randn(3, 8, dtype=torch.float64)
    delta, damping = column(0.01, 0.5, 0.003), column(0.0, 0.1, 1.0)
    found = natural_step(gradient, times(matrices), delta, damping, 60, torch.full((3, 1), 1e-13))
    damped = matrices + damping.unsqueeze(-1) * torch.eye(8, dtype=torch.float64)
    direction = torch.linalg.solve(damped, gradient)
    # sᵀ A s = gᵀ A⁻¹ g
    length = (2 * delta / (gradient * direction).sum(-1, keepdim=True)).sqrt()
    torch.testing.assert_close(found.step, length * direction, rtol=1e-7, atol=1e-9)
    model = 0.5 * (found.step.unsqueeze(1) @ damped @ found.step.unsqueeze(-1)).flatten()
    torch.testing.assert_close(model, delta.squeeze(-1))
    torch.testing.assert_close(found.predicted_gain, (gradient * found.step).sum(-1))
    torch.testing.assert_close(
        found.predicted_gain, (2 * delta * (gradient * direction).sum(-1, keepdim=True)).sqrt()[:, 0]
    )
    assert (found.residual < 1e-10).all()
    torch.testing.assert_close(found.curvature, 2 * delta.squeeze(-1) / found.step.square().sum(-1))
    assert found.outcome.tolist() == [Outcome.STEPPED] * 3


def test_the_step_is_as_long_when_conjugate_gradients_stop_early():
    matrices, gradient = positive_matrices(2, 20, 3.0), torch.randn(2, 20, dtype=torch.float64)
    delta = column(0.01, 0.02)
    found = natural_step(gradient, times(matrices), delta, column(0.1, 0.1), 3, torch.zeros(2, 1))
    damped = times(matrices + 0.1 * torch.eye(20, dtype=torch.float64))(found.step)
    torch.testing.assert_close(0.5 * (found.step * damped).sum(-1), delta.squeeze(-1))
    # The residual is that of the direction, whose length the step changed: find it again.
    direction = conjugate_gradient(
        times(matrices + 0.1 * torch.eye(20).double()), gradient, 3, torch.zeros(2, 1)
    ).x
    left = gradient - times(matrices + 0.1 * torch.eye(20).double())(direction)
    torch.testing.assert_close(found.residual, left.norm(dim=-1) / gradient.norm(dim=-1))
    assert (found.residual > 1e-3).all()
    assert (found.predicted_gain > 0).all()


def test_the_euclidean_step_is_the_edge_of_a_ball():
    gradient, delta = torch.randn(3, 9, dtype=torch.float64), column(0.01, 0.5, 2.0)
    found = natural_step(gradient, lambda tangent: tangent, delta, torch.zeros(3, 1), 10, torch.zeros(3, 1))
    wanted = (2 * delta).sqrt() * gradient / gradient.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(found.step, wanted)
    torch.testing.assert_close(found.curvature, torch.ones(3).double())


def policy_gradient(network, kind, parameters, x, actions, advantages):
    heads, tape = network.forward(network.unflatten(parameters), x)
    policy = kind.distribution(heads.output, heads.free)
    by_output, by_free = policy.pullback(actions, advantages / x.shape[1], None)
    return network.backward(tape, Heads(by_output, by_free, torch.zeros_like(heads.value)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_the_scale_of_advantages_is_of_no_consequence(family, factor):
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), runs=3, rows=20)
    policy = kind.distribution(*network.policy(parameters, x))
    actions = draw(policy)
    advantages = torch.randn(3, 20, dtype=torch.float64)
    fisher = fisher_of(network, kind, parameters, x)

    def step(scaled: Tensor) -> Proposal:
        gradient = policy_gradient(network, kind, parameters, x, actions, scaled)
        return natural_step(
            gradient, fisher, column(0.01, 0.02, 0.05), column(0.1, 0.0, 1e-3), 10, torch.full((3, 1), 1e-8)
        )

    found, scaled = step(advantages), step(advantages * factor)
    assert torch.equal(found.step, scaled.step)
    assert torch.equal(found.predicted_gain * factor, scaled.predicted_gain)
    assert torch.equal(found.residual, scaled.residual)
    assert (found.step != 0).any(-1).all()


def test_two_parametrisations_of_a_deviation_reach_the_same_distribution_to_second_order():
    """Steps by (mean, σ) and by (mean, log σ), each natural in its own Fisher matrix."""
    deviation, slope = 0.7, torch.tensor([[0.3, -1.1]], dtype=torch.float64)
    chain = torch.tensor([[1.0, deviation]], dtype=torch.float64)
    of_log = torch.tensor([[deviation**-2, 2.0]], dtype=torch.float64)
    previous = None
    for delta in (1e-2, 1e-4, 1e-6):
        settings = (column(delta), column(0.0), 5, column(0.0))
        by_log = natural_step(slope * chain, lambda tangent: of_log * tangent, *settings).step[0]
        by_std = natural_step(slope, lambda tangent: of_log / chain**2 * tangent, *settings).step[0]
        torch.testing.assert_close(by_log[0], by_std[0])
        gap = abs(deviation * math.exp(by_log[1].item()) - deviation - by_std[1].item())
        moved = abs(by_std[1].item())
        assert 0 < gap < moved**2
        if previous is not None:
            assert gap == pytest.approx(previous / 100, rel=0.2)
        previous = gap


def test_nothing_to_follow_or_nothing_to_trust_gives_no_step_and_a_reason():
    matrices = positive_matrices(7, 4)
    matrices[2] *= -1.0
    matrices[3] *= 0.0
    matrices[4, 1, 2] = math.nan
    gradient = torch.randn(7, 4, dtype=torch.float64)
    gradient[1] = 0.0
    gradient[5, 0] = math.inf
    gradient[6, 3] = math.nan
    settings = (torch.full((7, 1), 0.01), torch.zeros(7, 1), 10, torch.full((7, 1), 1e-10))
    found = natural_step(gradient, times(matrices), *settings)
    assert [Outcome(code).name for code in found.outcome.tolist()] == [
        "STEPPED", "ZERO_GRADIENT", "NON_POSITIVE_CURVATURE", "NON_POSITIVE_CURVATURE",
        "NON_FINITE", "NON_FINITE", "NON_FINITE",
    ]  # fmt: skip
    assert (found.step[1:] == 0).all()
    assert (found.step[0] != 0).all()
    assert (found.predicted_gain[1:] == 0).all()
    assert found.residual[:4].isfinite().all()
    assert found.curvature[:4].isfinite().all()
    # The others' troubles are not felt by the run that has none.
    lone = natural_step(
        gradient[:1], times(matrices[:1]), settings[0][:1], settings[1][:1], 10, settings[3][:1]
    )
    assert torch.equal(lone.step, found.step[:1])


def test_equal_advantages_give_no_step():
    network, kind, parameters, x = setting(CategoricalFamily, (3, (6,), 2))
    advantages = whiten(torch.full((2, 7), 3.7, dtype=torch.float64))
    actions = torch.randint(2, (2, 7))
    gradient = policy_gradient(network, kind, parameters, x, actions, advantages)
    found = natural_step(
        gradient,
        fisher_of(network, kind, parameters, x),
        column(0.01, 0.01),
        column(0.1, 0.1),
        10,
        torch.zeros(2, 1),
    )
    assert found.outcome.tolist() == [Outcome.ZERO_GRADIENT] * 2
    assert (found.step == 0).all()
    kept = line_search(
        parameters, found, lambda _: (torch.zeros(2), torch.ones(2)), column(1.0, 1.0), column(0.5, 0.5), 5
    )
    assert torch.equal(kept.parameters, parameters)
    assert kept.outcome.tolist() == [Outcome.ZERO_GRADIENT] * 2


# The line search


def proposal(step: Tensor, outcome: list[int] | None = None) -> Proposal:
    nothing = torch.zeros(len(step), dtype=torch.float64)
    codes = torch.tensor(outcome or [Outcome.STEPPED] * len(step), dtype=torch.int64)
    return Proposal(step, nothing, nothing, nothing, torch.zeros_like(codes), codes)


def test_the_first_acceptable_candidate_is_taken():
    """KL is the squared distance; the gain of each run is a function of distance alone."""
    start = torch.randn(5, 3, dtype=torch.float64)
    step = torch.zeros_like(start)
    step[:, 0] = 1.0
    gains = [
        lambda d: d,  # always better
        lambda d: 0.3 - d,  # better only near the start
        lambda d: -d,  # never better
        lambda d: math.nan if d > 0.4 else d,  # undefined far away
        lambda d: d if 0.2 < d < 0.3 else -d,  # better at one candidate alone
    ]
    seen = []

    def evaluate(parameters: Tensor) -> tuple[Tensor, Tensor]:
        distance = (parameters - start)[:, 0]
        seen.append(distance.tolist())
        return distance**2, torch.tensor([gain(d) for gain, d in zip(gains, distance.tolist(), strict=True)])

    delta = column(0.25, 1.0, 1.0, 1.0, 1.0)
    found = line_search(start, proposal(step), evaluate, delta, torch.full((5, 1), 0.5), 4)
    assert found.candidate.tolist() == [1, 2, -1, 2, 2]
    assert found.scale.tolist() == [0.5, 0.25, 0.0, 0.25, 0.25]
    assert found.outcome.tolist() == [0, 0, Outcome.LINE_SEARCH_FAILED, 0, 0]
    torch.testing.assert_close(found.kl, torch.tensor([0.25, 0.0625, 0.0, 0.0625, 0.0625]).double())
    torch.testing.assert_close(found.gain, torch.tensor([0.5, 0.05, 0.0, 0.25, 0.25]).double())
    assert torch.equal(found.parameters[2], start[2])
    torch.testing.assert_close((found.parameters - start)[:, 0], found.scale)
    assert [row[0] for row in seen] == pytest.approx([1.0, 0.5, 0.25, 0.125])


def test_the_edge_of_the_region_belongs_to_it_and_no_gain_is_none():
    start, step = torch.zeros(2, 1, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    found = line_search(
        start,
        proposal(step),
        lambda at: (torch.full((2,), 0.5), torch.tensor([1e-30, 0.0])),
        column(0.5, 0.5),
        column(0.5, 0.5),
        3,
    )
    assert found.candidate.tolist() == [0, -1]


def test_gains_are_over_the_fixed_start():
    """Each candidate is better than the one before, none better than the start."""
    start, step = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    found = line_search(start, proposal(step), lambda at: (at[:, 0], -at[:, 0]), column(1.0), column(0.5), 20)
    assert found.outcome.tolist() == [Outcome.LINE_SEARCH_FAILED]
    assert found.parameters.item() == 0.0


def test_a_failed_search_restores_parameters_to_the_bit():
    start = torch.randn(3, 50) * 1e-3
    start[0, 0] = -0.0
    found = line_search(
        start,
        proposal(torch.randn(3, 50).double()),
        lambda at: (torch.ones(3), torch.ones(3)),
        column(0.5, 2.0, 0.5),
        column(0.8, 0.8, 0.8),
        10,
    )
    assert found.parameters.dtype == torch.float32
    assert torch.equal(found.parameters[[0, 2]].view(torch.int32), start[[0, 2]].view(torch.int32))
    assert (found.parameters[1] != start[1]).any()


def test_what_was_evaluated_is_what_is_kept():
    start, step = torch.randn(2, 9), 1e-4 * torch.randn(2, 9, dtype=torch.float64)
    seen = []

    def evaluate(parameters: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(parameters.clone())
        accept = torch.tensor([0.0, 1.0 if len(seen) < 3 else 0.0])
        return accept, torch.ones(2)

    found = line_search(start, proposal(step), evaluate, column(0.5, 0.5), column(0.8, 0.7), 10)
    assert len(seen) == 3
    assert torch.equal(found.parameters[0], seen[0][0])
    assert torch.equal(found.parameters[1], seen[2][1])
    torch.testing.assert_close(found.scale, torch.tensor([1.0, 0.49]).double())


def test_a_run_without_a_step_is_not_searched():
    start, step = torch.randn(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    calls = []
    found = line_search(
        start,
        proposal(step, [Outcome.NON_FINITE, Outcome.ZERO_GRADIENT]),
        lambda at: calls.append(at),
        column(1.0, 1.0),
        column(0.5, 0.5),
        5,
    )
    assert not calls
    assert found.outcome.tolist() == [Outcome.NON_FINITE, Outcome.ZERO_GRADIENT]
    assert found.candidate.tolist() == [-1, -1]
    assert torch.equal(found.parameters, start)


# All of it


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_of_an_update_stay_in_the_region_and_gain_what_was_predicted(family):
    """Small steps: KL and gain are near what the quadratic model and the gradient say."""
    torch.manual_seed(1)
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), runs=2, rows=60)
    anchor = kind.distribution(*network.policy(parameters, x))
    actions = draw(anchor)
    advantages = torch.randn(2, 60, dtype=torch.float64)
    gradient = policy_gradient(network, kind, parameters, x, actions, advantages)
    delta, damping = column(1e-5, 1e-7), column(1e-2, 1e-2)
    fisher = fisher_of(network, kind, parameters, x)
    found = natural_step(gradient, fisher, delta, damping, 60, torch.full((2, 1), 1e-9))

    def evaluate(at: Tensor) -> tuple[Tensor, Tensor]:
        policy = kind.distribution(*network.policy(at, x))
        ratio = (policy.log_prob(actions) - anchor.log_prob(actions)).exp()
        return anchor.kl(policy).mean(-1), ((ratio - 1.0) * advantages).mean(-1)

    kl, gain = evaluate(parameters + found.step)
    # Damping takes its share of δ; what is left is the KL.
    quadratic = 0.5 * (found.step * fisher(found.step)).sum(-1)
    assert (quadratic > 0.5 * delta.squeeze(-1)).all()
    torch.testing.assert_close(kl, quadratic, rtol=0.02, atol=0.0)
    torch.testing.assert_close(gain, found.predicted_gain, rtol=0.02, atol=0.0)
    kept = line_search(parameters, found, evaluate, delta, column(0.8, 0.8), 10)
    assert (kept.candidate >= 0).all()
    assert (kept.kl <= delta.squeeze(-1)).all()
    assert torch.equal(evaluate(kept.parameters)[0], kept.kl)


@pytest.mark.parametrize("rows", [1, 8, 33, 256])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "shape", [(4, (64, 64), 2), (1, (5,), 1), (3, (5, 1), 2), (17, (), 6), (4, (33,), 3)], ids=str
)
def test_runs_together_equal_each_alone(shape, activation, family, rows):
    network, kind, parameters, x = setting(family, shape, activation, runs=4, rows=rows)
    gradient, tangent = torch.randn(2, *parameters.shape, dtype=torch.float64)
    delta, damping, tolerance = (torch.rand(4, 1) * scale for scale in (0.05, 0.1, 1e-2))

    def everything(members: list[int]) -> list[Tensor]:
        at, rows_of = parameters[members].clone(), x[members].clone()
        fisher = fisher_of(network, kind, at, rows_of)
        heads, tape = network.forward(network.unflatten(at), rows_of)
        found = natural_step(
            gradient[members].clone(), fisher, delta[members], damping[members], 6, tolerance[members]
        )
        anchor = kind.distribution(heads.output, heads.free)

        def evaluate(candidate: Tensor) -> tuple[Tensor, Tensor]:
            kl = anchor.kl(kind.distribution(*network.policy(candidate, rows_of))).mean(-1)
            return kl, torch.ones_like(kl)

        kept = line_search(at, found, evaluate, delta[members], torch.full_like(delta[members], 0.8), 10)
        return [*network.jvp(tape, tangent[members].clone()), *found, *kept]

    whole = everything([0, 1, 2, 3])
    for members in ([0], [3], [1, 2]):
        for number, (part, of_all) in enumerate(zip(everything(members), whole, strict=True)):
            assert torch.equal(part, of_all[members]), (number, rows, members)
