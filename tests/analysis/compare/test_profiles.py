"""Normalised scores and performance profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlcli.analysis.compare.profiles import normalised, observed_range, profile, scales_of_file
from rlcli.errors import UserError


@pytest.mark.broken_by(
    "runs at the score are above it",
    "analysis/compare/profiles.py",
    "sample[None, :] > taus[:, None]",
    "sample[None, :] >= taus[:, None]",
)
@pytest.mark.broken_by(
    "a profile weighs environments by runs",
    "analysis/compare/profiles.py",
    "np.mean([sample.mean(axis=axis) for sample in samples], axis=0)",
    "np.concatenate(samples, axis=axis).mean(axis=axis)",
)
def test_a_profile_is_the_share_of_runs_above_each_score() -> None:
    taus = np.array([0.0, 0.5, 1.0])
    found = profile([np.array([0.0, 0.5, 0.6, 1.0]), np.array([0.9, 0.2])], taus)
    assert found.fraction.tolist() == [(3 / 4 + 1) / 2, (2 / 4 + 1 / 2) / 2, 0]
    assert found.low is not None
    assert found.high is not None
    assert (found.low <= found.fraction).all()
    assert (found.fraction <= found.high).all()


def test_the_area_under_a_profile_is_the_mean() -> None:
    """Of scores in [0, 1]: the integral of P(X > tau) is E[X]."""
    samples = [np.random.default_rng(seed).uniform(size=9) for seed in range(3)]
    taus = np.linspace(0, 1, 20_001)
    found = profile([sample[:1] for sample in samples], taus)
    assert np.trapezoid(found.fraction, taus) == pytest.approx(
        np.mean([sample[0] for sample in samples]), abs=1e-4
    )
    assert found.low is None, "one run has no interval"


@pytest.mark.broken_by(
    "the worst is one where lower is better",
    "analysis/compare/profiles.py",
    "return (high, low) if lower_is_better else (low, high)",
    "return (low, high)",
)
def test_the_observed_range_is_of_all_groups() -> None:
    groups = [np.array([3.0, 5]), np.array([-1.0])]
    assert observed_range(groups) == (-1, 5)
    assert normalised(np.array([-1.0, 2, 5]), (-1, 5)).tolist() == [0, 0.5, 1]
    scale = observed_range(groups, lower_is_better=True)
    assert scale is not None
    assert normalised(np.array([-1.0, 5]), scale).tolist() == [1, 0]
    assert observed_range([np.ones(3), np.ones(1)]) is None


def test_scales_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scales.csv"
    path.write_text("env,low,high,source\nA-v1,0,500,x\nB-v0,-200,-100,y\n")
    assert scales_of_file(path, ["B-v0", "A-v1"]) == {"B-v0": (-200, -100), "A-v1": (0, 500)}
    with pytest.raises(UserError, match=r"A-v2.*Did you mean 'A-v1'"):
        scales_of_file(path, ["A-v2"])


@pytest.mark.parametrize(
    "text",
    ["", "env,low\nA-v1,1\n", "env,low,high\nA-v1,1,1\n", "env,low,high\nA-v1,0,nan\n",
     "env,low,high\nA-v1\n", "env,low,high\nA-v1,a,b\n", "\x00", "env,low,high\n" + "x" * 2**20, b"\xff\xfe"],
)  # fmt: skip
def test_a_file_without_scales_is_one_message(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "scales.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="--normalise"):
        scales_of_file(path, ["A-v1"])
