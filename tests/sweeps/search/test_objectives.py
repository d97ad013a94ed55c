"""What trials are judged by."""

from __future__ import annotations

import pytest

from rlcli.config.compose import compose
from rlcli.config.overrides import parse_command
from rlcli.config.schema.sweep import SweepConfig
from rlcli.config.search import compose_search
from rlcli.errors import UserError
from rlcli.sweeps.plan import plan, plan_search
from rlcli.sweeps.search.objectives import Objective, best, objectives, values_of
from tests.sweeps.composing import multirun

HIGH, LOW = Objective("a", True), Objective("b", False)


def test_directions() -> None:
    names = ("eval/return_mean", "time/elapsed", "-behaviour/kl_mu_pi", "-eval/return_mean")
    assert [one.higher for one in objectives(SweepConfig(objective=names))] == [True, False, False, False]
    given = SweepConfig(objective=("time/elapsed", "update/entropy"), direction=("higher", "lower"))
    assert [one.higher for one in objectives(given)] == [True, False]


@pytest.mark.broken_by(
    "a trial's value is the plain mean",
    "sweeps/search/objectives.py",
    "[interquartile_mean([row[one.metric] for row in rows]) for one in wanted]",
    "[sum(row[one.metric] for row in rows) / len(rows) for one in wanted]",
)
def test_the_value_of_a_trial_is_that_of_all_its_seeds() -> None:
    rows = [{"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 5.0}, {"a": 100.0, "b": 8.0}]
    assert values_of(rows, [HIGH, LOW]) == [
        (0.25 * 1 + 3 + 0.25 * 100) / 1.5,
        (0.25 * 5 + 5 + 0.25 * 8) / 1.5,
    ]
    assert values_of([*rows, {"a": 1.0}], [HIGH, LOW]) is None
    assert values_of([], [HIGH]) is None


@pytest.mark.broken_by(
    "a front of trials that are beaten",
    "sweeps/search/objectives.py",
    "return not worse and any(",
    "return worse and any(",
)
def test_the_pareto_front() -> None:
    values = [[1.0, 1.0], [2.0, 2.0], [0.5, 0.5], [1.0, 2.0], [2.0, 2.0], [0.0, 3.0]]
    assert best(values, [HIGH, LOW]) == [0, 1, 2, 4]
    assert best([[1.0], [3.0], [3.0]], [HIGH]) == [1, 2]
    assert best([[1.0], [3.0]], [LOW]) == [0]
    assert best([], [HIGH]) == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("sweep.objective=[eval/return]",), "Did you mean 'eval/return_std'"),
        (("sweep.objective=[epochs/ess]",), "Unknown metric"),
        (("sweep.objective=[]",), "sweep.objective is empty"),
        (("sweep.objective=[time/elapsed,-time/elapsed]",), "names a metric twice"),
        (("sweep.objective=[update/entropy]",), "neither better high nor low"),
        (("sweep.objective=[-time/elapsed]", "sweep.direction=[lower]"), "give the direction once"),
        (("sweep.direction=[lower,higher]",), "has 2 entries for the 1"),
        (("eval.episodes=0",), "needs evaluation"),
        (("sweep.objective=[eval/return_mean,time/elapsed]", "sweep.pruner=median"), "compares one figure"),
        (("sweep.pruner=median", "sweep.replicas=3", "cohort.max_size=2"), "cohort.max_size=2 trains apart"),
        (("sweep.pruner=median", "sweep.replicas=3", "backend=sb3"), "backend=sb3 trains apart"),
    ],
)
def test_what_cannot_be_searched_for(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        plan_search(multirun(["tuned=none", "sweep.sampler=random", "algo.clip=0.1,0.2", *overrides]))
    assert said in str(caught.value)


def test_pruning_with_seeds_that_fit_is_fine() -> None:
    words = ["tuned=none", "sweep.sampler=random", "algo.clip=0.1,0.2", "sweep.pruner=median"]
    assert plan_search(multirun([*words, "sweep.replicas=3", "cohort.max_size=3"])) is not None
    assert plan_search(multirun([*words, "backend=sb3"])) is not None


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    import rlcli.sweeps.search.objectives as module

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs Optuna: pip install 'rlcli\[optuna\]'"):
        plan_search(multirun(["tuned=none", "sweep.sampler=random", "algo.clip=0.1,0.2"]))
    assert plan(multirun(["seed=0,1", "logger=[]"]))


def test_a_sampler_needs_multirun() -> None:
    with pytest.raises(UserError, match="add -m"):
        plan(parse_command(["sweep=ppo"]))
    assert compose(["sweep=ppo"]).config.sweep.sampler == "tpe"
    assert compose_search(multirun(["sweep=ppo"])) is not None
