"""What the folders of a sweep's jobs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.errors import UserError
from rlcli.store.directory import find_run
from rlcli.sweeps.multirun import run_sweep
from rlcli.sweeps.names import TAKEN, job_names, trial_name
from rlcli.sweeps.plan import plan
from tests.runs.tiny import manifest_of
from tests.sweeps.composing import compose_multirun, multirun
from tests.sweeps.conftest import SMALL, Sweeping


def names(*overrides: str) -> list[str]:
    return job_names(compose_multirun(overrides))


def test_a_name_for_each_job_names_its_folder() -> None:
    assert names("name=aa,bb") == ["aa", "bb"]
    assert names("name=1e3,2.10") == ["1e3", "2.10"]
    assert names("name=aa,bb", "seed=0,1") == ["aa,seed=0", "aa,seed=1", "bb,seed=0", "bb,seed=1"]
    assert names("name=run-${seed}", "seed=0,1") == ["run-0", "run-1"]
    assert names("name=aa,null", "seed=0,1") == ["aa,seed=0", "aa,seed=1", "seed=0", "seed=1"]
    assert names("name=aa,null") == ["aa", "job"]


def test_one_name_for_all_jobs_is_that_of_the_sweep() -> None:
    assert names("name=aa", "seed=0,1") == ["seed=0", "seed=1"]


def test_a_name_that_two_jobs_would_have_is_refused(workplace: Path) -> None:
    words = [*SMALL, "name=aa,bb,aa"]
    command = multirun(words)
    with pytest.raises(UserError, match="name=aa is given to two jobs"):
        run_sweep(plan(command), command, quiet=True)
    with pytest.raises(UserError, match="two jobs"):
        names("name=aa,aa")
    with pytest.raises(UserError, match=r"aa,seed=0 is given to two jobs"):
        names("name=aa,bb", "seed=0,0")
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("name", ["a b", "last", "'../x'", "sweep.json", "lock"])
def test_a_name_that_no_job_can_have_is_refused(name: str, workplace: Path) -> None:
    with pytest.raises(UserError, match="name="):
        names(f"name=good,{name}")
    assert list(workplace.iterdir()) == []


def test_jobs_are_found_by_their_names(sweep: Sweeping, workplace: Path) -> None:
    done = sweep("name=1e3,bb", "total_steps=16")
    assert done.dir.name.startswith("sweep-ppo-CartPole-v1-")
    assert [job.name for job in done.jobs] == ["1e3", "bb"]
    assert manifest_of(done.dir / "1e3")["name"] == "1e3"
    assert find_run("1e3", Path("runs")) == done.dir / "1e3"
    assert {path.name for path in done.dir.iterdir() if path.is_file()} <= TAKEN


@pytest.mark.parametrize("character", ["x", "\u00fc", "\u20ac", "\U0001f40d"])
def test_long_names_are_cut_in_bytes_and_differ(character: str, tmp_path: Path) -> None:
    long = character * 150
    found = names(f"notes='{long}a','{long}b'", "seed=0,1")
    tried = [trial_name(3, [f"notes={long}", f"seed={seed}"]) for seed in (1, 2)]
    for name in (*found, *tried):
        assert len(name.encode()) < 120
        (tmp_path / name).mkdir()
    named = names(f"name={'x' * 180},bb", f"notes='{long}a','{long}b'")
    assert len(set(named)) == 4
    assert max(len(name.encode()) for name in named) < 255
    assert all(name.startswith(("x" * 180, "bb,notes=")) for name in named)


def test_a_name_cut_to_anothers_gets_another_number() -> None:
    long = "x" * 150
    assert len(set(names(f"notes={long}a,{long}b,{'x' * 94}-0"))) == 3
