"""Runs on structured spaces: saved to a file, gone on with, and loaded into somebody else's program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlcli
from rlcli.config.schema.run import RunConfig
from rlcli.errors import UserError
from rlcli.maths.draws import environment_seed
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.train import Result
from rlcli.store.checkpoints import Checkpoints
from tests.runs.continuing import play
from tests.runs.test_continue import assert_same
from tests.runs.tiny import tiny

Trained = Callable[..., Result]
WANDERING = "tests.envs.probes:ProbeWandering-v0"
CASES: dict[str, dict[str, Any]] = {
    "levers, dict": {"env__id": WANDERING, "env__kwargs": {"space": "dict", "action": "multidiscrete"}},
    "switches, tuple": {"env__id": WANDERING, "env__kwargs": {"space": "tuple", "action": "multibinary"}},
    "blackjack": {"env__id": "Blackjack-v1"},
}
OTHERS = {"env__normalize_observation": True, "env__normalize_reward": True, "total_steps": 320}


def case(name: str, **changes: Any) -> RunConfig:
    return tiny(**OTHERS | CASES[name] | changes)


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_from_its_file(name: str, tmp_path: Path) -> None:
    config = case(name)
    [saved], _ = play([config], None, 2)
    Checkpoints(tmp_path).save(saved, 2 * config.batch_size)
    read = Checkpoints(tmp_path).load()
    assert_same(read, saved)
    [whole], [rows] = play([config], None, 4)
    [continued], [later] = play([config], [read], 2)
    assert later == rows[2:]
    assert_same(continued, whole)


@pytest.mark.parametrize("name", CASES)
def test_an_environment_takes_the_actions_of_a_loaded_run(name: str, trained: Trained) -> None:
    """Played by hand, an episode has the return that evaluation found."""
    run_dir = trained(**CASES[name] | OTHERS | {"total_steps": 96}).dir
    run = rlcli.load(run_dir)
    env = gymnasium.make(CASES[name]["env__id"], **CASES[name].get("env__kwargs", {}))
    observation, _ = env.reset(seed=environment_seed(0, "evaluation", 0))
    total, ended, seen, taken = 0.0, False, [], []
    while not ended:
        assert env.observation_space.contains(observation)
        action = run.act(observation)
        assert env.action_space.contains(action)
        assert env.action_space.contains(run.act(observation, stochastic=True))
        seen.append(observation)
        taken.append(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + float(reward), terminated or truncated
    env.close()
    assert evaluate_run(run_dir, episodes=1)["return_mean"] == total

    together: Any
    if isinstance(seen[0], dict):
        together = {key: np.array([one[key] for one in seen]) for key in seen[0]}
    else:
        together = tuple(np.array(part) for part in zip(*seen, strict=True))
    many = run.act(together)
    assert (many == np.array(taken)).all()
    assert many.dtype == env.action_space.dtype


def test_observations_that_are_none_are_refused(trained: Trained) -> None:
    run = rlcli.load(trained(**CASES["levers, dict"], eval__episodes=0).dir)
    good = {"place": np.zeros(2), "before": np.array([[1, 0], [0, -2]]), "clock": 3}
    assert run.act(good).shape == (2, 2)
    without = {key: value for key, value in good.items() if key != "clock"}
    for wrong, said in (
        (without, "is a dict of before, clock, place; this one is not"),
        (np.zeros(14), "is a dict of before, clock, place; this one is not"),
        (
            good | {"place": np.zeros(3)},
            r"its 'place' has shape \(2\), a batch of n \(n, 2\); this one has \(3\)",
        ),
        (
            good | {"clock": np.zeros(2)},
            r"its 'clock' has shape \(\), a batch of n \(n\); this one has \(2\)",
        ),
        (good | {"clock": 40}, "'clock' has the value 40, which is not one of its choices"),
        (good | {"clock": 0.5}, "'clock' has the value 0.5, which is not one of its choices"),
        (good | {"before": np.zeros((2, 2))}, "'before' has the value 0.0, which is not one of its choices"),
    ):
        with pytest.raises(UserError, match=said):
            run.act(wrong)
