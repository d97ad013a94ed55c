"""`rlcli train -m` with a sampler, and `rlcli sweep`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli
from tests.sweeps.conftest import SMALL

TPE = (*SMALL, "total_steps=32", "sweep.sampler=tpe", "sweep.trials=3", "sweep.replicas=2",
       "algo.clip=interval(0.1,0.3)", "algo.minibatches=2,3")  # fmt: skip


def test_a_search_from_the_command_to_its_best(rlcli: Rlcli) -> None:
    ended = rlcli("train", "-m", *TPE, "name=found")
    assert ended.code == 0
    assert "3 of 3 trials: best" in ended.err
    assert "cannot be trained: algo.minibatches=3 does not divide" in ended.err
    assert "Next: rlcli sweep best runs/found" in ended.out
    shown = rlcli("show", "found")
    assert shown.out.splitlines()[0].split()[:3] == ["trial", "job", "status"]
    [status] = rlcli("sweep", "status", "found", "--json").rows()
    assert (status["status"], status["trials"], status["sampler"]) == ("finished", 3, "tpe")
    assert status["trials_by_status"]["finished"] + status["trials_by_status"]["failed"] == 3
    told = rlcli("sweep", "status", "fou").out
    assert told.startswith("runs/found: finished, sampler tpe\n")
    assert "failed: trial" in told
    [best] = rlcli("sweep", "best", "last", "--json").rows()
    assert status["best"] == [best]
    assert set(best["params"]) == {"algo.clip", "algo.minibatches"}
    text = rlcli("sweep", "best", "found").out
    assert "interquartile mean of 2 seeds" in text
    command = text.rpartition("Train it again: ")[2].strip()
    assert command == best["command"]
    again = rlcli(*shlex.split(command)[1:], "name=again", "--json")
    returns = [row["eval_return_mean"] for row in again.rows()]
    assert returns == list(best["returns"].values())


def test_the_best_of_a_grid_without_a_sampler(rlcli: Rlcli) -> None:
    rlcli("train", "-m", *SMALL, "total_steps=32", "algo.clip=0.1,0.2", "seed=0,1", "name=grid", "--quiet")
    [best] = rlcli("sweep", "best", "grid", "--json").rows()
    assert set(best["params"]) == {"algo.clip"}
    assert len(best["returns"]) == 2
    assert "trials: 2 of 2, 2 finished" in rlcli("sweep", "status", "grid").out


@pytest.mark.parametrize("verb", ["status", "best"])
def test_sweeps_that_are_not_there(verb: str, rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("sweep", verb, "nothing")
    assert (ended.code, ended.out) == (2, "")
    assert "there are none in runs" in ended.err
    for name in ("widths", "width-other"):
        (workplace / "runs" / name).mkdir(parents=True)
        (workplace / "runs" / name / "sweep.json").write_text(
            json.dumps({"version": 2, "overrides": [], "started": "", "jobs": []})
        )
    assert "'width' means several sweeps: width-other, widths" in rlcli("sweep", verb, "width").err
    assert "Did you mean 'widths'" in rlcli("sweep", verb, "wdiths").err
    empty = rlcli("sweep", verb, "widths")
    assert (empty.code, empty.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "sweep=pppo"), "Unknown sweep 'pppo'. Did you mean 'ppo'"),
        (("sweep=ppo",), "add -m"),
        (("-m", "sweep.sampler=tep", "algo.clip=0.1,0.2"), "did you mean 'tpe'?"),
        (("-m", "sweep.replicas=3", "seed=0,1"), "sweep.replicas has no effect with sweep.sampler=none"),
        (("-m", "algo.clip=interval(0.1,0.3)"), "have a sampler choose: sweep.sampler=tpe"),
        (("algo.clip=interval(0.1,0.3)",), "an interval is searched by a sampler"),
        (("-m", "sweep=ppo", "sweep.pruner=meddian"), "did you mean 'median'?"),
        (("-m", "sweep=ppo", "sweep.direction=[up]"), "choose from higher, lower"),
    ],
)
def test_mistakes_leave_nothing_behind(
    words: tuple[str, ...], said: str, rlcli: Rlcli, workplace: Path
) -> None:
    ended = rlcli("train", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert not list(workplace.iterdir())


def test_the_configuration_of_a_search_is_shown(rlcli: Rlcli, workplace: Path) -> None:
    shown = rlcli("train", "-m", "sweep=ppo", "sweep.trials=7", "--cfg", "job")
    assert "  trials: 7  # command line" in shown.out
    assert "  pruner: median  # sweep/ppo" in shown.out
    assert not list(workplace.iterdir())


def test_a_key_of_a_sweep_is_explained(rlcli: Rlcli) -> None:
    assert "interquartile mean" in rlcli("explain", "sweep.replicas").out
    listed = rlcli("list", "configs").out
    assert "five seeds: a grid" in listed
