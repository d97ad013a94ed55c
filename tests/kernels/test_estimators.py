"""Estimators in C against those in torch, on every instruction set, alone and stacked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rlcli.kernels.estimators import TARGETS, discounted_returns
from rlcli.learner import table
from rlcli.learner.batch import Transitions
from rlcli.maths import estimators
from tests.kernels.instruction_sets import same_bits, same_on_each

SHAPES = [(128, 1, 8), (17, 5, 3), (1, 2, 4), (9, 1, 1), (1, 1, 1), (6, 40, 9), (40, 3, 1)]
NAMES = [(name, steps) for name in TARGETS for steps in ((1, 4, 1000) if name == "nstep" else (1,))]
SURROGATES = [(name, "clipped", steps) for name, steps in NAMES] + [("vtrace", "score", 1)]
# exp of ours and that of torch differ in the last bit; all else is the same chain of operations.
EXACT = {"vtrace": {"rtol": 1e-5, "atol": 1e-5}}


def transitions(steps: int, runs: int, envs: int, ends: float = 0.2, seed: int = 0) -> Transitions:
    draw = torch.Generator().manual_seed(seed)
    rewards, values, next_values, log_rhos = torch.randn(4, steps, runs, envs, generator=draw)
    terminated = torch.rand(steps, runs, envs, generator=draw) < ends
    truncated = torch.rand(steps, runs, envs, generator=draw) < ends
    return Transitions(3.0 * rewards, values, next_values, terminated, truncated, 0.5 * log_rhos, values)


def numbers(runs: int, dtype: torch.dtype = torch.float32) -> SimpleNamespace:
    """Hyperparameters that differ between runs."""
    between = {"gamma": (0.99, 0.7), "gae_lambda": (0.95, 0.5), "rho_bar": (1.0, 1.4), "c_bar": (1.2, 0.8)}
    return SimpleNamespace(
        **{name: torch.linspace(*ends, runs).unsqueeze(1).to(dtype) for name, ends in between.items()}
    )


def choices(n_step: int = 4, surrogate: str = "clipped") -> SimpleNamespace:
    return SimpleNamespace(n_step=n_step, surrogate=surrogate, rho_bar_pg=None, vtrace_bootstrap="v")


@pytest.mark.broken_by(
    "kernels: caps of the ratio and of the trace swapped",
    "kernels/estimators.py",
    "hyper.rho_bar, hyper.c_bar",
    "hyper.c_bar, hyper.rho_bar",
    case="0.2-vtrace-clipped-1-17-5-3",
)
@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
@pytest.mark.parametrize(("name", "surrogate", "n_step"), SURROGATES)
@pytest.mark.parametrize("ends", [0.0, 0.2, 1.0])
def test_estimates_are_those_of_torch(name, surrogate, n_step, steps, runs, envs, ends):
    given, algo = transitions(steps, runs, envs, ends), choices(n_step, surrogate)
    found = same_on_each(lambda: TARGETS[name](algo, numbers(runs), given))
    wanted = table.TARGETS[name](algo, numbers(runs), given)  # type: ignore[arg-type]
    exactly = Transitions(*(part.double() if part.is_floating_point() else part for part in given))
    for mine, single, double in zip(
        found, wanted, table.TARGETS[name](algo, numbers(runs, torch.float64), exactly), strict=True
    ):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, single, **EXACT.get(name, {"rtol": 1e-6, "atol": 1e-6}))
        torch.testing.assert_close(mine.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "n_step"), NAMES)
def test_a_run_has_the_same_estimates_alone(name, n_step):
    given, hyper = transitions(33, 5, 3), numbers(5)
    stacked = TARGETS[name](choices(n_step), hyper, given)
    for row in range(5):
        alone = Transitions(*(part[:, row : row + 1] for part in given))
        own = SimpleNamespace(**{key: value[row : row + 1] for key, value in vars(hyper).items()})
        for one, all_of_them in zip(TARGETS[name](choices(n_step), own, alone), stacked, strict=True):
            assert same_bits(one, all_of_them[:, row : row + 1])


@pytest.mark.parametrize(("name", "n_step"), NAMES)
@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_what_is_not_finite_spreads_as_in_torch(name, n_step, odd):
    for field in ("rewards", "values", "next_values", "log_rhos"):
        given = transitions(12, 2, 3)
        getattr(given, field)[5, 1, 2] = odd
        found = same_on_each(lambda given=given: TARGETS[name](choices(n_step), numbers(2), given))
        wanted = table.TARGETS[name](choices(n_step), numbers(2), given)  # type: ignore[arg-type]
        for mine, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5, equal_nan=True)


def test_values_beyond_a_termination_are_not_read():
    given = transitions(9, 1, 4, ends=0.0)
    given.terminated[3] = True
    given.next_values[3] = torch.nan
    for name in TARGETS:
        for found in TARGETS[name](choices(), numbers(1), given):
            assert found.isfinite().all(), name


@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
def test_discounted_returns_are_those_of_torch(steps, runs, envs):
    given = transitions(steps, runs, envs)
    carried, gamma = torch.randn(runs, envs, dtype=torch.float64), numbers(runs, torch.float64).gamma
    before = carried.clone()
    arguments = given.rewards.double(), given.terminated, gamma, carried
    found = same_on_each(lambda: discounted_returns(*arguments))
    assert torch.equal(carried, before)
    for mine, theirs in zip(found, estimators.discounted_returns(*arguments), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-14, atol=1e-14)


def test_arguments_of_another_kind_are_refused():
    given = transitions(4, 2, 3)
    with pytest.raises(ValueError, match=r"values: expected .* \[4, 2, 3\], got .* \[4, 2, 2\]"):
        TARGETS["gae"](choices(), numbers(2), given._replace(values=given.values[..., :2]))
    with pytest.raises(ValueError, match=r"rewards: expected .*float32.* got .*float64"):
        TARGETS["gae"](choices(), numbers(2), given._replace(rewards=given.rewards.double()))
    with pytest.raises(ValueError, match="hyperparameter"):
        TARGETS["gae"](choices(), numbers(3), given)
    with pytest.raises(ValueError, match="n_step: expected 1 or more, got 0"):
        TARGETS["nstep"](choices(0), numbers(2), given)
