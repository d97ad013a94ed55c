"""Sweeps with a sampler: trials, their values, what is refused, failed or pruned, and how they go on."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rlcli.sweeps.cohort_job as cohort_job
from rlcli.config.compose import with_tuned
from rlcli.config.schema.run import RunConfig
from rlcli.config.schema.sweep import SweepConfig
from rlcli.errors import StorageError, UserError
from rlcli.runs.train import Result, train
from rlcli.store.rows import last_row
from rlcli.sweeps.multirun import Sweep
from rlcli.sweeps.names import trial_name
from rlcli.sweeps.search.loop import resume_search
from rlcli.sweeps.search.objectives import objectives
from rlcli.sweeps.search.study import Study, Trial
from rlcli.sweeps.status import sweep_status
from tests.forked import program
from tests.runs.resuming import assert_same_run
from tests.sweeps.conftest import SMALL, Sweeping

TWO = ("sweep.sampler=random", "sweep.trials=3", "sweep.parallel=2", "sweep.replicas=2",
       "algo.clip=interval(0.1,0.4)", "algo.learning_rate=tag(log,interval(1e-3,1e-1))",
       "total_steps=32")  # fmt: skip
RETURN = objectives(SweepConfig())


def trials_of(directory: Path) -> list[Trial]:
    return Study.open(directory, RETURN).trials()


def assert_as_alone(done: Sweep, place: Path) -> None:
    for job in done.jobs:
        if job.status == "finished":
            train([done.config(job)], [place / job.name], quiet=True)
            assert_same_run(done.dir / job.name, place / job.name)


@pytest.mark.parametrize("launcher", ["cohort", "basic"])
def test_trials_with_seeds_as_replicas(launcher: str, searched: Sweeping, workplace: Path) -> None:
    done = searched(*TWO, "seed=4", f"hydra/launcher={launcher}")
    assert (done.exit_code, [job.trial for job in done.jobs]) == (0, [0, 0, 1, 1, 2, 2])
    trials = trials_of(done.dir)
    assert [trial.status for trial in trials] == ["finished"] * 3
    for trial in trials:
        jobs = [job for job in done.jobs if job.trial == trial.number]
        configs = [done.config(job) for job in jobs]
        assert [config.seed for config in configs] == [4, 5]
        assert {config.algo.clip for config in configs} == {trial.params["algo.clip"]}
        assert trial.values == ((jobs[0].eval_return_mean + jobs[1].eval_return_mean) / 2,)  # type: ignore[operator]
        assert all(config.sweep == SweepConfig() for config in configs)
    assert done.jobs[3].name.startswith("t001,clip=0.")
    assert done.jobs[3].name.endswith(",seed=5")
    cohorts = {
        len(json.loads((done.dir / job.name / "manifest.json").read_text())["cohort"]) for job in done.jobs
    }
    assert cohorts == ({4, 2} if launcher == "cohort" else {0})
    rows = list(csv.DictReader((done.dir / "results.csv").read_text().splitlines()))
    assert [row["trial"] for row in rows] == list("001122")
    assert float(rows[0]["algo.clip"]) == trials[0].params["algo.clip"]
    assert_as_alone(done, workplace / "alone")


def test_seeds_and_grid_and_several_objectives(searched: Sweeping) -> None:
    done = searched(
        "sweep.sampler=grid", "algo.clip=0.1,0.2", "algo.epochs=1,2", "total_steps=32",
        "sweep.objective=[eval/return_mean,behaviour/ess]",
    )  # fmt: skip
    assert [job.trial for job in done.jobs] == [0, 1, 2, 3]
    stands = sweep_status(Sweep.read(done.dir))
    assert sorted((one.params["algo.clip"], one.params["algo.epochs"]) for one in stands.trials) == [
        ("0.1", "1"), ("0.1", "2"), ("0.2", "1"), ("0.2", "2"),
    ]  # fmt: skip
    for one in stands.trials:
        row = last_row(done.dir / one.jobs[0].name)
        assert one.values == [row["eval/return_mean"], row["behaviour/ess"]]
    front = {one.number for one in stands.best()}
    for one in stands.trials:
        beaten = any(
            other is not one and other.values != one.values
            and all(theirs >= ours for theirs, ours in zip(other.values or [], one.values or [], strict=True))
            for other in stands.trials
        )  # fmt: skip
        assert (one.number in front) == (not beaten)


def test_a_combination_that_cannot_be_trained_is_a_failed_trial(
    searched: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    done = searched("sweep.sampler=grid", "algo.minibatches=2,3,4", "total_steps=32")
    assert len(done.jobs) == 2
    stands = sweep_status(Sweep.read(done.dir))
    [failed] = [one for one in stands.trials if one.status == "failed"]
    assert failed.params == {"algo.minibatches": "3"}
    assert "does not divide" in str(failed.reason)
    assert done.exit_code == 0


def failing(seed: int, clip: float = 0.0) -> Any:
    def train_or_fail(configs: Sequence[RunConfig], dirs: Sequence[Path], **given: Any) -> list[Result]:
        hear = given.pop("on_row")

        def on_row(run: int, row: Any) -> Any:
            if configs[run].seed == seed and configs[run].algo.clip > clip:
                raise StorageError("no place")
            return hear(run, row)

        return train(configs, dirs, on_row=on_row, **given)

    return train_or_fail


@pytest.mark.broken_by(
    "a failed trial stays failed whatever its seeds come to",
    "sweeps/search/loop.py",
    "return study.reopened(numbers) if numbers else study",
    "return study",
)
def test_a_failed_seed_fails_its_trial_and_is_tried_again_on_request(
    searched: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cohort_job, "train", failing(1, 0.3))
        done = searched(*TWO)
    before = trials_of(done.dir)
    clips = [float(trial.params["algo.clip"]) for trial in before]
    assert [trial.status for trial in before] == ["failed" if clip > 0.3 else "finished" for clip in clips]
    assert len({trial.status for trial in before}) == 2
    failed = next(trial for trial in before if trial.status == "failed")
    assert "no place" in str(failed.reason)
    assert done.exit_code == 1
    assert [one.status for one in trials_of(resume_search(done.dir, quiet=True).dir)] == [
        one.status for one in before
    ]
    again = resume_search(done.dir, retry=True, quiet=True)
    assert again.exit_code == 0
    whole = searched(*TWO, "name=whole")
    assert [one.values for one in trials_of(again.dir)] == [one.values for one in trials_of(whole.dir)]


@pytest.mark.broken_by(
    "the last seed of a trial ends an update before the others",
    "sweeps/search/pruner.py",
    "            self._compare(number, mark, name, row[FIGURE], steps)\n        return False",
    "            self._compare(number, mark, name, row[FIGURE], steps)\n"
    "        return self._stop[number] is not None",
)
@pytest.mark.broken_by(
    "a trial judged by one seed",
    "sweeps/search/pruner.py",
    "if len(figures) == self._seeds:",
    "if len(figures) == 1:",
)
def test_pruned_trials_end_at_one_update_and_the_others_do_not_feel_it(
    searched: Sweeping, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int, float]] = []

    def should_prune(self: Study, number: int, step: int, value: float, rule: Any) -> bool:
        asked.append((number, step, value))
        return (number, step) == (1, 40)

    monkeypatch.setattr(Study, "should_prune", should_prune)
    pruning = ("sweep.pruner=median", "sweep.prune_every=20", "total_steps=96")
    done = searched(*TWO, *pruning)
    statuses = [[job.status for job in done.jobs if job.trial == number] for number in range(3)]
    assert statuses == [["finished"] * 2, ["pruned"] * 2, ["finished"] * 2]
    assert {job.env_steps for job in done.jobs if job.trial == 1} == {64}, (
        "judged after 48, ended at the next"
    )
    assert [(number, step) for number, step, _ in asked] == [
        (0, 20), (1, 20), (0, 40), (1, 40), (0, 60), (0, 80), (2, 20), (2, 40), (2, 60), (2, 80),
    ]  # fmt: skip
    rows = [(done.dir / done.jobs[seed].name / "metrics.jsonl").read_text().splitlines() for seed in (0, 1)]
    returns = [json.loads(lines[1])["train/return_100"] for lines in rows]
    assert asked[0][2] == sum(returns) / 2
    assert trials_of(done.dir)[1].stop == 48
    assert_as_alone(done, workplace / "alone")


KILLED = f"""
import os, signal, sys
import rlcli.sweeps.search.loop as search
import rlcli.sweeps.cohort_job as cohort_job
from rlcli.runs.train import train
from rlcli.sweeps.plan import plan_search
from rlcli.sweeps.search.study import Study
from rlcli.sweeps.sweep import Sweep
from tests.sweeps.composing import multirun

moment, words = sys.argv[1], [*{list(SMALL)}, *sys.argv[2:]]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

calls = dict.fromkeys(("add", "tell", "record"), 0)
def pruned(configs, dirs, *, on_row, **given):
    def heard(run, row):
        return kill() if (run, row["update"]) == (1, 3) else on_row(run, row)
    return train(configs, dirs, on_row=heard, **given)

def at(name, number, whole):
    def called(*given, **named):
        calls[name] += 1
        if calls[name] == number:
            kill()
        return whole(*given, **named)
    return called

def dying(configs, dirs, *, on_row, **given):
    def heard(run, row):
        trained = dirs[run].name.startswith("t003") and row["update"] == 2
        return kill() if trained else on_row(run, row)
    return train(configs, dirs, on_row=heard, **given)

if moment == "asked":
    Sweep.add = at("add", 4, Sweep.add)
elif moment == "amid a batch":
    Study.record = at("record", 4, Study.record)
elif moment == "training":
    cohort_job.train = dying
elif moment == "pruning":
    Study.should_prune = lambda self, number, step, value, rule: step == 20
    cohort_job.train = pruned
elif moment == "telling":
    Study.tell = at("tell", 2, Study.tell)
search.run_search(plan_search(multirun(words)), quiet=True)
"""
"""A sweep that is killed at a certain moment of its second batch, or before its first is told whole."""


def killed(moment: str, *words: str) -> Path:
    assert program(KILLED, moment, *words, "name=cut") == (-signal.SIGKILL, "")
    return Path("runs/cut")


@pytest.mark.broken_by(
    "trials that were asked for and not frozen forgotten",
    "sweeps/search/loop.py",
    "one.number not in have]",
    "one.number < 0]",
    case="asked",
)
@pytest.mark.broken_by(
    "trials that were over and not told forgotten",
    "sweeps/search/loop.py",
    "            remaining.tell()\n"
    "            training.train([*left, *remaining.begun()])\n"
    "            while batch := remaining.batch():\n"
    "                training.train(batch)\n",
    "            training.train([*left, *remaining.begun()])\n",
    case="telling",
)
@pytest.mark.parametrize("moment", ["asked", "amid a batch", "training", "telling"])
def test_a_kill_loses_nothing(moment: str, searched: Sweeping) -> None:
    saved = "checkpoint.every=16", "checkpoint.seconds=0"
    words = (*TWO[:1], "sweep.trials=5", *TWO[2:3], *TWO[4:], "total_steps=48", *saved)
    found = killed(moment, *words)
    if moment == "asked":
        (found / "study.log").write_bytes((found / "study.log").read_bytes() + b'{"op_code":')
    over = [found / job.name for job in Sweep.read(found).jobs if job.status == "finished"]
    before = {path: path.stat().st_mtime_ns for folder in over for path in folder.rglob("*")}
    assert before
    resumed = resume_search(found, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was finished was touched"
    whole = searched(*words, "name=whole")
    assert [job.name for job in resumed.jobs] == [job.name for job in whole.jobs]
    assert [(one.status, one.params, one.values) for one in trials_of(found)] == [
        (one.status, one.params, one.values) for one in trials_of(whole.dir)
    ]
    for job in whole.jobs:
        assert_same_run(found / job.name, whole.dir / job.name)
    left = {path.name for path in found.iterdir() if path.is_file()}
    assert left == {"sweep.json", "base.yaml", "study.log", "results.csv"}


@pytest.mark.broken_by(
    "a verdict told before it is written",
    "sweeps/search/pruner.py",
    "                self._study.stop_after(number, steps)\n",
    "",
)
def test_a_verdict_outlives_a_kill(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed of a trial that is to be pruned was, the other was cut: it ends at the same update."""
    found = killed(
        "pruning", "sweep.sampler=random", "sweep.trials=1", "sweep.replicas=2",
        "algo.clip=interval(0.1,0.4)", "sweep.pruner=median", "sweep.prune_every=20",
    )  # fmt: skip
    assert [job.status for job in Sweep.read(found).jobs] == ["pruned", "killed"]
    monkeypatch.setattr(Study, "should_prune", lambda self, number, step, value, rule: False)
    done = resume_search(found, quiet=True)
    assert [(job.status, job.env_steps) for job in done.jobs] == [("pruned", 48)] * 2
    assert [trial.status for trial in trials_of(found)] == ["pruned"]


def test_a_signal_ends_a_sweep_and_it_goes_on(searched: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(configs: Sequence[RunConfig], dirs: Sequence[Path], **given: Any) -> list[Result]:
        hear = given.pop("on_row")

        def on_row(run: int, row: Any) -> Any:
            if run == 2 and row["update"] == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return hear(run, row)

        return train(configs, dirs, on_row=on_row, **given)

    with monkeypatch.context() as patch:
        patch.setattr(cohort_job, "train", stopped)
        cut = searched(*TWO, "name=cut")
    assert (cut.exit_code, len(cut.jobs)) == (130, 4)
    stands = sweep_status(Sweep.read(cut.dir))
    assert (stands.status, stands.counts) == ("interrupted", {"interrupted": 2})
    done = resume_search(cut.dir, quiet=True)
    whole = searched(*TWO, "name=whole")
    assert [one.values for one in trials_of(done.dir)] == [one.values for one in trials_of(whole.dir)]


def own(folder: Path, clip: float) -> None:
    (folder / "algo").mkdir(parents=True, exist_ok=True)
    (folder / "algo" / "own.yaml").write_text(f"defaults: [ppo]\ngae_lambda: {clip}\n")


@pytest.mark.broken_by(
    "what changed since a sweep began goes unnoticed",
    "sweeps/search/loop.py",
    "        if not differing:\n            return search",
    "        if differing or not differing:\n            return search",
)
def test_config_files_that_changed_are_noticed(searched: Sweeping, workplace: Path) -> None:
    own(workplace / "mine", 0.5)
    done = searched(*TWO, "algo=own", config_dir="mine")
    before = (done.dir / "study.log").read_bytes()
    with pytest.raises(UserError, match=r"started with --config-dir .*/mine; give it again"):
        resume_search(done.dir, quiet=True)
    assert resume_search(done.dir, config_dir="mine", quiet=True).exit_code == 0
    own(workplace / "mine", 0.6)
    with_tuned.cache_clear()
    with pytest.raises(
        UserError, match=r"settings it was started with are different now, in algo\.gae_lambda"
    ):
        resume_search(done.dir, config_dir="mine", quiet=True)
    assert (done.dir / "study.log").read_bytes() == before


def test_jobs_that_differ_in_seeds_alone_are_one_trial_without_a_sampler(sweep: Sweeping) -> None:
    done = sweep("algo.clip=0.1,0.2", "seed=0,1,2", "total_steps=32")
    stands = sweep_status(Sweep.read(done.dir))
    assert [one.params for one in stands.trials] == [{"algo.clip": "0.1"}, {"algo.clip": "0.2"}]
    low, middle, high = sorted(job.eval_return_mean or 0.0 for job in stands.trials[0].jobs)
    assert stands.trials[0].values == [pytest.approx((0.25 * low + middle + 0.25 * high) / 1.5)]
    [best] = stands.best()
    assert best.values == max(one.values or [0.0] for one in stands.trials)
    assert str(best.command()).endswith("seed=0,1,2")
    assert "name=" not in str(best.command())


def test_names_of_trials() -> None:
    assert trial_name(3, ["algo.clip=0.123456", "seed=1"]) == "t003,clip=0.1235,seed=1"
    assert trial_name(3, ["env.kwargs.a=[1,2]", "eval.every=5"]) == "t003,a=1-2,every=5"
    assert (
        trial_name(1234, ["eval.every=5", "checkpoint.every=1e-05"])
        == "t1234,eval.every=5,checkpoint.every=1e-05"
    )
    long = [trial_name(3, [f"notes={'x' * 300}", f"seed={seed}"]) for seed in (1, 2)]
    assert len(set(long)) == 2
    assert max(map(len, long)) < 120


def test_a_sweep_that_goes_on_longer_begins_with_the_trials_it_had(searched: Sweeping) -> None:
    tpe = ("sweep.sampler=tpe", "sweep.parallel=2", "total_steps=32", "algo.clip=interval(0.1,0.4)")
    short = searched(*tpe, "sweep.trials=3")
    with pytest.raises(UserError, match="3 have been asked for already"):
        resume_search(short.dir, trials=2, quiet=True)
    longer = resume_search(short.dir, trials=4, quiet=True)
    whole = searched(*tpe, "sweep.trials=4")
    assert len(longer.jobs) == 4
    assert [one.params for one in trials_of(longer.dir)][:3] == [one.params for one in trials_of(short.dir)][
        :3
    ]
    assert [job.name for job in longer.jobs] == [job.name for job in whole.jobs]
    assert len(resume_search(short.dir, quiet=True).jobs) == 4
