"""Trials in a file: what is asked for depends on the trials before and the number alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.search import Search, compose_search
from rlcli.errors import StorageError
from rlcli.sweeps.search.objectives import objectives
from rlcli.sweeps.search.sampler import pruning_rule
from rlcli.sweeps.search.study import FILE, Proposal, Study
from tests.sweeps.composing import multirun

SPACE = ("algo.clip=interval(0.1,0.9)", "algo.learning_rate=tag(log,interval(1e-5,1e-1))",
         "algo.epochs=range(1,9,2)", "algo.surrogate=clipped,ratio")  # fmt: skip
GRID = ("sweep.sampler=grid", "algo.clip=0.1,0.2,0.3", "algo.epochs=range(1,3)")


def search(*overrides: str) -> Search:
    found = compose_search(multirun(["tuned=none", *overrides]))
    assert found is not None
    return found


def begin(place: Path, what: Search) -> Study:
    place.mkdir(parents=True, exist_ok=True)
    return Study.begin(place, objectives(what.settings))


def score(params: Any) -> float:
    return -abs(float(params["algo.clip"]) - 0.5) - 0.01 * float(params["algo.epochs"])


def asked(place: Path, what: Search, count: int, again: Callable[[int], bool]) -> list[dict[str, Any]]:
    """The parameters of trials, some refused, some failed; the study is opened anew where `again` says so."""
    study = begin(place, what)
    found = []
    while len(found) < count:
        proposals = []
        for _ in range(what.parallel):
            if again(len(found)):
                study = Study.open(place, objectives(what.settings))
            proposals.append(study.ask(what))
            study.record(proposals[-1], what, refused="no" if len(found) % 5 == 4 else None)
            found.append(dict(proposals[-1].params))
        for proposal in proposals:
            if proposal.number % 5 == 4:
                continue
            values = [score(proposal.params)] * len(what.settings.objective)
            study.tell(proposal.number, "failed" if proposal.number % 3 == 2 else "finished",
                       None if proposal.number % 3 == 2 else values)  # fmt: skip
    return found


@pytest.mark.broken_by(
    "the sampler's seed forgotten",
    "sweeps/search/sampler.py",
    'f"{search.settings.sampler_seed}:{draw}"',
    'f"{draw}"',
)
@pytest.mark.parametrize(
    "overrides",
    [
        ("sweep.sampler=random", "sweep.parallel=3", *SPACE),
        ("sweep.sampler=tpe", "sweep.parallel=3", *SPACE),
        ("sweep.sampler=tpe", "sweep.parallel=3", "sweep.pruner=hyperband", *SPACE),
        (
            "sweep.sampler=nsgaii",
            "sweep.parallel=4",
            "sweep.objective=[eval/return_mean,behaviour/ess]",
            *SPACE,
        ),
        (*GRID, "sweep.parallel=3"),
    ],
)
def test_an_interruption_changes_nothing_of_what_is_asked(overrides: tuple[str, ...], tmp_path: Path) -> None:
    what = search(*overrides)
    count = min(24, what.trials) if what.settings.sampler == "grid" else 24
    whole = asked(tmp_path / "a", what, count, lambda _: False)
    cut = asked(tmp_path / "b", what, count, lambda number: True)
    assert whole == cut
    other = search(*overrides, "sweep.sampler_seed=1")
    assert asked(tmp_path / "c", other, count, lambda _: False) != whole


COUNTED = ("algo.epochs=range(1,4)", "algo.surrogate=clipped,ratio", "network.hidden=[8],[16]")


@pytest.mark.broken_by(
    "combinations that were tried tried again",
    "sweeps/search/study.py",
    "if not avoids or combination(proposal.params) not in tried:",
    "if proposal:",
    case="1-tpe",
)
@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("parallel", [1, 5])
def test_no_combination_is_tried_twice_where_they_can_be_counted(
    sampler: str, parallel: int, tmp_path: Path
) -> None:
    what = search(f"sweep.sampler={sampler}", f"sweep.parallel={parallel}", *COUNTED)
    study = begin(tmp_path / "study", what)
    found = []
    while (proposal := study.ask(what)) is not None:
        study.record(proposal, what)
        found.append(tuple(sorted(proposal.params.items())))
        if len(found) % parallel == 0:
            for trial in study.trials():
                if trial.status == "running":
                    study.tell(trial.number, "finished", [float(trial.params["algo.epochs"])])
            study = Study.open(tmp_path / "study", objectives(what.settings))
    assert len(found) == 12
    assert len(set(found)) == 12
    assert all(trial.repeats is None for trial in study.trials())


def test_an_untried_combination_is_found_where_the_sampler_repeats_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlcli.sweeps.search.study.ATTEMPTS", 1)
    what = search("sweep.sampler=tpe", "algo.epochs=tag(log,interval(1,40))")
    study, found = begin(tmp_path, what), []
    while (proposal := study.ask(what)) is not None:
        study.record(proposal, what, refused="no")
        found.append(proposal.params["algo.epochs"])
    assert sorted(found) == list(range(1, 41))


def test_a_choice_that_was_typed_twice_is_one(tmp_path: Path) -> None:
    what = search("sweep.sampler=tpe", "algo.epochs=1,2,1", "algo.clip=0.1,0.1")
    study, found = begin(tmp_path, what), []
    while (proposal := study.ask(what)) is not None:
        study.record(proposal, what, refused="no")
        found.append(proposal.params["algo.epochs"])
    assert sorted(map(str, found)) == ["1", "2"]


def test_repeats_are_known_where_they_are_not_avoided(tmp_path: Path) -> None:
    what = search("sweep.sampler=nsgaii", "sweep.parallel=4", *COUNTED)
    study = begin(tmp_path, what)
    for number in range(8):
        proposal = study.ask(what)
        assert proposal is not None
        study.record(proposal, what)
        study.tell(number, "finished", [1.0])
    trials = study.trials()
    repeats = [one for one in trials if one.repeats is not None]
    assert repeats
    assert [study.repeats(Proposal(one.number, one.params, {})) for one in trials] == [
        one.repeats for one in trials
    ]
    assert all(one.params == trials[one.repeats or 0].params for one in repeats)
    assert all((one.repeats or 0) < one.number for one in repeats)


@pytest.mark.broken_by(
    "the worst sought",
    "sweeps/search/study.py",
    "StudyDirection.MAXIMIZE if one.higher else",
    "StudyDirection.MAXIMIZE if not one.higher else",
)
def test_tpe_learns(tmp_path: Path) -> None:
    """The best of forty trials is far nearer to the best there is than that of chance is."""
    scores = {}
    for sampler in ("tpe", "random"):
        what = search(f"sweep.sampler={sampler}", "sweep.parallel=4", *SPACE)
        found = asked(tmp_path / sampler, what, 40, lambda _: False)
        scores[sampler] = sum(map(score, found[20:])) / 20
    assert scores["tpe"] > scores["random"] + 0.05


def test_trials_of_a_batch_know_of_each_other(tmp_path: Path) -> None:
    """Of a grid each point comes once, though none of the batch has a value yet."""
    what = search(*GRID)
    found = asked(tmp_path, what, what.trials, lambda _: True)
    assert sorted(json.dumps(params) for params in found) == sorted(
        json.dumps({"algo.clip": clip, "algo.epochs": epochs})
        for clip in ("0.1", "0.2", "0.3")
        for epochs in (1, 2)
    )


def test_a_trial_is_recorded_by_one_line(tmp_path: Path) -> None:
    what = search("sweep.sampler=random", *SPACE)
    study = begin(tmp_path, what)
    before = (tmp_path / FILE).read_text().count("\n")
    study.record(study.ask(what), what)
    assert (tmp_path / FILE).read_text().count("\n") == before + 1
    study.record(study.ask(what), what, refused="no")
    assert (tmp_path / FILE).read_text().count("\n") == before + 2
    first, second = Study.open(tmp_path, objectives(what.settings)).trials()
    assert (first.status, first.reason, second.status, second.reason) == ("running", None, "failed", "no")


def test_what_is_told_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    what = search("sweep.sampler=random", *SPACE)
    study = begin(tmp_path, what)
    for _ in range(3):
        study.record(study.ask(what), what)
    assert not study.should_prune(1, 100, 5.0, pruning_rule(what.config))
    study.stop_after(1, 128)
    study.tell(0, "finished", [3.5])
    study.tell(1, "pruned")
    study.tell(2, "failed", reason="broken")
    found = Study.open(tmp_path, objectives(what.settings)).trials()
    assert [(one.status, one.values, one.reason, one.stop, one.compared) for one in found] == [
        ("finished", (3.5,), None, None, 0), ("pruned", (5.0,), None, 128, 100),
        ("failed", None, "broken", None, 0),
    ]  # fmt: skip
    study = study.reopened([2])
    again = Study.open(tmp_path, objectives(what.settings)).trials()
    assert [one.status for one in again] == ["finished", "pruned", "running"]
    assert [one.params for one in again] == [one.params for one in found]
    study.tell(2, "finished", [1.0])
    assert {path.name for path in tmp_path.iterdir()} == {FILE}


def test_the_median_rule_waits_for_its_startup(tmp_path: Path) -> None:
    what = search("sweep.sampler=random", "sweep.pruner=median", "sweep.prune_startup=2", *SPACE)
    study, rule = begin(tmp_path, what), pruning_rule(what.config)
    verdicts = []
    for number, figure in enumerate([10.0, 20.0, 5.0, 30.0]):
        study.record(study.ask(what), what)
        verdicts.append(study.should_prune(number, 10_000, figure, rule))
        study.tell(number, "pruned" if verdicts[-1] else "finished", None if verdicts[-1] else [figure])
    assert verdicts == [False, False, True, False]


def test_lower_may_be_better(tmp_path: Path) -> None:
    what = search("sweep.sampler=random", "sweep.objective=[time/elapsed]", *SPACE)
    begin(tmp_path, what)
    with pytest.raises(StorageError, match="its objectives are others"):
        Study.open(tmp_path, objectives(search("sweep.sampler=random", *SPACE).settings))


def event(**content: Any) -> bytes:
    return json.dumps({"worker_id": "x", **content}).encode() + b"\n"


@pytest.mark.parametrize(
    "harm",
    [
        b"evil\n",
        event(op_code=99),
        event(op_code=4),
        event(op_code="4", study_id=0),
        event(op_code=1, study_id=0),
        event(op_code=6, trial_id=0, state=1, values=["x"], datetime_complete="2026-01-01T00:00:00+00:00"),
        event(op_code=6, trial_id=0, state=1, values=[1e999], datetime_complete="2026-01-01T00:00:00+00:00"),
        event(op_code=6, trial_id=0, state=1, values=[1, 2], datetime_complete="2026-01-01T00:00:00+00:00"),
        event(op_code=6, trial_id=0, state=7, values=None),
        event(op_code=8, trial_id=0, user_attr={"reason": [1]}),
        event(op_code=8, trial_id=0, user_attr={"stop": "x"}),
        event(op_code=5, trial_id=0, param_name="algo.clip", param_value_internal=99.0,
              distribution='{"name": "FloatDistribution", "attributes": {"low": 0.1, "high": 0.9}}'),
        event(op_code=5, trial_id=0, param_name="x", param_value_internal=0,
              distribution="__import__('os').system('touch pwned')"),
        event(op_code=7, trial_id=0, step=1, intermediate_value=float("nan")),
    ],
)  # fmt: skip
def test_a_study_that_is_none(harm: bytes, tmp_path: Path) -> None:
    what = search("sweep.sampler=random", *SPACE)
    study = begin(tmp_path, what)
    study.record(study.ask(what), what)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + harm)
    with pytest.raises(StorageError, match=r"study\.log is damaged") as caught:
        Study.open(tmp_path, objectives(what.settings)).check_space(what.dimensions)
    assert len(str(caught.value)) < 500


def test_trials_of_another_space_are_not_gone_on_with(tmp_path: Path) -> None:
    what = search("sweep.sampler=random", *SPACE)
    study = begin(tmp_path, what)
    study.record(study.ask(what), what)
    study.check_space(what.dimensions)
    with pytest.raises(StorageError, match="trial 0 is of another space"):
        study.check_space(search("sweep.sampler=random", *SPACE[:2]).dimensions)
