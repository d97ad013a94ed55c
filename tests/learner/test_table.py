"""Slopes of the table's surrogates against automatic ones; a surrogate that returns values alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.run import RunConfig
from rlcli.learner.hyperparameters import Hyperparameters, hyperparameters
from rlcli.learner.table import SURROGATES, with_slope
from rlcli.maths.differentiate import derivative, outside
from rlcli.maths.surrogates import Objective


def hyper() -> Hyperparameters:
    """Of two runs whose clip ranges differ."""
    configs = [RunConfig(algo=AlgoConfig(clip=clip)) for clip in (0.1, 0.3)]
    return hyperparameters(configs, [0, 0], "cpu")


def samples() -> tuple[Tensor, Tensor, Tensor]:
    """log pi, log anchor and advantages [R, B]; ratios within the clip range and far outside."""
    log_prob, advantages = torch.randn(2, 2, 200, dtype=torch.float64)
    return log_prob, log_prob + 0.3 * torch.randn(2, 200, dtype=torch.float64), advantages


def values_alone(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, _: Hyperparameters) -> Tensor:
    """The value of the ratio surrogate, its slope left out."""
    return (log_prob - log_anchor).exp() * advantages


def clipped_values(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, at: Hyperparameters) -> Tensor:
    """The value of the clipped surrogate by its definition, which reads a hyperparameter."""
    ratio = (log_prob - log_anchor).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - at.clip, 1.0 + at.clip) * advantages)


@pytest.mark.broken_by(
    "the ratio's slope without its ratio",
    "maths/surrogates.py",
    "return Objective(weighted, weighted)",
    "return Objective(weighted, advantages)",
    case="-ratio",
)
@pytest.mark.broken_by(
    "the score's slope of the wrong sign",
    "maths/surrogates.py",
    "Objective(times(log_prob, advantages), advantages)",
    "Objective(times(log_prob, advantages), -advantages)",
    case="-score",
)
@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_every_slope_is_the_derivative_by_log_pi(inference, name):
    with torch.inference_mode(inference):
        log_prob, log_anchor, advantages = samples()
        at = hyper()
        found = with_slope(SURROGATES[name])(log_prob, log_anchor, advantages, at)
        given = outside(log_anchor), outside(advantages), at.map(outside)
        wanted = derivative(lambda moving: value_of(SURROGATES[name](moving, *given)), log_prob)
        torch.testing.assert_close(found.slope, wanted, rtol=1e-12, atol=1e-14)
        assert (wanted != 0.0).any()
        assert name != "clipped" or (wanted == 0.0).any()


def value_of(found: Objective | Tensor) -> Tensor:
    """The values of what a formula returns."""
    return found.value if isinstance(found, Objective) else found


@pytest.mark.broken_by(
    "an automatic slope at the anchor instead of the policy",
    "learner/table.py",
    "derivative(values, log_prob)",
    "derivative(values, log_anchor)",
)
@pytest.mark.parametrize(("name", "formula"), [("ratio", values_alone), ("clipped", clipped_values)])
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_a_surrogate_of_values_alone_has_an_automatic_slope(inference, name, formula):
    with torch.inference_mode(inference):
        given = *samples(), hyper()
        found, wanted = with_slope(formula)(*given), with_slope(SURROGATES[name])(*given)
        assert isinstance(found, Objective)
        torch.testing.assert_close(found.value, wanted.value, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found.slope, wanted.slope, rtol=1e-6, atol=1e-8)
        assert not found.slope.requires_grad
