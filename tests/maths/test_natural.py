"""The natural step: its closed form, its length, and whole updates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rlcli.maths.distributions import CategoricalFamily
from rlcli.maths.estimators import whiten
from rlcli.maths.natural import (
    Outcome,
    Proposal,
    conjugate_gradient,
    line_search,
    natural_step,
)
from rlcli.nets.stacked.activations import ACTIVATIONS
from tests.maths.networks import (
    FAMILIES,
    column,
    draw,
    fisher_of,
    policy_gradient,
    policy_of,
    positive_matrices,
    setting,
    times,
)


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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_the_scale_of_advantages_is_of_no_consequence(family, factor):
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), runs=3, rows=20)
    actions = draw(policy_of(network, kind, parameters, x))
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


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_of_an_update_stay_in_the_region_and_gain_what_was_predicted(family):
    """Small steps: KL and gain are near what the quadratic model and the gradient say."""
    torch.manual_seed(1)
    network, kind, parameters, x = setting(family, (3, (6, 4), 3), runs=2, rows=60)
    anchor = policy_of(network, kind, parameters, x)
    actions = draw(anchor)
    advantages = torch.randn(2, 60, dtype=torch.float64)
    gradient = policy_gradient(network, kind, parameters, x, actions, advantages)
    delta, damping = column(1e-5, 1e-7), column(1e-2, 1e-2)
    fisher = fisher_of(network, kind, parameters, x)
    found = natural_step(gradient, fisher, delta, damping, 60, torch.full((2, 1), 1e-9))

    def evaluate(at: Tensor) -> tuple[Tensor, Tensor]:
        policy = policy_of(network, kind, at, x)
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
        linear = network.linearise(at, rows_of)
        found = natural_step(
            gradient[members].clone(), fisher, delta[members], damping[members], 6, tolerance[members]
        )
        anchor = kind.distribution(linear.heads.output, linear.heads.free)

        def evaluate(candidate: Tensor) -> tuple[Tensor, Tensor]:
            kl = anchor.kl(policy_of(network, kind, candidate, rows_of)).mean(-1)
            return kl, torch.ones_like(kl)

        kept = line_search(at, found, evaluate, delta[members], torch.full_like(delta[members], 0.8), 10)
        return [*linear.jvp(tangent[members].clone())[:3], *found, *kept]

    whole = everything([0, 1, 2, 3])
    for members in ([0], [3], [1, 2]):
        for number, (part, of_all) in enumerate(zip(everything(members), whole, strict=True)):
            assert torch.equal(part, of_all[members]), (number, rows, members)
