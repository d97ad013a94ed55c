"""Comparison of run directories: which runs count, how they are grouped, what each group gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlcli.analysis.compare.comparison import Comparison, compare
from rlcli.analysis.groups import methods, mixed, repeated
from rlcli.analysis.selection import Selection, select
from rlcli.errors import UserError
from tests.analysis.made import Maker
from tests.runs.tiny import finished

assert finished


@pytest.fixture
def make(tmp_path: Path, finished: Path) -> Maker:
    return Maker(tmp_path, finished)


def selected(make: Maker) -> Selection:
    return select(sorted(str(path.parent) for path in make.root.glob("*/manifest.json")), make.root)


def compared(make: Maker, threshold: float | None = None, **options: Any) -> Comparison:
    return compare(selected(make).runs, lambda env, metric: threshold, **options)


def labels(found: Sequence[Any]) -> list[str]:
    return [group.label for group in found]


def test_methods_are_the_same_in_every_environment(make: Maker) -> None:
    """Settings that each environment has of its own tell no methods apart."""
    for env, rate in (("CartPole-v1", 1e-3), ("Acrobot-v1", 1e-4)):
        for algo in ("ppo", "trpo"):
            make.run(f"{env}-{algo}", (1.0,), env__id=env, algo__name=algo, algo__learning_rate=rate)
    runs = selected(make).runs
    assert labels(methods(runs)) == ["algo=ppo", "algo=trpo"]
    assert labels(methods(runs, ["algo", "env"])) == ["algo=ppo", "algo=trpo"]
    assert labels(methods(runs, ["env"])) == ["ppo, trpo"]
    assert mixed(runs) == ["algo"]
    assert labels(compared(make).places[0].cells) == ["algo=ppo", "algo=trpo"]


@pytest.mark.broken_by(
    "another seed is a repetition",
    "analysis/groups.py",
    "for key, value in run.settings.items() if _matters(key)}",
    "for key, value in run.settings.items() if _matters(key) and key != SEED}",
)
def test_a_repetition_has_the_seed_and_all_settings_of_another(make: Maker) -> None:
    make.run("a", (1.0,))
    make.run("b", (1.0,), seed=1)
    make.run("c", (1.0,), algo__gamma=0.5)
    make.run("d", (1.0,), notes="again")
    assert [run.name for run in repeated(selected(make).runs)] == ["d"]


@pytest.mark.broken_by(
    "a run that failed counts",
    "analysis/compare/comparable.py",
    'one.run.summary["status"] == "finished" or',
    'one.run.summary["status"] != "running" or',
)
@pytest.mark.parametrize("status", ["failed", "interrupted", "pruned", "running"])
def test_a_run_that_has_not_finished_is_left_out(make: Maker, status: str) -> None:
    make.run("a", (1.0, 2.0))
    make.run("b", (1.0,), status=status, seed=1)
    assert compared(make).places[0].cells[0].seeds == [0]


@pytest.mark.broken_by(
    "rows behind the end",
    "analysis/compare/comparable.py",
    'history.axis("steps") <= until',
    'history.axis("steps") < math.inf',
)
def test_until_cuts_off_rows(make: Maker) -> None:
    make.run("a", (1.0, 5.0, 2.0, 9.0))
    [place] = compared(make, until=72).places
    assert place.budget == 72
    [scores] = place.cells[0].scores
    assert (scores.final, scores.best) == (2, 5)


def test_a_run_that_was_stopped_early_keeps_its_budget(make: Maker) -> None:
    folder = make.run("a", (0.0, 10.0, 0.0, 0.0))
    make.run("b", (0.0, 10.0, 0.0, 0.0), seed=1)
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(rows[:2]) + "\n")
    first, second = compared(make).places[0].cells[0].scores
    assert first.final == 10
    assert first.area == pytest.approx((5 * 24 + 10 * 48) / 72)
    assert second.area == pytest.approx((5 * 24 + 5 * 24) / 72)


@pytest.mark.broken_by(
    "health of the last update",
    "analysis/compare/place.py",
    "values.mean() for values in columns]",
    "values[-1] for values in columns]",
)
def test_health_is_the_mean_over_updates_and_runs(make: Maker) -> None:
    for seed, values in enumerate(((0.2, 0.4), (0.6, 1.0))):
        folder = make.run(f"s{seed}", (1.0, 2.0), seed=seed)
        rows = (folder / "metrics.jsonl").read_text()
        for value in values:
            rows = rows.replace('"behaviour/ess": 0.9', f'"behaviour/ess": {value}', 1)
        (folder / "metrics.jsonl").write_text(rows)
    found = compared(make).places[0].cells[0].health["behaviour/ess"]
    assert (found.mean, found.low, found.high) == (pytest.approx((0.3 + 0.8) / 2), 0.2, 1.0)


@pytest.mark.broken_by(
    "runs that never reach it do not count",
    "analysis/compare/place.py",
    "float(np.median(self.values(score)))",
    "float(np.median(self.values(score)[np.isfinite(self.values(score))]))",
)
def test_the_time_to_a_threshold_counts_runs_that_never_reach_it(make: Maker) -> None:
    make.seeds("a", [5.0, 9.0, 1.0, 2.0, 3.0])
    cell = compared(make, threshold=4.0).places[0].cells[0]
    assert cell.reached() == 2
    assert cell.time_to("steps") == math.inf
    cell = compared(make, threshold=1.0).places[0].cells[0]
    assert (cell.reached(), cell.time_to("steps"), cell.time_to("seconds")) == (5, 64, 2)


@pytest.mark.broken_by(
    "the best of many is the worst",
    "analysis/compare/place.py",
    "        sign = -1 if lower else 1\n        best",
    "        sign = 1\n        best",
)
def test_of_many_groups_each_is_compared_with_the_best(make: Maker) -> None:
    for number in range(8):
        make.run(f"g{number}", (1.0, 1.0 + number), metric="eval/return_std", algo__gamma=0.1 * number)
    [place] = compared(make, metric="eval/return_std").places
    assert {pair.first for pair in place.pairs} == {"gamma=0"}
    assert len(place.pairs) == 7


def test_a_method_without_runs_in_an_environment_is_left_out_over_all(make: Maker) -> None:
    for env in ("CartPole-v1", "Acrobot-v1"):
        make.seeds(env, [1.0, 2.0], env__id=env, algo__name="ppo")
    make.seeds("trpo", [1.0, 3.0], algo__name="trpo")
    found = compared(make)
    assert labels(found.over_all.groups) == ["algo=ppo"]
    assert "algo=trpo has no runs in some environments: it is left out over all of them." in found.notes


def test_an_environment_whose_runs_are_all_equal_is_left_out_over_all(make: Maker) -> None:
    for env, finals in (("CartPole-v1", [1.0, 2.0]), ("Acrobot-v1", [1.0, 2.0]), ("Pendulum-v1", [3.0, 3.0])):
        make.seeds(env, finals, env__id=env)
    found = compared(make)
    assert set(found.over_all.scales) == {"CartPole-v1", "Acrobot-v1"}
    assert any("Pendulum-v1 is left out over all environments" in note for note in found.notes)


@pytest.mark.broken_by(
    "versions are mixed",
    "analysis/compare/references.py",
    "return (found[1], found[2]) if found",
    "return (env, found[2]) if found",
)
def test_environment_versions_are_not_mixed(make: Maker) -> None:
    make.run("a", (1.0,), env__id="CartPole-v0")
    make.run("b", (1.0,), env__id="CartPole-v1")
    with pytest.raises(UserError, match="Environment versions differ"):
        compared(make)


@pytest.mark.broken_by(
    "budgets are mixed",
    "analysis/compare/comparable.py",
    "    if len(counts) < 2:",
    "    if len(counts) < 3:",
)
def test_budgets_are_not_mixed(make: Maker) -> None:
    make.run("a", (1.0,))
    make.run("b", (1.0,), total_steps=128)
    with pytest.raises(UserError, match=r"Budgets on CartPole-v1 differ: 96 env steps \(1 run\), 128 "):
        compared(make)
    assert len(compared(make, force=True).places[0].cells) == 2
