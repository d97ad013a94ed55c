"""The inequalities hold for every pair of policies, and are met where they should be."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.maths.bounds import bretagnolle_huber, pinsker
from rlcli.maths.distributions import Categorical, gaussian_tv
from rlcli.maths.health import health


@pytest.mark.parametrize("spread", [0.01, 0.3, 2.0, 8.0])
def test_they_hold_for_random_policies(spread):
    draw = torch.Generator().manual_seed(0)
    first, second = (
        Categorical(spread * torch.randn(1, 5000, 4, dtype=torch.float64, generator=draw)) for _ in range(2)
    )
    tv = first.tv(second)
    for kl in (first.kl(second), second.kl(first)):
        assert (tv <= pinsker(kl) + 1e-12).all()
        assert (tv <= bretagnolle_huber(kl) + 1e-12).all()
    bound = torch.minimum(pinsker(first.kl(second)), bretagnolle_huber(first.kl(second))).mean()
    figures = health(first, second, torch.zeros(1, 5000, dtype=torch.float64))
    assert figures["tv_bound"].item() == pytest.approx(bound.item())
    assert figures["tv"].item() == pytest.approx(tv.mean().item())
    assert figures["tv"] <= figures["tv_bound"]


def test_pinsker_is_nearly_met_by_two_nearly_even_coins():
    even, odd = (Categorical(torch.tensor([p, 1 - p], dtype=torch.float64).log()) for p in (0.5, 0.51))
    assert even.tv(odd).item() == pytest.approx(0.01)
    assert even.tv(odd).item() == pytest.approx(pinsker(even.kl(odd)).item(), rel=1e-3)


def test_values():
    assert pinsker(torch.tensor(0.5)).item() == pytest.approx(0.5)
    assert bretagnolle_huber(torch.tensor(0.5)).item() == pytest.approx(math.sqrt(1 - math.exp(-0.5)))
    assert bretagnolle_huber(torch.tensor(1e-12)).item() == pytest.approx(1e-6)
    assert bretagnolle_huber(torch.tensor(50.0)).item() <= 1.0


def test_gaussians_keep_both():
    distance = torch.linspace(0, 6, 100, dtype=torch.float64)
    kl = distance**2 / 2
    assert (gaussian_tv(distance) <= torch.minimum(pinsker(kl), bretagnolle_huber(kl))).all()


def moved(size: float, actions: int) -> tuple[Categorical, Categorical]:
    """Policies at 2000 states, even ones among them, and the same moved by about `size`."""
    draw = torch.Generator().manual_seed(actions)
    logits, move = (torch.randn(1, 2000, actions, dtype=torch.float64, generator=draw) for _ in range(2))
    logits[:, ::2] = 0.0
    return Categorical(logits), Categorical(logits + size * move)


@pytest.mark.broken_by(
    "total variation from rounded probabilities",
    "maths/small_moves.py",
    "return torch.where(d < 1.0, p * torch.expm1(d), q - p)",
    "return q - p",
)
@pytest.mark.broken_by(
    "a bound rounded inward",
    "maths/health.py",
    "most = kl if tv is None else kl + LOST * tv",
    "most = kl",
)
@pytest.mark.parametrize("actions", [2, 3, 18])
@pytest.mark.parametrize("size", [10.0**power for power in range(-18, 4, 3)])
def test_the_total_variation_never_exceeds_its_bound_however_small_the_move(size, actions):
    for first, second in (moved(size, actions), moved(size, actions)[::-1]):
        figures = health(first, second, torch.zeros(1, 2000, dtype=torch.float64))
        assert 0.0 <= figures["tv"].item() <= figures["tv_bound"].item()
        for state in range(0, 2000, 97):
            few = [Categorical(one.logits[:, state : state + 1]) for one in (first, second)]
            one = health(*few, torch.zeros(1, 1, dtype=torch.float64))
            assert one["tv"].item() <= one["tv_bound"].item()
