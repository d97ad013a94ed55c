"""Verdicts, invariants, falls, advice and fresh gains: of rows written by hand, and of real runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlcli.analysis.audit.advice import advice
from rlcli.analysis.audit.audit import audit, worst_fall
from rlcli.analysis.audit.figures import FIGURES, OUTCOMES, WORST, step_outcomes, summaries
from rlcli.analysis.audit.fresh import APART, check_kept, fresh_gains, realised_between
from rlcli.analysis.audit.invariants import INVARIANTS, breaches
from rlcli.analysis.audit.verdicts import DIVERGING, EDGE, OUTSIDE, RULES, verdicts
from rlcli.analysis.history import History
from rlcli.analysis.selection import Run, select
from rlcli.catalog.assertions import ASSERTIONS, RATIO, message
from rlcli.catalog.table import METRICS
from rlcli.config.serialise import flatten
from rlcli.errors import UserError
from rlcli.maths.health import clip_figures, effective_sample_size
from rlcli.maths.natural import Outcome
from rlcli.runs.episodes import record_run
from rlcli.runs.train import train
from tests.runs.tiny import tiny

CALM: dict[str, float] = {
    "behaviour/ess": 0.99, "update/ess": 0.99, "update/budget_used": 0.3, "behaviour/clip_fraction": 0.01,
    "behaviour/kl_mu_pi": 0.005, "behaviour/kl_pi_mu": 0.005,
    "behaviour/kl_mu_pi_max": 0.01, "behaviour/kl_pi_mu_max": 0.01,
    "update/kl_anchor_pi": 0.005, "update/kl_pi_anchor": 0.005,
    "update/kl_anchor_pi_max": 0.01, "update/kl_pi_anchor_max": 0.01,
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


LOW_ESS = "ESS >= 4ab / (a + b)² where no ratio left the clip [a, b]"
HIGH_TV = "TV <= max(1 - a, b - 1) / 2 where no ratio left the clip [a, b]"


@pytest.mark.broken_by(
    "a KL that was NaN is passed over",
    "analysis/audit/invariants.py",
    "(kl < 0) | _lost(kl, ess)",
    "kl < 0",
    case="change1-behaviour/kl_pi_mu finite and >= 0",
)
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"behaviour/kl_mu_pi": -1e-12}, "behaviour/kl_mu_pi finite and >= 0"),
        ({"behaviour/kl_pi_mu": np.nan}, "behaviour/kl_pi_mu finite and >= 0"),
        ({"update/kl_anchor_pi_max": np.nan}, "update/kl_anchor_pi_max finite and >= 0"),
        ({"behaviour/ess": 1.0 + 1e-9}, "behaviour/ess in (0, 1]"),
        ({"behaviour/ess": 0.0}, "behaviour/ess in (0, 1]"),
        ({"behaviour/ess": np.nan}, "behaviour/ess in (0, 1]"),
        ({"behaviour/tv": 0.051}, "behaviour/tv <= behaviour/tv_bound"),
        ({"weights/ess": 1.5}, "weights/ess in (0, 1]"),
        (
            {"behaviour/clip_fraction_own": 0.0, "update/clip": 0.1, "behaviour/ess": 0.98},
            LOW_ESS,
        ),
        (
            {"behaviour/clip_fraction_own": 0.0, "update/clip": 0.1, "behaviour/tv_sampled": 0.051},
            HIGH_TV,
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


def of_ratios(ratios: list[float], low: float, high: float) -> dict[str, float]:
    """The figures of a batch with these ratios and a clip to [1 - low, 1 + high]."""
    logs = torch.tensor(ratios, dtype=torch.float64).log()
    outside = clip_figures(logs, torch.ones_like(logs), torch.tensor([low, high], dtype=torch.float32))
    return {
        "update/clip": float(np.float32(low)),
        "behaviour/ess": float(effective_sample_size(logs)),
        "behaviour/tv_sampled": float((logs.exp() - 1).abs().mean() / 2),
        "behaviour/clip_fraction_own": float(outside["clip_fraction_own"]),
    }


@pytest.mark.broken_by(
    "the clip's upper end is overlooked",
    "analysis/audit/invariants.py",
    'settings.get("algo.clip_high") if settings.get("algo.surrogate") == "clipped" else None',
    "None",
)
def test_ratios_within_an_uneven_clip_break_nothing() -> None:
    """ESS and TV at their bounds: the ends of [a, b] as often as 1 / a to 1 / b, and the upper end alone."""
    uneven = settings(algo__surrogate="clipped", algo__clip_high=0.8)
    for ratios in ([0.9] * 2 + [1.8], [1.8] * 9, [0.9] * 9, [0.9, 1.8]):
        figures = of_ratios(ratios, 0.1, 0.8)
        assert figures["behaviour/clip_fraction_own"] == 0
        for dual in (None, 3.0):
            assert breaches(history(figures), uneven | {"algo.clip_dual": dual}) == []
    assert of_ratios([0.9] * 2 + [1.8], 0.1, 0.8)["behaviour/ess"] == pytest.approx(8 / 9)
    # one such ratio in ten outside of the range counts as outside, and the bounds say nothing
    assert breaches(history(of_ratios([0.9] * 9 + [9.0], 0.1, 0.8)), uneven) == []


@pytest.mark.broken_by(
    "a clip so wide that no ESS is too low",
    "analysis/audit/invariants.py",
    "4 * a * b / (a + b) ** 2 - ROUNDING",
    "a * b / (a + b) ** 2 - ROUNDING",
)
def test_figures_just_beyond_an_uneven_clip_are_a_breach() -> None:
    uneven = settings(algo__surrogate="clipped", algo__clip_high=0.8)
    inside = of_ratios([0.9] * 2 + [1.8], 0.1, 0.8)
    assert [one.text for one in breaches(history(inside | {"behaviour/ess": 8 / 9 - 1e-6}), uneven)] == [
        LOW_ESS
    ]
    assert [one.text for one in breaches(history(inside | {"behaviour/tv_sampled": 0.4001}), uneven)] == [
        HIGH_TV
    ]
    # spo has no upper end of its own
    spo = settings(algo__surrogate="spo", algo__clip_high=0.8)
    assert [one.text for one in breaches(history(inside), spo)] == [LOW_ESS, HIGH_TV]


def ended(run: Run, status: str, text: str) -> Run:
    """The same run, as if it had ended so."""
    return dataclasses.replace(run, summary={**run.summary, "status": status, "message": text})


@pytest.mark.broken_by(
    "a run that broke an invariant passes",
    "analysis/audit/audit.py",
    '(*asserted(run.summary["message"] or ""), *breaches(history, settings))',
    "tuple(breaches(history, settings))",
)
def test_an_assertion_that_failed_a_run_is_a_breach_at_its_update(run: Run) -> None:
    for assertion in ASSERTIONS:
        (found,) = audit(ended(run, "failed", message(4, [assertion]))).breaches
        assert (found.text, found.updates) == (assertion, (4,))
    both = audit(ended(run, "failed", message(4, ASSERTIONS[1:3])))
    assert [one.sentence for one in both.breaches] == [
        f"{RATIO}: update 4",
        "the loss is not finite: update 4",
    ]
    assert both.row()["breaches"][0] == {"invariant": RATIO, "updates": (4,)}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("failed", "CartPole-v1: environment 2 gave a non-finite reward (nan)."),
        ("failed", "Update 4: own.py:4: the metric mine raised ValueError: no."),
        ("failed", "disk full"),
        ("killed", "its process is gone"),
    ],
)
def test_other_ends_are_shown_and_are_no_breach(run: Run, status: str, text: str) -> None:
    found = audit(ended(run, status, text))
    assert found.breaches == ()
    assert (found.message, found.row()["message"]) == (text, text)
    assert audit(run).message is None


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


CONFLICTS = (
    {"update/budget_used": 0.01}, {"update/gain_realised": -1.0}, {"behaviour/clip_active": 0.6},
    {"behaviour/ess": 0.1}, {"update/explained_variance": -0.5}, {"update/step_outcome": 4.0},
)  # fmt: skip
"""Figures that trigger advice, all of which one run may have."""
GIVEN: tuple[dict[str, Any], ...] = (
    {}, {"lag": 4}, {"algo__step_rule": "natural"}, {"env__normalize_reward": True},
)  # fmt: skip


def directions(text: str) -> set[tuple[str, str]]:
    """(lower or raise, key) of everything that a sentence advises."""
    found, verb = set(), ""
    for word in re.findall(r"lower|raise|set|cap|lag|[a-z]+\.[a-z_]+", text.partition(":")[0]):
        if word in ("lower", "raise", "set", "cap"):
            verb = word
        else:
            found.add((verb, word))
    return found


@pytest.mark.broken_by(
    "larger and smaller steps advised at once",
    "analysis/audit/advice.py",
    "[] if smaller else _found(LARGER_STEPS, evidence)",
    "_found(LARGER_STEPS, evidence)",
)
@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_no_key_is_to_be_lowered_and_raised(given: dict[str, Any]) -> None:
    for count in range(1, len(CONFLICTS) + 1):
        for chosen in itertools.combinations(CONFLICTS, count):
            change = {name: value for one in chosen for name, value in one.items()}
            rows = history(*[change] * 12)
            found = {
                one
                for text in advice(rows, verdicts(rows), settings(**given))
                for one in directions(text.text)
            }
            assert found
            lowered, raised = ({key for verb, key in found if verb == side} for side in ("lower", "raise"))
            assert not lowered & raised


def collapse(entropies: list[float], dimensions: int = 1, **given: Any) -> list[str]:
    rows = history(*({"update/entropy": value} for value in entropies), rows=len(entropies))
    found = advice(rows, verdicts(rows), settings(algo__entropy_coef=0.0, **given), dimensions)
    return [one.because for one in found if "settled early" in one.text]


@pytest.mark.broken_by(
    "a fall of the entropy from its mean",
    "analysis/audit/advice.py",
    "float(early[0] - early[-1])",
    "float(early.mean() - early[-1])",
)
def test_an_early_fall_of_the_entropy_is_the_first_value_less_the_last_of_the_tenth() -> None:
    because = "update/entropy fell by 0.60 nats per dimension of the action in the first tenth of the run"
    assert collapse([0.69, 0.4, 0.2, 0.09] + [0.09] * 36) == [f"{because} (more than 0.5)"]
    assert collapse([0.69, 0.4, 0.3, 0.2] + [0.0] * 36) == []
    # not a fall: one that ends where it began, and one after the first tenth
    assert collapse([0.69, 0.0, 0.3, 0.69] + [0.69] * 36) == []
    assert collapse([0.69] * 4 + [0.0] * 36) == []
    assert collapse([0.69, 0.09] + [0.09] * 8) == []


@pytest.mark.broken_by(
    "a fall of the entropy of all dimensions together",
    "analysis/audit/advice.py",
    " / evidence.dimensions",
    "",
)
def test_entropies_of_densities_fall_per_dimension_also_below_zero() -> None:
    """Differential entropies near 0, where any fall is a large share, and negative ones."""
    near = [0.02, -0.2, -0.5, -0.8] + [-1.0] * 36
    assert collapse(near, dimensions=6) == []
    assert len(collapse(near, dimensions=1)) == 1
    assert len(collapse([-3.0, -4.0, -5.0, -6.3] + [-7.0] * 36, dimensions=6)) == 1
    assert collapse([-3.0, -4.0, -5.0, -5.9] + [-7.0] * 36, dimensions=6) == []
    assert len(collapse(near, dimensions=6, alerts__entropy_drop__limit=0.1)) == 1


@pytest.mark.broken_by(
    "the worst figure is the best", "analysis/audit/figures.py", "(side * values).argmax()", "values.argmin()"
)
def test_of_each_figure_the_median_and_the_worst_are_shown() -> None:
    rows = history(
        {"behaviour/ess": 0.5, "behaviour/tv": 0.01, "behaviour/ratio_min": 0.4},
        {"behaviour/ess": 0.9, "behaviour/tv": 0.05, "behaviour/ratio_min": 0.2},
        {"behaviour/ess": 0.6, "behaviour/tv": 0.02, "behaviour/tv_bound": np.nan},
        rows=3,
    )
    found = summaries(rows)
    assert found["behaviour/ess"] == (0.6, 0.5, 1)
    assert found["behaviour/tv"] == (0.02, 0.05, 2)
    assert found["behaviour/ratio_min"] == (pytest.approx(0.3), 0.2, 2)
    assert found["behaviour/tv_bound"] == (0.05, 0.05, 1)
    assert "behaviour/khat" not in found
    assert list(found) == [name for name in WORST if name in found]
    assert set(FIGURES) <= set(METRICS)


def test_line_searches_are_counted_by_outcome() -> None:
    assert len(OUTCOMES) == len(Outcome)
    rows = history(*({"update/step_outcome": code} for code in (0, 0, 4, 0, 3)))
    assert step_outcomes(rows) == {"taken": 3, "number not finite": 1, "no candidate accepted": 1}
    assert step_outcomes(history()) == {}


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
    row = json.loads(json.dumps(found.row()))
    assert row["counts"]["inside"] <= 3
    written = [json.loads(line) for line in (run.dir / "metrics.jsonl").read_text().splitlines()]
    assert [one["figures"] for one in row["updates"]] == [
        {name: line.get(name) for name in FIGURES} for line in written
    ]
    assert set(row["figures"]) == set(WORST) & {name for line in written for name in line}


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


@pytest.mark.broken_by(
    "fresh episodes of one seed for all runs",
    "analysis/audit/fresh.py",
    'int(run.summary["seed"]) + APART',
    "APART",
)
def test_fresh_episodes_have_the_run_s_seed_and_a_constant(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train([tiny(seed=5, checkpoint__every=1, checkpoint__keep=1)], [folder])
    (gain, *_) = fresh_gains(select([str(folder)], tmp_path).runs[0], 4)
    played = record_run(folder, episodes=4, checkpoint=1, seed=5 + APART)
    assert gain.before.mean == pytest.approx(played.episodes.rewards.sum(-1).mean())


def test_every_run_without_two_checkpoints_is_named_at_once(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / "lone", tmp_path / "alone"]
    train([tiny(total_steps=32), tiny(total_steps=32, seed=1)], folders)
    lone = select([str(folder) for folder in folders], tmp_path).runs
    with pytest.raises(UserError, match="gains need two") as caught:
        check_kept((run, *lone))
    assert caught.value.faults == tuple(f"{folder} keeps 1 checkpoint: gains need two." for folder in folders)
    check_kept([run])


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
    for assertion in ASSERTIONS:
        assert f"- {assertion}" in page
