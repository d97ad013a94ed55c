"""Which jobs train together."""

from __future__ import annotations

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.sweeps import cohorts as module
from rlcli.sweeps.cohorts import SHARE, Machine, cohorts, footprint
from tests.sweeps.composing import compose_multirun

LARGE = 2**40
ONE = Machine(1, LARGE)


def configs(*overrides: str) -> list[RunConfig]:
    return [job.config for job in compose_multirun(["tuned=none", *overrides])]


@pytest.mark.broken_by(
    "a key of the cohort's kept in the shape",
    "config/shape.py",
    "and not declared.cohort and",
    "and (name == 'seed' or not declared.cohort) and",
)
def test_jobs_that_differ_in_cohort_keys_train_together() -> None:
    varied = configs("seed=0,1,2", "algo.clip=0.1,0.2", "total_steps=1000,2000", "name=a,b", "logger=[]")
    assert cohorts(varied, ONE) == [list(range(24))]


@pytest.mark.broken_by(
    "a key that sets a shape left out of it",
    "config/shape.py",
    "and not declared.cohort and",
    "and name != 'algo.rollout_steps' and not declared.cohort and",
    case="algo.rollout_steps=64,128",
)
@pytest.mark.parametrize(
    "override",
    ["algo.rollout_steps=64,128", "network.hidden=[8],[9]", "env=CartPole-v1,Acrobot-v1", "algo=ppo,trpo",
     "eval.every=0,5000"],
)  # fmt: skip
def test_a_shape_is_a_cohort_of_its_own(override: str) -> None:
    assert cohorts(configs("seed=0,1,2", override), ONE) == [[0, 2, 4], [1, 3, 5]]


def test_cohorts_are_in_the_order_of_their_first_jobs() -> None:
    varied = configs("network.hidden=[8],[9]", "seed=0,1,2", "cohort.max_size=2")
    assert cohorts(varied, ONE) == [[0, 1], [2], [3, 4], [5]]


@pytest.mark.parametrize(("largest", "sizes"), [(1, [1] * 10), (3, [3, 3, 2, 2]), (10, [10]), (64, [10])])
def test_no_cohort_is_larger_than_asked_for(largest: int, sizes: list[int]) -> None:
    varied = configs("seed=range(10)", f"cohort.max_size={largest}")
    found = cohorts(varied, ONE)
    assert [len(part) for part in found] == sizes
    assert [job for part in found for job in part] == list(range(10))


def test_cohorts_fit_the_memory() -> None:
    varied = configs("seed=range(10)")
    each = footprint(varied[0])
    assert [len(part) for part in cohorts(varied, Machine(1, int(5.5 * each / SHARE)))] == [5, 5]
    assert len(cohorts(varied, Machine(1, 1))) == 10


def test_more_memory_is_counted_for_larger_jobs() -> None:
    [small] = configs("seed=0")
    for larger in ("network.hidden=[512,512]", "algo.rollout_steps=1024", "env.num_envs=64", "algo.reuse=4"):
        assert footprint(configs(larger)[0]) > footprint(small)


def test_each_core_has_a_part_if_parts_are_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST", 3)
    assert [len(part) for part in cohorts(configs("seed=range(10)"), Machine(2, LARGE))] == [5, 5]
    assert [len(part) for part in cohorts(configs("seed=range(10)"), Machine(8, LARGE))] == [4, 3, 3]
    assert [len(part) for part in cohorts(configs("seed=range(5)"), Machine(8, LARGE))] == [5]
    asked = configs("seed=range(10)", "cohort.workers=1")
    assert [len(part) for part in cohorts(asked, Machine(8, LARGE))] == [10]
    asked = configs("seed=range(3)", "cohort.workers=2")
    assert [len(part) for part in cohorts(asked, Machine(1, LARGE))] == [2, 1]
    threads = configs("seed=range(10)", "compute.threads=8")
    assert [len(part) for part in cohorts(threads, Machine(8, LARGE))] == [10]


def test_each_worker_of_a_launcher_has_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST", 4)
    few, many = configs("seed=range(6)"), configs("seed=range(12)")
    assert [len(part) for part in cohorts(many, Machine(1, LARGE, workers=5))] == [4, 4, 4]
    assert [len(part) for part in cohorts(few, Machine(1, LARGE, workers=3, divided=True))] == [2, 2, 2]
    asked = configs("seed=range(6)", "cohort.workers=2")
    assert [len(part) for part in cohorts(asked, Machine(1, LARGE, workers=3, divided=True))] == [3, 3]


def test_shapes_keep_the_workers_busy_before_they_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST", 3)
    two = configs("network.hidden=[8],[9]", "seed=range(6)")
    assert [len(part) for part in cohorts(two, Machine(2, LARGE))] == [6, 6]
    assert [len(part) for part in cohorts(two, Machine(3, LARGE))] == [3, 3, 3, 3]


def test_stable_baselines3_trains_one_by_one() -> None:
    assert cohorts(configs("seed=0,1", "backend=native,sb3"), ONE) == [[0, 2], [1], [3]]


@pytest.mark.broken_by(
    "seeds of a trial in two cohorts",
    "sweeps/cohorts.py",
    "(1, trial) if trial is not None else (0, position)",
    "(0, position)",
)
def test_the_seeds_of_a_trial_stay_together() -> None:
    varied = configs("algo.clip=0.1,0.2,0.3,0.4,0.5", "seed=0,1,2", "cohort.max_size=7")
    trials = [number // 3 for number in range(15)]
    assert cohorts(varied, ONE) == [list(range(5)), list(range(5, 10)), list(range(10, 15))]
    assert cohorts(varied, ONE, trials) == [list(range(6)), list(range(6, 12)), [12, 13, 14]]
    scattered = [number % 5 for number in range(15)]
    assert cohorts(varied, ONE, scattered)[0] == [0, 5, 10, 1, 6, 11]
    small = configs("algo.clip=0.1,0.2", "seed=0,1,2", "cohort.max_size=2")
    assert cohorts(small, ONE, [0, 0, 0, 1, 1, 1]) == [[0, 1], [2, 3], [4, 5]]
    workers = configs("algo.clip=0.1,0.2,0.3", "seed=0,1", "cohort.workers=4")
    assert cohorts(workers, ONE, [0, 0, 1, 1, 2, 2]) == [[0, 1], [2, 3], [4, 5]]
