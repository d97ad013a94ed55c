"""Divergences of policies that hardly differ, against fifty digits of decimal arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch

from rlcli.maths.distributions import Categorical, DiagonalGaussian
from rlcli.maths.factored import Bernoulli, MultiCategorical

SIZES = [10.0**power for power in (-12, -9, -6, -3, -1)]


def exactly(p: list[float], q: list[float]) -> float:
    """KL of two categoricals given by logits."""
    with localcontext() as digits:
        digits.prec = 50
        first, second = ([Decimal(x).exp() for x in logits] for logits in (p, q))
        pairs = [(a / sum(first), b / sum(second)) for a, b in zip(first, second, strict=True)]
        return float(sum(a * (a / b).ln() for a, b in pairs))


@pytest.mark.broken_by(
    "a divergence as a difference of large numbers",
    "maths/small_moves.py",
    "return changes(p, q, d) - p * d",
    "return -p * d",
)
@pytest.mark.parametrize("size", SIZES)
def test_small_divergences_have_digits(size):
    """To what the difference of two log-probabilities, good to 1e-16, leaves: 1e-16 / size."""
    p, move = [0.3, -0.2, 0.9], [0.7, -1.1, 0.2]
    q = [one + size * step for one, step in zip(p, move, strict=True)]
    first, second = (Categorical(torch.tensor(logits, dtype=torch.float64)) for logits in (p, q))
    tolerance = 1e-14 + 3e-15 / size
    assert first.kl(second).item() == pytest.approx(exactly(p, q), rel=tolerance, abs=0)
    assert second.kl(first).item() == pytest.approx(exactly(q, p), rel=tolerance, abs=0)
    together = first.divergences(second)
    assert together.forward.item() == pytest.approx(exactly(p, q), rel=tolerance, abs=0)
    assert together.backward.item() == pytest.approx(exactly(q, p), rel=tolerance, abs=0)
    both = (MultiCategorical(torch.tensor(x + x[:2], dtype=torch.float64), (3, 2)) for x in (p, q))
    wanted = exactly(p, q) + exactly(p[:2], q[:2])
    assert next(both).kl(next(both)).item() == pytest.approx(wanted, rel=tolerance, abs=0)


@pytest.mark.parametrize("size", SIZES)
def test_small_divergences_of_switches_have_digits(size):
    first, second = (Bernoulli(torch.tensor([x, -x], dtype=torch.float64)) for x in (0.4, 0.4 + size))
    wanted = 2 * exactly([0.4, 0.0], [0.4 + size, 0.0])
    assert first.kl(second).item() == pytest.approx(wanted, rel=1e-14 + 3e-15 / size, abs=0)


@pytest.mark.broken_by(
    "a widening Gaussian's divergence halved",
    "maths/distributions.py",
    "return (0.5 * (widening + distance * distance)).sum(-1)",
    "return (0.5 * (0.5 * widening + distance * distance)).sum(-1)",
)
@pytest.mark.parametrize("size", SIZES)
def test_small_divergences_of_gaussians_have_digits(size):
    """A deviation that alone moves by s costs s^2 - 2 s^3 / 3 + ..., a mean that alone moves s^2 / 2."""
    zero = torch.zeros(1, 1, dtype=torch.float64)
    start = DiagonalGaussian(zero, zero)
    wider = start.kl(DiagonalGaussian(zero, zero + size)).item()
    series = sum((-2.0) ** k * size**k / math.factorial(k) for k in range(2, 25)) / 2
    assert wider == pytest.approx(series, rel=1e-14 + 3e-16 / size, abs=0)
    assert start.kl(DiagonalGaussian(zero + size, zero)).item() == pytest.approx(size**2 / 2, rel=1e-12)


@pytest.mark.parametrize("far", [5.0, 50.0, 700.0, 5000.0])
def test_far_moves_are_what_they_were(far):
    first, second = (Categorical(torch.tensor([x, 0.0], dtype=torch.float64)) for x in (0.0, far))
    wanted = 0.5 * far - math.log(2) + math.log1p(math.exp(-far)) if far > 40 else exactly([0, 0], [far, 0])
    assert first.kl(second).item() == pytest.approx(wanted, rel=1e-12)
    backward = math.log(2) if far > 40 else exactly([far, 0], [0, 0])
    assert second.kl(first).item() == pytest.approx(backward, rel=1e-12)
    assert second.tv(first).item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("size", [1e-9, 0.3, 4.0, 900.0])
def test_divergences_taken_together_are_those_taken_apart(size):
    draw = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 3, 50, 6, dtype=torch.float64, generator=draw)
    two = one + size * two
    kinds = (
        lambda x: Categorical(x),
        lambda x: MultiCategorical(x, (4, 2)),
        lambda x: Bernoulli(x),
        lambda x: DiagonalGaussian(x, x[:, :1] / 100),
    )
    for kind in kinds:
        first, second = kind(one), kind(two)
        found = first.divergences(second)
        # Each direction has its own d; beyond small moves they are equal to rounding.
        scale = 1e-13 * (1.0 + size)
        torch.testing.assert_close(found.forward, first.kl(second), rtol=1e-7, atol=scale)
        torch.testing.assert_close(found.backward, second.kl(first), rtol=1e-7, atol=scale)
        tv = first.tv(second)
        assert (found.tv is None) is (tv is None)
        if tv is not None:
            torch.testing.assert_close(found.tv, tv, rtol=1e-12, atol=0)
