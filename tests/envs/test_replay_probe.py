"""What the probe finds out about environments nobody has measured."""

from __future__ import annotations

import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.registry import describe, make


def test_an_environment_of_seed_and_actions_alone_is_exact() -> None:
    for name, kwargs in (
        ("tests.envs.probes:ProbeMatch-v0", {}),
        ("tests.envs.probes:ProbeWandering-v0", {"space": "dict"}),
        ("tests.envs.probes:ProbeWandering-v0", {"space": "tuple", "action": "multibinary"}),
        ("CartPole-v1", {}), ("Pendulum-v1", {}), ("Taxi-v4", {}), ("Blackjack-v1", {}),
    ):  # fmt: skip
        spec = describe(EnvConfig(id=name, kwargs=kwargs))
        assert (spec.fresh_each_episode, spec.exact_resume, spec.inexact_reason) == (False, True, None)


def test_an_instance_that_remembers_is_made_anew_each_episode() -> None:
    config = EnvConfig(id="tests.envs.probes:ProbeRemembering-v0")
    env = make(config, 1, num_envs=2)
    assert (env.spec.fresh_each_episode, env.spec.exact_resume) == (True, True)
    env.reset(np.zeros((1, 2), np.int64), np.ones((1, 2), bool))
    for _ in range(7):
        step = env.step(np.zeros((1, 2), np.int64))
    assert step.terminated.all()
    env.reset(np.zeros((1, 2), np.int64), step.terminated)
    assert (env.step(np.zeros((1, 2), np.int64)).observations == 1).all()


def test_an_environment_no_replay_repeats_is_inexact_and_says_why() -> None:
    for space in ("box", "dict", "tuple"):
        spec = describe(EnvConfig(id="tests.envs.probes:ProbeUnrepeatable-v0", kwargs={"space": space}))
        assert not spec.exact_resume
        assert "another episode" in str(spec.inexact_reason)


def test_an_environment_that_fails_under_the_probe_is_left_to_fail_in_its_run() -> None:
    spec = describe(EnvConfig(id="tests.envs.probes:ProbeFaulty-v0", kwargs={"at": 2}))
    assert not spec.exact_resume
    assert "RuntimeError: broken at step 2" in str(spec.inexact_reason)


def test_bipedal_walker_is_known_to_need_a_fresh_instance() -> None:
    """Its physics world outlives the episode: made anew, an episode repeats whatever went before."""
    pytest.importorskip("Box2D", exc_type=ImportError)
    config = EnvConfig(id="BipedalWalker-v3")
    used, unused = make(config, 1, num_envs=1), make(config, 1, num_envs=1)
    assert (used.spec.fresh_each_episode, used.spec.exact_resume) == (True, True)
    draws = np.random.default_rng(0)
    anywhere = np.ones((1, 1), bool)
    for seed in range(4):
        used.reset(np.array([[seed]]), anywhere)
        for _ in range(60):
            used.step(draws.standard_normal((1, 1, 4)).astype(np.float32))
    seeds = np.array([[99]])
    assert (used.reset(seeds, anywhere) == unused.reset(seeds, anywhere)).all()
    for _ in range(60):
        actions = draws.standard_normal((1, 1, 4)).astype(np.float32)
        for one, other in zip(used.step(actions), unused.step(actions), strict=True):
            assert one.tobytes() == other.tobytes()
