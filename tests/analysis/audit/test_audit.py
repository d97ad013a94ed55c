"""Verdicts, invariants, falls, advice and fresh gains: of rows written by hand, and of real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.analysis.audit.advice import advice
from rlcli.analysis.audit.audit import audit, worst_fall
from rlcli.analysis.audit.fresh import fresh_gains, realised_between
from rlcli.analysis.audit.invariants import INVARIANTS, breaches
from rlcli.analysis.audit.verdicts import DIVERGING, EDGE, OUTSIDE, RULES, verdicts
from rlcli.analysis.history import History
from rlcli.analysis.selection import Run, select
from rlcli.config.serialise import flatten
from rlcli.errors import UserError
from rlcli.runs.train import train
from tests.runs.tiny import tiny

CALM: dict[str, float] = {
    "behaviour/ess": 0.99, "update/ess": 0.99, "update/budget_used": 0.3, "behaviour/clip_fraction": 0.01,
    "behaviour/kl_mu_pi": 0.005, "behaviour/kl_pi_mu": 0.005,
    "behaviour/tv": 0.03, "behaviour/tv_bound": 0.05,
    "update/explained_variance": 0.8, "update/gain_predicted": 0.01, "update/gain_realised": 0.008,
    "train/return_100": 100.0, "update/entropy": 0.6, "update/lag": 0,
}  # fmt: skip
"""A row of a healthy update."""


def history(*changes: dict[str, float], rows: int = 12) -> History:
    """Healthy rows; `changes` replace figures of the first ones."""
    written = [CALM | (changes[place] if place < len(changes) else {}) for place in range(rows)]
    names = dict.fromkeys(name for row in written for name in row)
    columns = {name: np.array([row.get(name, np.nan) for row in written]) for name in names}
    columns["update"] = np.arange(1.0, rows + 1)
    columns["env_steps"] = 10 * columns["update"]
    columns["time/elapsed"] = columns["update"] / 10
    return History(columns, 0)


def settings(**changes: Any) -> dict[str, Any]:
    return flatten(tiny()) | {name.replace("__", "."): value for name, value in changes.items()}


@pytest.mark.broken_by(
    "limits on the wrong side",
    "analysis/audit/verdicts.py",
    "values > self.limit if self.above",
    "values < self.limit if self.above",
)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.text)
def test_each_rule_has_its_verdict_just_beyond_its_limit(rule: Any) -> None:
    step = 1e-6 if rule.above else -1e-6
    beyond, on = ({rule.metric: value} for value in (rule.limit + step, rule.limit))
    assert verdicts(history(beyond)).worst[0] == rule.verdict
    assert verdicts(history(beyond)).broken[0] == (rule,)
    assert verdicts(history(on)).worst[0] < rule.verdict
    assert verdicts(history({rule.metric: np.nan})).worst[0] == 0


def test_calm_updates_are_inside_and_the_severest_rule_decides() -> None:
    found = verdicts(history({"behaviour/ess": 0.7}, {"behaviour/ess": 0.7, "update/budget_used": 4.0}))
    assert found.worst.tolist() == [EDGE, OUTSIDE] + [0] * 10
    assert [rule.metric for rule in found.broken[1]] == ["update/budget_used"]


@pytest.mark.broken_by(
    "a run that diverges at once", "analysis/audit/verdicts.py", "found[:back] = False", "found[:back] = True"
)
def test_a_run_diverges_at_the_third_update_outside() -> None:
    out = {"behaviour/ess": 0.1}
    assert verdicts(history(out, out, out, out, {}, out, out)).worst.tolist()[:8] == [
        OUTSIDE, OUTSIDE, DIVERGING, DIVERGING, 0, OUTSIDE, OUTSIDE, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"behaviour/kl_mu_pi": -1e-12}, "behaviour/kl_mu_pi >= 0"),
        ({"behaviour/ess": 1.0 + 1e-9}, "behaviour/ess in (0, 1]"),
        ({"behaviour/ess": 0.0}, "behaviour/ess in (0, 1]"),
        ({"behaviour/tv": 0.051}, "behaviour/tv <= behaviour/tv_bound"),
        ({"weights/ess": 1.5}, "weights/ess in (0, 1]"),
        (
            {"behaviour/clip_fraction_own": 0.0, "update/clip": 0.1, "behaviour/ess": 0.98},
            "ESS >= 1 - clip² where no ratio left the clip",
        ),
        (
            {"behaviour/clip_fraction_own": 0.0, "update/clip": 0.1, "behaviour/tv_sampled": 0.051},
            "TV <= clip / 2 where no ratio left the clip",
        ),
        (
            {
                f"update/ratio_{n}": v
                for n, v in (("min", 0.5), ("p01", 0.4), ("p50", 1), ("p99", 2), ("max", 3))
            },
            "quantiles of update/ratio in order",
        ),
    ],
)
def test_a_broken_invariant_is_named_with_its_updates(change: dict[str, float], text: str) -> None:
    assert breaches(history(), settings()) == []
    (found,) = breaches(history({}, change), settings())
    assert (found.text, found.updates) == (text, (2,))
    assert found.sentence == f"{text}: update 2"
    assert text in {one.text for one in INVARIANTS}


def test_a_natural_step_stays_within_delta() -> None:
    natural = settings(algo__step_rule="natural", algo__delta=0.01, algo__line_search=True)
    wide = history({"update/kl_anchor_pi": 0.0101}, {"update/kl_anchor_pi": 0.0099})
    assert [one.updates for one in breaches(wide, natural)] == [(1,)]
    assert breaches(wide, settings()) == []
    assert breaches(wide, natural | {"algo.line_search": False}) == []


def test_the_deepest_fall_has_the_ten_updates_before_it() -> None:
    returns = [10.0, 50.0, 90.0, 80.0, 60.0, 30.0, 40.0, 95.0, 94.0, 93.0, 92.0, 91.0]
    found = worst_fall(history(*({"train/return_100": value} for value in returns)))
    assert found is not None
    assert (found.update, found.start, found.end) == (6, 90.0, 30.0)
    assert [row["update"] for row in found.rows] == [1, 2, 3, 4, 5, 6]
    rising = worst_fall(history(*({"train/return_100": float(value)} for value in range(12))))
    assert rising is None


@pytest.mark.parametrize(
    ("change", "given", "text"),
    [
        ({"update/budget_used": 9.0}, {}, "algo.learning_rate"),
        ({"update/budget_used": 9.0}, {"lag": 4}, "lower lag"),
        ({"update/budget_used": 9.0}, {"algo__step_rule": "natural"}, "algo.delta"),
        ({"update/explained_variance": -0.5}, {}, "env.normalize_reward=true"),
        ({"update/explained_variance": -0.5}, {"env__normalize_reward": True}, "algo.value_coef"),
        ({"update/step_outcome": 4.0}, {}, "natural steps fail"),
        ({"update/gain_realised": -1.0}, {}, "realised a loss"),
        ({"behaviour/clip_active": 0.6}, {}, "clipped away"),
        ({"update/budget_used": 0.01}, {}, "almost nothing"),
    ],
)
def test_each_advice_has_its_trigger(change: dict[str, float], given: dict[str, Any], text: str) -> None:
    rows = history(*[change] * 12)
    found = advice(rows, verdicts(rows), settings(**given))
    assert any(text in f"{one.text}; {one.because}" for one in found)
    assert all(one.source for one in found)
    calm = history()
    assert advice(calm, verdicts(calm), settings(**given)) == []


def test_realised_gains_are_summed_between_checkpoints() -> None:
    rows = history(*({"update/gain_realised": float(value)} for value in (1, 2, 4, 8)))
    assert realised_between(rows, 1, 3) == 6.0
    assert realised_between(rows, 50, 60) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a checkpoint of each of its three updates."""
    folder = tmp_path_factory.mktemp("audit") / "run"
    train([tiny(checkpoint__every=1, checkpoint__keep=1, algo__learning_rate=0.02)], [folder])
    return select([str(folder)], folder.parent).runs[0]


def test_a_real_run_keeps_every_invariant(run: Run) -> None:
    found = audit(run)
    assert found.breaches == ()
    assert len(found.verdicts.worst) == 3
    assert json.loads(json.dumps(found.row()))["counts"]["inside"] <= 3


def test_fresh_gains_compare_neighbouring_checkpoints(run: Run, tmp_path: Path) -> None:
    found = list(fresh_gains(run, 4))
    assert [(gain.before.update, gain.after.update) for gain in found] == [(1, 2), (2, 3)]
    for gain in found:
        assert gain.before.low <= gain.before.mean <= gain.before.high
        assert gain.measured == gain.after.mean - gain.before.mean
        assert gain.realised == pytest.approx(
            run.history.columns["update/gain_realised"][gain.after.update - 1]
        )
    assert found[0].after == found[1].before
    lone = tmp_path / "lone"
    train([tiny(total_steps=32)], [lone])
    with pytest.raises(UserError, match="keeps 1 checkpoint: gains need two"):
        list(fresh_gains(select([str(lone)], tmp_path).runs[0], 2))


def test_the_page_has_every_rule_and_invariant() -> None:
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()
    names = {EDGE: "edge", OUTSIDE: "outside"}
    for rule in RULES:
        side = "above" if rule.above else "below"
        assert (
            f"| `{rule.metric}` | {side} {rule.limit:g} | {names[rule.verdict]} | {rule.source} |\n" in page
        )
    for one in INVARIANTS:
        assert f"- {one.text}\n" in page
