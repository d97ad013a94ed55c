"""`rlcli.train` and `rlcli.sweep`: what the command line would train, as values of Python."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import rlcli
from tests.runs.tiny import rows_of
from tests.sweeps.conftest import SMALL, Sweeping

WORDS = [word for word in SMALL if not word.startswith("cohort.")]


def test_overrides_are_a_list_or_one_string(workplace: Path) -> None:
    one = rlcli.train([*WORDS, "name=one", "notes=two words"])
    other = rlcli.train(" ".join([*WORDS, "name=other", "'notes=two words'"]))
    assert (one.status, one.updates, one.exit_code) == ("finished", 6, 0)
    assert rows_of(one.dir) == rows_of(other.dir)
    assert rlcli.load(other.dir).config.notes == "two words"


def test_a_sweep_is_that_of_the_command_line(sweep: Sweeping) -> None:
    result = rlcli.sweep([*SMALL, "seed=0,1", "algo.gamma=0.9,0.99"])
    wanted = sweep("seed=0,1", "algo.gamma=0.9,0.99")
    assert (result.status, result.exit_code, len(result.results)) == ("finished", 0, 4)
    for job, found, row in zip(wanted.jobs, result.results, result.rows, strict=True):
        assert (found.dir.name, found.dir.parent, row["job"]) == (job.name, result.dir, job.name)
        assert rows_of(found.dir) == rows_of(wanted.dir / job.name)
        assert (found.status, found.updates, found.env_steps) == ("finished", 6, 96)
        assert found.eval_return_mean == row["eval_return_mean"] == job.eval_return_mean
        assert (row["dir"], row["id"]) == (str(found.dir), found.id)
    assert [(row["seed"], row["algo.gamma"]) for row in result.rows] == [
        (0, 0.9), (0, 0.99), (1, 0.9), (1, 0.99),
    ]  # fmt: skip


def test_rows_are_those_of_results_csv_with_types(workplace: Path) -> None:
    result = rlcli.sweep([*SMALL, "seed=0,1", "algo.value_clip=null,0.2"])
    written = list(csv.DictReader((result.dir / "results.csv").read_text().splitlines()))
    assert [list(row) for row in written] == [list(row) for row in result.rows]
    assert [row["algo.value_clip"] for row in result.rows] == [None, 0.2, None, 0.2]
    assert [row["algo.value_clip"] for row in written] == ["null", "0.2", "null", "0.2"]
    for text, row in zip(written, result.rows, strict=True):
        assert float(text["behaviour/ess"]) == row["behaviour/ess"]
        assert int(text["env_steps"]) == row["env_steps"] == 96
        assert text["train/return_100"] == ("" if (value := row["train/return_100"]) is None else repr(value))


def test_a_job_that_fails_is_one_result_among_the_others(workplace: Path) -> None:
    probe = "env=tests.envs.probes:ProbeFaulty-v0"
    result = rlcli.sweep([*SMALL, probe, "env.kwargs.at=99,3", "eval.episodes=0"])
    assert (result.status, result.exit_code) == ("failed", 1)
    assert [one.status for one in result.results] == ["finished", "failed"]
    assert [one.exit_code for one in result.results] == [0, 1]
    assert "broken at step 3" in str(result.results[1].message)


def test_a_sweep_may_have_a_sampler(workplace: Path) -> None:
    pytest.importorskip("optuna")
    words = ("sweep.sampler=random", "sweep.trials=3", "algo.gamma=interval(0.9,0.99)")
    result = rlcli.sweep([*SMALL, *words])
    assert [row["trial"] for row in result.rows] == [0, 1, 2]
    assert all(0.9 <= row["algo.gamma"] <= 0.99 for row in result.rows)


@pytest.mark.parametrize("call", [rlcli.train, rlcli.sweep])
def test_wrong_overrides_raise_all_faults_and_write_nothing(call: object, workplace: Path) -> None:
    assert callable(call)
    with pytest.raises(rlcli.UserError, match=r"algo\.gama") as caught:
        call("algo.gama=0.9 env.num_envs=0")
    assert len(caught.value.faults) == 2
    assert list(workplace.iterdir()) == []
