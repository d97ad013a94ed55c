"""Rows that bound moves otherwise than by one clip: runs together, and divergences without a closed form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from rlcli.learner.mask import Mask
from rlcli.maths.distributions import Categorical, DiagonalGaussian
from rlcli.sweeps.preflight import CHECKS, divergence_is_closed
from tests.learner.setting import PROBES, ROWS, same, small, stage

FAR = {"epochs": 3, "learning_rate_schedule": "constant"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "spo": ("Pendulum-v1", ROWS["spo"]),
    "dppo": ("Pendulum-v1", ROWS["dppo"]),
    "total variation": ("CartPole-v1", ROWS["dppo"] | {"dppo_divergence": "tv"}),
    "cispo": ("Pendulum-v1", ROWS["cispo"]),
    "both clips": ("CartPole-v1", {"clip_high": 0.05, "clip_dual": 1.1}),
    "V-trace": (
        "CartPole-v1",
        {"targets": "vtrace", "surrogate": "score", "anchor": "behaviour", "rho_bar_pg": 2.0,
         "vtrace_bootstrap": "lambda_mix"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_runs_together_learn_as_each_alone(case: str) -> None:
    env, row = CASES[case]
    own = {"clip": (0.02, 0.1, 0.3)} if row.get("surrogate", "clipped") in ("clipped", "spo") else {}
    if row.get("surrogate") == "dppo":
        own = {"dppo_threshold": (1e-4, 1e-3, 1e-2)}
    configs = [
        small(
            env, seed=seed, lag=1,
            algo=row | FAR | {"learning_rate": rate} | {name: given[n] for name, given in own.items()},
        )
        for n, (seed, rate) in enumerate(((0, 0.02), (5, 0.01), (9, 0.003)))
    ]  # fmt: skip
    together = stage(*configs).after(3).state.policy.parameters
    for run, config in enumerate(configs):
        assert same(stage(replace(config)).after(3).state.policy.parameters[0], together[run])


@pytest.mark.parametrize(
    ("env", "divergence", "refused"),
    [
        ("CartPole-v1", "tv", False),
        ("Pendulum-v1", "kl", False),
        ("Pendulum-v1", "tv", True),
        (f"{PROBES}ProbeWandering-v0", "tv", True),
    ],
)
def test_a_total_variation_without_a_closed_form_is_refused(env: str, divergence: str, refused: bool) -> None:
    assert divergence_is_closed in CHECKS
    config = small(env, algo=ROWS["dppo"] | {"dppo_divergence": divergence})
    found = [fault.text for fault in divergence_is_closed(config, {})]
    assert len(found) == refused
    if refused:
        assert "algo.dppo_divergence=tv has no closed form for the " in found[0]
        assert found[0].endswith(f"actions of {env}; use algo.dppo_divergence=kl.")


def test_the_kl_compared_is_from_the_anchor_to_the_policy() -> None:
    anchor, policy = (DiagonalGaussian(torch.randn(1, 5, 2), torch.randn(1, 1, 2)) for _ in range(2))
    assert torch.equal(Mask(False).divergence(anchor, policy), anchor.kl(policy))
    one, other = (Categorical(torch.randn(1, 5, 3)) for _ in range(2))
    wanted = 0.5 * (one.probs - other.probs).abs().sum(-1)
    torch.testing.assert_close(Mask(True).divergence(one, other), wanted)
