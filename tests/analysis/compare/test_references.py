"""Published figures: what ships, and what may stand beside runs of ours."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from rlcli.analysis.compare.profiles import PublishedScaling
from rlcli.analysis.compare.references import (
    KINDS,
    Figure,
    matched,
    names,
    read,
)
from rlcli.catalog.table import METRICS
from rlcli.errors import UserError


def figure(**changes: object) -> Figure:
    fields = {
        "env": "Hopper-v5", "algorithm": "ppo", "steps": 1000, "seeds": 3, "mean": 2.0, "spread": None,
        "spread_of": "", "kind": "train_end", "source": "a paper",
    }  # fmt: skip
    return Figure(**(fields | changes))  # type: ignore[arg-type]


def test_every_set_is_readable_and_has_sources() -> None:
    assert {"cleanrl", "sb3_zoo", "openai_baselines"} <= set(names())
    for name in names():
        figures = read(name)
        assert figures
        for one in figures:
            assert one.kind in KINDS
            assert one.source
            assert one.steps > 0
            assert one.seeds > 0
            assert math.isfinite(one.mean)
            assert (one.spread is None) == (one.spread_of == "")
            assert not re.search(r"[^\x20-\x7e]", one.source)
        keys = [(one.env, one.algorithm, one.steps, one.source) for one in figures]
        assert len(set(keys)) == len(keys)


def test_metrics_of_kinds_exist() -> None:
    assert {kind.metric for kind in KINDS.values()} - METRICS.keys() == {None}


def test_some_figures_as_they_were_published() -> None:
    """CleanRL, docs/benchmark/ppo.md; RL Baselines3 Zoo, benchmark.md."""
    [cleanrl] = [one for one in read("cleanrl") if one.env == "CartPole-v1"]
    assert (cleanrl.mean, cleanrl.spread, cleanrl.steps, cleanrl.seeds) == (490.04, 6.12, 500_000, 3)
    [zoo] = [one for one in read("sb3_zoo") if (one.env, one.algorithm) == ("Acrobot-v1", "a2c")]
    assert (zoo.mean, zoo.spread, zoo.spread_of) == (-83.353, 17.213, "std of episodes")


def test_equal_environment_budget_and_metric_are_comparable() -> None:
    found = matched([figure(), figure(steps=2000)], "x", "Hopper-v5", 1000, "train/return_100")
    assert found.figures == (figure(),)
    assert found.reason is None


@pytest.mark.broken_by(
    "any version of the environment",
    "analysis/compare/references.py",
    "one for one in figures if one.env == env]",
    "one for one in figures if base_and_version(one.env)[0] == base_and_version(env)[0]]",
)
def test_another_version_of_the_environment_is_not() -> None:
    found = matched(
        [figure(env="Hopper-v2"), figure(env="Hopper-v3")], "x", "Hopper-v5", 1000, "train/return_100"
    )
    assert found.figures == ()
    assert found.reason == "x has Hopper-v2, Hopper-v3, another version of Hopper-v5."
    assert matched([], "x", "Hopper-v5", 1000, "train/return_100").reason == "x has no figure of Hopper-v5."


@pytest.mark.broken_by(
    "any budget", "analysis/compare/references.py", "if one.steps == budget]", "if one.steps >= 0]"
)
def test_another_budget_is_not() -> None:
    figures = [figure(steps=2_000_000), figure(steps=1000)]
    reason = matched(figures, "x", "Hopper-v5", 10_000, "train/return_100").reason
    assert reason == "x has Hopper-v5 after 1,000 and 2,000,000 env steps; these runs have 10,000."


@pytest.mark.broken_by(
    "any metric",
    "analysis/compare/references.py",
    "if KINDS[one.kind].metric == metric)",
    "if KINDS[one.kind].metric != '')",
)
def test_another_metric_is_not() -> None:
    reason = matched([figure()], "x", "Hopper-v5", 1000, "eval/return_mean").reason
    assert (
        reason
        == "Of Hopper-v5, x has the mean return of training episodes at the end: --metric train/return_100."
    )
    reason = matched([figure(kind="unstated")], "x", "Hopper-v5", 1000, "eval/return_mean").reason
    assert reason == "Of Hopper-v5, x has a return that the source does not define, which no metric here is."


def test_a_mistyped_set_is_one_message() -> None:
    with pytest.raises(UserError, match="Did you mean 'cleanrl'"):
        read("cleanrll")


def test_a_scale_ends_at_the_highest_published_mean() -> None:
    of = PublishedScaling("cleanrl").scales
    finals = {"CartPole-v1": [np.array([20.0, 480])], "Nowhere-v0": [np.array([1.0])]}
    made = of(finals, "train/return_100", False)
    assert made == {"CartPole-v1": (20, 490.04), "Nowhere-v0": None}
    assert of({"CartPole-v1": [np.array([495.0])]}, "train/return_100", False) == {"CartPole-v1": None}
    assert of({"CartPole-v1": [np.array([20.0])]}, "eval/return_mean", False) == {"CartPole-v1": None}
