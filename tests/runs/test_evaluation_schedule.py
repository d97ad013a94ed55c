"""Evaluations with eval.every=null: what the first one decides, and that every later process follows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.errors import EXIT_DONE, EXIT_SIGINT
from rlcli.maths.draws import environment_seed
from rlcli.runs import evaluation_schedule
from rlcli.runs.cadence import AT_THE_END_ONLY
from rlcli.runs.evaluation_schedule import Decision, EvaluationSchedule, Trial, decision
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.train import Result, train
from rlcli.store.config_file import read_config
from rlcli.sweeps.training import Training
from tests.runs.resuming import (
    assert_same_run,
    assert_same_states,
    copy,
    reset_manifest,
    resumed,
    train_with_copies,
    without_evaluations,
)
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny

LONG: dict[str, Any] = {
    "total_steps": 20 * BATCH, "checkpoint__every": 3 * BATCH, "algo__learning_rate": 0.02, "algo__epochs": 1,
    "health__epochs": False, "eval__every": None,
}  # fmt: skip
"""Twenty updates: by default every second is evaluated."""


def left_open(**changes: Any) -> RunConfig:
    config = tiny(**LONG | changes)
    assert config.eval.every is None
    return config


@pytest.fixture(params=[True, False], ids=["cheap", "dear"])
def cheap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether an evaluation costs little enough, whatever it takes."""
    allowed(monkeypatch, request.param)
    return bool(request.param)


def allowed(monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    monkeypatch.setattr(evaluation_schedule, "SHARE", 1e9 if yes else 1e-9)


def evaluated(run_dir: Path) -> list[int]:
    """The updates that have an evaluation."""
    return [row["update"] for row in rows_of(run_dir) if "eval/return_mean" in row]


def trained(run_dir: Path, **changes: Any) -> Result:
    [result] = train([left_open(**changes)], [run_dir], quiet=True)
    assert result.exit_code == EXIT_DONE
    return result


EVERY_SECOND = list(range(2, 21, 2))


@pytest.mark.parametrize(
    ("changes", "recorded", "wanted"),
    [
        ({}, None, EvaluationSchedule(64, undecided=True)),
        ({}, 64, EvaluationSchedule(64)),
        ({}, 0, EvaluationSchedule(0)),
        ({"total_steps": 20 * BATCH - 5}, None, EvaluationSchedule(64, undecided=True)),
        ({"total_steps": 9 * BATCH}, None, EvaluationSchedule(0)),
        ({"total_steps": 9 * BATCH + 1}, None, EvaluationSchedule(29, undecided=True)),
        ({"eval__every": 0}, None, EvaluationSchedule(0)),
        ({"eval__every": 96}, 64, EvaluationSchedule(96)),
        ({"eval__episodes": 0}, None, EvaluationSchedule(0)),
        ({"stop_at__threshold": 1.0}, None, EvaluationSchedule(64)),
        ({"stop_at__threshold": 1.0}, 0, EvaluationSchedule(64)),
        ({"stop_at__threshold": 1.0, "total_steps": BATCH}, None, EvaluationSchedule(4)),
        (
            {"stop_at__threshold": 1.0, "stop_at__metric": "train/return_100"},
            None,
            EvaluationSchedule(64, undecided=True),
        ),
    ],
)
def test_the_schedule_of_a_config(
    changes: dict[str, Any], recorded: int | None, wanted: EvaluationSchedule
) -> None:
    assert EvaluationSchedule.of(tiny(**LONG | changes), recorded) == wanted


def trial(config: RunConfig, limit: int | None, training: float, steps: Sequence[float]) -> Trial:
    """A trial of an evaluation whose steps take so many seconds each, played until it takes too long."""
    now = 0.0
    found = Trial(config, limit, training, clock=lambda: now)
    for seconds in (0.0, *steps):
        now += seconds
        if found.step():
            break
    return found


@pytest.mark.parametrize(
    ("limit", "training", "seconds", "affordable"),
    [
        (None, 100.0, [1.0] * 5, True),
        (None, 100.0, [1.0] * 6, False),
        (None, 99.9, [1.0] * 5, False),
        (5, 100.0, [0.9] * 2, True),
        (6, 100.0, [0.9] * 2, False),
        (6, 0.0, [1e-9] * 2, False),
    ],
)
@pytest.mark.broken_by(
    "a short first evaluation taken for the longest",
    "runs/evaluation_schedule.py",
    "max(self._seconds, longest or 0.0)",
    "self._seconds",
)
def test_a_trial_allows_a_twentieth_of_the_training_time(
    limit: int | None, training: float, seconds: list[float], affordable: bool
) -> None:
    found = trial(left_open(), limit, training, seconds).decision
    assert (found.reason is None) == affordable


def test_episodes_one_after_another_count_each() -> None:
    config = left_open(eval__episodes=11)
    assert trial(config, 4, 200.0, [1.0]).decision == Decision()
    assert trial(config, 4, 150.0, [1.0]).decision.reason is not None
    assert trial(left_open(eval__max_steps=3), 4, 61.0, [1.0]).decision == Decision()


def test_a_trial_that_takes_too_long_is_given_up() -> None:
    found = trial(left_open(), None, 100.0, [4.0, 2.0, 1000.0])
    assert "could take 6% of the training time (about 1 m 40 s)" in str(found.decision.reason)


def test_the_reason_is_one_plain_line() -> None:
    assert decision(left_open(), 10.0, 50.0).reason == (
        f"{AT_THE_END_ONLY}: one evaluation could take 20% of the training time (about 50 s), and the "
        "default allows 5%. To evaluate during training anyway: eval.every=64."
    )


def test_the_first_evaluation_decides(
    cheap: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = trained(tmp_path / "run").dir
    manifest, said = manifest_of(run_dir), capsys.readouterr().err
    assert evaluated(run_dir) == (EVERY_SECOND if cheap else [20])
    assert read_config(run_dir).eval.every is None
    assert manifest["eval_every"] == (64 if cheap else 0)
    if cheap:
        assert manifest["eval_every_reason"] is None
        assert AT_THE_END_ONLY not in said
    else:
        reason = manifest["eval_every_reason"]
        assert said.splitlines() == [reason]
        assert reason in (run_dir / "train.log").read_text()
        assert "eval.every=64" in reason
        assert "time/evaluate" in json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[1])


def test_best_means_something_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed(monkeypatch, True)
    run_dir = trained(tmp_path / "run").dir
    returns = {
        row["update"]: row["eval/return_mean"] for row in rows_of(run_dir) if "eval/return_mean" in row
    }
    assert index_of(run_dir)["best"] == max(returns, key=lambda update: returns[update])
    assert manifest_of(run_dir)["best_return_mean"] == max(returns.values())


@pytest.mark.broken_by(
    "an evaluation that moves the policy",
    "backends/native.py",
    "lambda leaf: leaf.index_select(0, row), self._state.policy",
    "lambda leaf: leaf.mul_(1.01).index_select(0, row), self._state.policy",
)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_evaluations_change_nothing_in_training(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests of parameters, optimiser, statistics and collector are equal with and without."""
    settings = {
        "env__id": env, "env__normalize_observation": True, "env__normalize_reward": True,
        "env__kwargs": {"max_episode_steps": 20},
    }  # fmt: skip
    found = []
    for name, yes, changes in [("on", True, {}), ("off", False, {}), ("none", True, {"eval__episodes": 0})]:
        allowed(monkeypatch, yes)
        run_dir = trained(tmp_path / name, **settings, **changes).dir
        found.append(((run_dir / "digests.txt").read_text(), without_evaluations(rows_of(run_dir))))
    assert found[0] == found[1] == found[2]


@pytest.mark.broken_by(
    "a resumed run that decides again",
    "runs/recorder.py",
    'EvaluationSchedule.of(config, manifest.content["eval_every"])',
    "EvaluationSchedule.of(config, None)",
)
def test_a_resumed_run_follows_what_was_decided(
    cheap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, copies = train_with_copies(left_open(), tmp_path / "run", (2, 4, 11))
    allowed(monkeypatch, not cheap)
    for killed in copies:
        resumed(killed)
        assert_same_run(killed, whole.dir)


def test_before_the_first_evaluation_nothing_is_decided(cheap: bool, tmp_path: Path) -> None:
    whole, [killed] = train_with_copies(left_open(), tmp_path / "run", (1,))
    assert manifest_of(killed)["eval_every"] is None
    resumed(killed)
    assert_same_run(killed, whole.dir)


@pytest.mark.broken_by(
    "a reproduction that decides again",
    "runs/reproduce.py",
    "every=0 if evaluations.undecided else evaluations.every",
    "every=config.eval.every",
)
def test_a_reproduction_follows_what_was_decided(
    cheap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, [killed] = train_with_copies(left_open(), tmp_path / "run", (1,))
    allowed(monkeypatch, not cheap)
    outcome = reproduce(plan(whole.dir), tmp_path / "again")
    assert outcome.identical
    assert rows_of(tmp_path / "again") == rows_of(whole.dir)
    assert_same_states(tmp_path / "again", whole.dir)
    assert plan(killed).config.eval.every == 0
    assert plan(whole.dir, until=12).config.eval.every == (64 if cheap else 0)


def test_a_run_that_is_asked_for_evaluations_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(monkeypatch, False)
    run_dir = trained(tmp_path / "run").dir
    resumed(run_dir, f"total_steps={26 * BATCH}", "eval.every=96")
    assert evaluated(run_dir) == [20, 21, 24, 26]


def test_what_was_decided_holds_for_more_steps(cheap: bool, tmp_path: Path) -> None:
    run_dir = trained(tmp_path / "run").dir
    resumed(run_dir, f"total_steps={40 * BATCH}")
    wanted = [*EVERY_SECOND, *range(22, 41, 2)] if cheap else [20, 40]
    assert evaluated(run_dir) == wanted
    assert manifest_of(run_dir)["eval_every"] == (64 if cheap else 0)


def test_a_run_from_before_is_evaluated_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its config has the former default, 0, or not even the key; its manifest has no decision."""
    allowed(monkeypatch, True)
    whole, [killed] = train_with_copies(tiny(**LONG | {"eval__every": 0}), tmp_path / "run", (5,))
    for older in (killed, copy(killed, "and without the key")):
        manifest = manifest_of(older)
        del manifest["eval_every"], manifest["eval_every_reason"]
        (older / "manifest.json").write_text(json.dumps(manifest))
        config = older / "config.yaml"
        if older != killed:
            config.write_text(config.read_text().replace("  every: 0\n  episodes", "  episodes"))
            reset_manifest(older, config_sha256=None)
        assert read_config(older) == read_config(whole.dir)
        outcome = reproduce(plan(older), older.with_name(f"{older.name} again"))
        assert outcome.identical
        assert evaluated(older.with_name(f"{older.name} again")) == [5]
        resumed(older)
        assert_same_run(older, whole.dir)
        assert evaluated(older) == [20]


def test_a_cohort_is_treated_alike(cheap: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One decision and one line for all; each run's numbers are those of the lone run."""
    configs = [left_open(seed=seed) for seed in range(3)]
    dirs = [tmp_path / f"run {seed}" for seed in range(3)]
    train(configs, dirs, quiet=True)
    assert capsys.readouterr().err.count(AT_THE_END_ONLY) == (not cheap)
    assert len({manifest_of(one)["eval_every_reason"] for one in dirs}) == 1
    assert all(evaluated(one) == (EVERY_SECOND if cheap else [20]) for one in dirs)
    alone = trained(tmp_path / "alone", seed=1).dir
    assert_same_run(dirs[1], alone)


def test_members_of_a_cohort_may_be_of_other_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed(monkeypatch, True)
    configs = [left_open(total_steps=steps * BATCH, schedule_steps=640) for steps in (30, 20, 5)]
    train(configs, dirs := [tmp_path / name for name in "abc"], quiet=True)
    assert [manifest_of(one)["eval_every"] for one in dirs] == [96, 64, None]
    assert [evaluated(one) for one in dirs] == [list(range(3, 31, 3)), EVERY_SECOND, [5]]


@pytest.mark.broken_by(
    "a trial that a signal ended taken for too long",
    "runs/evaluations.py",
    "if trial is not None and not self._stop:",
    "if trial is not None:",
)
def test_a_first_evaluation_that_a_signal_ends_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tests.runs.environments  # noqa: F401

    allowed(monkeypatch, True)
    pressed = {
        "env__id": "tests.runs.environments:Interrupting-v0",
        "env__kwargs": {"seed": environment_seed(0, "evaluation", 1)},
    }
    [result] = train([left_open(**pressed)], [tmp_path / "run"], quiet=True)
    assert (result.exit_code, result.updates) == (EXIT_SIGINT, 2)
    assert manifest_of(result.dir)["eval_every"] is None
    config = read_config(result.dir)
    text = (result.dir / "config.yaml").read_text().replace(str(config.env.kwargs["seed"]), "-1")
    (result.dir / "config.yaml").write_text(text)
    reset_manifest(result.dir, config_sha256=None)
    resumed(result.dir)
    assert evaluated(result.dir) == EVERY_SECOND
    whole = trained(tmp_path / "whole", **pressed | {"env__kwargs": {"seed": -1}})
    assert_same_run(result.dir, whole.dir)


def test_a_tuned_config_leaves_it_open() -> None:
    config = compose([]).config
    assert (config.tuned, config.eval.every, config.eval.episodes) == ("ppo/CartPole-v1", None, 10)
    assert EvaluationSchedule.of(config) == EvaluationSchedule(10_000, undecided=True)
    assert dataclasses.replace(config, total_steps=95).tenth == 10


def test_runs_of_stable_baselines3_decide_too(
    cheap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sb3 = {"backend": "sb3", "total_steps": 10 * BATCH, "health__epochs": True}
    whole, [killed] = train_with_copies(left_open(**sb3), tmp_path / "run", (4,))
    assert evaluated(whole.dir) == ([*range(1, 11)] if cheap else [10])
    allowed(monkeypatch, not cheap)
    resumed(killed)
    assert_same_run(killed, whole.dir)


def test_a_sweep_shows_the_line_once() -> None:
    shown: list[str] = []
    training = Training.__new__(Training)
    training._at_the_end_only = False
    training._display = SimpleNamespace(message=shown.append)  # type: ignore[assignment]
    for text in ("a", f"{AT_THE_END_ONLY}: 1", "a", f"{AT_THE_END_ONLY}: 2", "b"):
        training._show(text)
    assert shown == ["a", f"{AT_THE_END_ONLY}: 1", "a", "b"]
