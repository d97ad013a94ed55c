"""A surrogate formula entered in the table trains through the one update, without a slope of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rlcli.learner import table
from rlcli.learner.hyperparameters import Hyperparameters
from tests.learner.setting import hold, same, small, stage


def clipped_values(
    log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters
) -> Tensor:
    """min(ρ A, clip(ρ, 1-ε, 1+ε) A)."""
    ratio = (log_prob - log_anchor).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1.0 - hyper.clip, 1.0 + hyper.clip) * advantages)


@pytest.mark.broken_by(
    "an automatic slope that is the value",
    "learner/table.py",
    "return Objective(found, derivative(values, log_prob))",
    "return Objective(found, found)",
    case="0",
)
@pytest.mark.parametrize("lag", [0, 1])
def test_a_surrogate_that_gives_values_alone_trains(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """PPO's formula without its slope, entered in the table, comes to the parameters that PPO comes to."""
    config = replace(small(algo={"epochs": 4, "clip": 0.01, "learning_rate": 1e-2}), lag=lag)
    before = stage(config).after(lag)
    rollout = before.collect()
    written_out = before.learn(rollout)
    monkeypatch.setitem(table.SURROGATES, "clipped", clipped_values)
    automatic = before.learn(rollout)
    assert all(all(mask) for mask in hold(automatic).values())
    assert (automatic.figures["update/clip_active"] > 0.1).all()
    ours, theirs = (found.state.policy.parameters for found in (automatic, written_out))
    assert not same(ours, before.state.policy.parameters)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-5)
    gain = automatic.figures["update/gain_predicted"]
    torch.testing.assert_close(gain, written_out.figures["update/gain_predicted"], rtol=1e-4, atol=1e-7)
