"""Schedules: the value in force at each update, and after they have run out."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.keys import KEYS
from rlcli.learner.hyperparameters import NAMES, SCHEDULED, hyperparameters, remaining, stops_early
from rlcli.learner.table import algorithm
from tests.learner.setting import small


def values(name: str, algo: dict, updates: list[int], **others) -> list[float]:
    config = small(algo=algo, **others)
    table = hyperparameters([config] * len(updates), updates, "cpu")
    return getattr(table, name).squeeze(1).tolist()


@pytest.mark.broken_by(
    "the schedule reversed",
    "learner/hyperparameters.py",
    "return max(0.0, 1.0 - update * config.batch_size / config.horizon(update))",
    "return min(1.0, update * config.batch_size / config.horizon(update))",
)
def test_a_linear_schedule_falls_from_its_value_by_equal_steps():
    algo = {"learning_rate": 0.01, "learning_rate_schedule": "linear"}
    found = values("learning_rate", algo, [0, 1, 5, 9])
    assert found == pytest.approx([0.01, 0.009, 0.005, 0.001])


def test_it_holds_its_last_value_after_schedule_steps():
    algo = {"learning_rate": 0.01, "clip": 0.2, "clip_schedule": "linear"}
    assert values("learning_rate", algo, [1, 3, 4, 9], schedule_steps=256) == pytest.approx(
        [0.0075, 0.0025, 0, 0]
    )
    assert values("clip", algo, [0, 2, 4, 100], schedule_steps=256) == pytest.approx([0.2, 0.1, 0, 0])


def test_it_runs_over_schedule_steps_when_the_run_is_longer_or_shorter():
    algo = {"learning_rate": 1.0, "learning_rate_schedule": "linear"}
    for total in (64, 640, 6400):
        assert values("learning_rate", algo, [1], schedule_steps=1280, total_steps=total) == pytest.approx(
            [0.95]
        )


@pytest.mark.parametrize("name", ["learning_rate", "clip"])
def test_a_constant_schedule_stays(name):
    algo = {"learning_rate": 0.01, "clip": 0.3, f"{name}_schedule": "constant"}
    assert len(set(values(name, algo, [0, 3, 9, 50]))) == 1


@pytest.mark.broken_by(
    "an annealed penalty one update ahead",
    "learner/penalty.py",
    "return 1.0 / (1.0 - min(done, updates - 1) / updates)",
    "return 1.0 / (1.0 - min(done + 1, updates - 1) / updates)",
)
@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("constant", [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
        ("adaptive", [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
        ("linear", [3.0, 4.0, 6.0, 12.0, 12.0, 12.0]),
        ("inverse", [3.0, 1.5, 1.0, 0.75, 0.6, 0.03]),
    ],
)
@pytest.mark.parametrize("total", [256, 193])
def test_the_penalty_rises_or_falls_with_the_update(schedule, wanted, total):
    """K = 4 updates of 64 steps: linear is beta / (1 - k/K), and k stays K - 1 after that."""
    algo = {"penalty": "kl_pi_anchor", "beta": 3.0, "beta_schedule": schedule}
    updates, factor = [0, 1, 2, 3, 4, 99], torch.ones(6, dtype=torch.float64)

    def coefficients(config):
        configs = [config] * 6
        penalty = algorithm(config).penalty
        return penalty.coefficients(configs, updates, hyperparameters(configs, updates, "cpu"), factor)

    found = coefficients(small(algo=algo, total_steps=total))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(wanted)
    longer = small(algo=algo, total_steps=6400, schedule_steps=total)
    assert coefficients(longer).tolist() == found.tolist()


def test_what_has_no_schedule_stays():
    table = hyperparameters([small()] * 2, [0, 9], "cpu")
    for name in NAMES:
        if name not in ("learning_rate", "weight_cap"):
            assert getattr(table, name)[0] == getattr(table, name)[1], name


@pytest.mark.broken_by(
    "a hyperparameter forgotten",
    "learner/hyperparameters.py",
    "    if name.startswith(SECTION) and KEYS[name].declaration.cohort\n",
    '    if name.startswith(SECTION) and KEYS[name].declaration.cohort and name != "algo.clip"\n',
)
def test_every_number_that_may_differ_in_a_cohort_is_one():
    declared = {name for name, key in KEYS.items() if key.declaration.cohort and name.startswith("algo.")}
    assert {f"algo.{name}" for name in NAMES} == declared
    assert SCHEDULED == ("learning_rate", "clip")
    table = hyperparameters([small()], [0], "cpu")
    default = AlgoConfig()
    for name in NAMES:
        assert getattr(table, name).shape == (1, 1)
        value = getattr(default, name)
        if name not in ("learning_rate", "weight_cap") and value is not None:
            assert table.exact(name).item() == value
    with pytest.raises(AttributeError, match="nonsense is not declared"):
        _ = table.nonsense


def test_remaining_never_leaves_its_range():
    config = small(total_steps=100)
    assert [remaining(config, done) for done in range(4)] == pytest.approx([1.0, 0.36, 0.0, 0.0])


def test_runs_have_their_own_values_at_their_own_updates():
    configs = [
        small(algo={"learning_rate": rate, "gamma": gamma}) for rate, gamma in ((0.1, 0.9), (0.2, 0.99))
    ]
    table = hyperparameters(configs, [5, 0], "cpu")
    assert table.learning_rate.shape == (2, 1)
    assert table.learning_rate.flatten().tolist() == pytest.approx([0.05, 0.2])
    assert table.gamma.flatten().tolist() == pytest.approx([0.9, 0.99])


def test_an_absent_limit_is_infinite():
    table = hyperparameters([small(algo={"max_grad_norm": None})], [0], "cpu")
    assert table.max_grad_norm.item() == math.inf
    assert table.target_kl.item() == math.inf


def test_a_cohort_stops_early_when_any_of_its_runs_may():
    without, having = small(), small(algo={"target_kl": 0.1})
    assert not stops_early([without, without])
    assert stops_early([without, having])
    assert stops_early([having, without])
