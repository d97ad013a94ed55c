"""An environment that goes wrong fails its own run and no other."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.registry import make
from rlcli.errors import NonFiniteError

FAULTY = "tests.envs.probes:ProbeFaulty-v0"
SEEDS = np.array([[10, 11], [20, 21], [30, 31]])
EVERYWHERE = np.ones((3, 2), bool)
ACTIONS = np.zeros((3, 2), np.int64)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("raise", RuntimeError, "broken at step 3"),
        ("reward", NonFiniteError, "environment 1, step 3 of .* gave a non-finite reward .nan"),
        ("observation", NonFiniteError, "environment 1, step 3 of .* gave a non-finite observation .nan"),
        ("infinity", NonFiniteError, "non-finite observation .inf"),
    ],
)
def test_a_fault_in_a_step_fails_one_run(fault: str, kind: type[Exception], message: str) -> None:
    env = make(EnvConfig(id=FAULTY, kwargs={"fault": fault, "seed": 21}), 3, num_envs=2)
    env.reset(SEEDS, EVERYWHERE)
    for number in range(1, 6):
        step = env.step(ACTIONS)
        assert set(env.failures) == ({1} if number >= 3 else set())
        healthy = [0, 2] if number >= 3 else [0, 1, 2]
        assert (step.observations[healthy] == np.float32(0.01 * number)).all()
        assert (step.rewards[healthy] == 1).all()
    assert (step.observations[1] == 0).all()
    assert (step.rewards[1] == 0).all()
    assert not (step.terminated | step.truncated)[1].any()
    assert isinstance(env.failures[1], kind)
    with pytest.raises(kind, match=message):
        raise env.failures[1]


def test_a_fault_in_a_reset_fails_one_run() -> None:
    env = make(EnvConfig(id=FAULTY, kwargs={"fault": "reset", "seed": 30}), 3, num_envs=2)
    assert (env.reset(SEEDS, EVERYWHERE) == 0).all()
    assert list(env.failures) == [2]
    assert str(env.failures[2]) == "broken at reset"
    # It stays failed, and resetting it again is not tried.
    env.reset(SEEDS + 100, EVERYWHERE)
    assert list(env.failures) == [2]
    assert (env.step(ACTIONS).rewards == [[1, 1], [1, 1], [0, 0]]).all()


def test_a_choice_that_the_space_does_not_have_is_a_fault() -> None:
    env = make(EnvConfig(id="tests.envs.probes:ProbeImpossible-v0"), 3, num_envs=2)
    assert (env.reset(SEEDS, EVERYWHERE) == [1, 0, 0, 0, 0]).all()
    for _ in range(2):
        assert (env.step(ACTIONS).observations == [0, 0, 1, 1, 1]).all()
    assert env.failures == {}
    assert (env.step(ACTIONS).observations == 0).all()
    assert list(env.failures) == [0, 1, 2]
    assert "the observation's 'door' should be one whole number from -1 to 1; it is 2" in str(env.failures[1])


def test_failures_are_renumbered_by_select() -> None:
    env = make(EnvConfig(id=FAULTY, kwargs={"at": 1, "seed": 21}), 3, num_envs=2)
    env.reset(SEEDS, EVERYWHERE)
    env.step(ACTIONS)
    env.select([2, 1])
    assert list(env.failures) == [1]
    env.select([0])
    assert env.failures == {}
    assert (env.step(ACTIONS[:1]).observations == np.float32(0.02)).all()


@pytest.mark.broken_by(
    "a torque that is no number goes unnoticed",
    "envs/array/base.py",
    'self._may_fail = spec.action.kind == "box"',
    'self._may_fail = spec.action.kind == "discrete"',
)
@pytest.mark.parametrize("env_id", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_an_action_that_is_no_number_fails_one_run_alike_in_both_backends(env_id: str) -> None:
    backends = [make(EnvConfig(id=env_id, backend=name), 3, num_envs=2) for name in ("gymnasium", "array")]
    actions = np.full((3, 2, 1), 0.5, np.float32)
    actions[1, 1] = np.nan
    for env in backends:
        env.reset(SEEDS, EVERYWHERE)
    for _ in range(2):
        steps = [env.step(actions) for env in backends]
        for theirs, ours in zip(*steps, strict=True):
            assert theirs.tobytes() == ours.tobytes()
        assert (steps[1].observations[1] == 0).all()
    found, expected = (str(env.failures[1]) for env in backends)
    assert expected.startswith(f"{env_id}: environment 1 gave a non-finite observation (nan at index ")
    assert found.startswith(f"{env_id}, environment 1, step 1 of its episode 1 (reset seed 21, action ")
    assert found.partition(" gave ")[2] == expected.partition(" gave ")[2]
    for env in backends:
        env.select([2, 1])
        assert list(env.failures) == [1]
        assert (env.reset(SEEDS[1:], EVERYWHERE[1:])[1] == 0).all()
        assert np.isfinite(env.step(actions[[2, 0]]).rewards[0]).all()
