"""Quantiles of weighted ratios in C against torch, on every instruction set."""

from __future__ import annotations

import pytest
import torch

from rlcli.kernels import distributions, health
from rlcli.kernels.learn import CATEGORICAL, ActionKind
from rlcli.maths import health as reference
from rlcli.maths.distributions import Categorical
from tests.kernels.instruction_sets import same_on_each


@pytest.mark.parametrize("samples", [1, 7, 8, 127, 128, 257])
def test_weighted_quantiles_are_those_of_torch(samples):
    draw = torch.Generator().manual_seed(samples)
    mu, pi = torch.randn(2, 1, samples, 2, generator=draw)
    actions = torch.randint(2, (1, samples), generator=draw)
    weights = torch.rand(1, samples, generator=draw).double() + 0.1

    def quantiles() -> list[torch.Tensor]:
        read = (
            distributions.read(ActionKind(CATEGORICAL, (2,)), each, torch.empty(1, 1, 0), actions)
            for each in (mu, pi)
        )
        found = health.health(*read, weights, torch.zeros(1, samples), None)
        return [found[f"ratio_{name}"] for name in reference.QUANTILES]

    exact = Categorical(mu.double()), Categorical(pi.double())
    log_ratio = exact[1].log_prob(actions) - exact[0].log_prob(actions)
    wanted = reference.health(*exact, log_ratio, weights)
    for name, found in zip(reference.QUANTILES, same_on_each(quantiles), strict=True):
        torch.testing.assert_close(found, wanted[f"ratio_{name}"], rtol=1e-12, atol=0.0)
