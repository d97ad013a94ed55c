"""Runs on Atari games: killed and resumed in mid-game, they are the runs that were not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.backends import kernel
from rlcli.backends.native import NativeSession
from rlcli.envs import registry
from tests.runs.resuming import assert_same_run, resumed, train_with_copies
from tests.runs.tiny import manifest_of, tiny

pytest.importorskip("ale_py")

BREAKOUT = {
    "env__id": "ALE/Breakout-v5", "env__num_envs": 1, "env__atari__frame_skip": 8, "env__atari__noop_max": 4,
    "env__atari__screen_size": 36, "network__name": "nature_cnn", "network__shared": True,
    "algo__rollout_steps": 32, "total_steps": 96, "checkpoint__every": 32, "eval__episodes": 1,
    "eval__max_steps": 4,
}  # fmt: skip


def test_a_run_killed_in_mid_game_and_resumed_is_the_run_that_was_not(tmp_path: Path) -> None:
    whole, [killed] = train_with_copies(tiny(**BREAKOUT), tmp_path / "run", (2,))
    manifest = manifest_of(whole.dir)
    assert (manifest["env_backend"], manifest["exact_resume"]) == ("ale", True)
    resumed(killed)
    assert_same_run(killed, whole.dir)


def test_logged_returns_are_those_of_whole_games() -> None:
    """The learner sees a lost life as an end; figures and episodes do not."""
    config = tiny(**BREAKOUT | {"algo__rollout_steps": 160, "algo__minibatches": 1, "algo__epochs": 1})
    session = NativeSession([config])
    collector = session._collector
    rollout, [episodes] = collector.collect(session._state.policy, [0])
    session.close()
    lost = int(rollout.terminated.sum())
    assert len(episodes.lengths) < lost
    assert set(rollout.rewards.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert len(rollout.finals.places) == len(episodes.lengths)


def test_kernels_in_c_leave_images_to_torch_and_say_so() -> None:
    config = tiny(**BREAKOUT)
    choice = kernel.choose(config, registry.describe(config.env))
    assert str(choice) == "torch, because network.name=nature_cnn is not covered, only mlp"
