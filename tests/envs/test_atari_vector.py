"""ale-py's vector environment behind our interface: runs apart, resets where asked."""

from __future__ import annotations

import numpy as np

from rlcli.config.schema.env import AtariConfig, EnvConfig
from rlcli.envs import registry

CONFIG = EnvConfig(id="ALE/Breakout-v5", num_envs=2, atari=AtariConfig(noop_max=5, frame_skip=8))
SEEDS = np.array([[1, 2], [3, 4]])


def test_resets_choose_games_and_runs_are_dropped():
    env = registry.make(CONFIG, 2, training=True)
    first = env.reset(SEEDS, np.ones((2, 2), bool)).copy()
    alone = registry.make(CONFIG, 1, training=True)
    np.testing.assert_array_equal(alone.reset(SEEDS[1:], np.ones((1, 2), bool))[0], first[1])
    actions = np.array([[1, 3], [2, 0]])
    step = env.step(actions)
    kept = step.observations.copy()
    np.testing.assert_array_equal(alone.step(actions[1:]).observations[0], kept[1])
    again = env.reset(SEEDS, np.array([[False, True], [False, False]]))
    np.testing.assert_array_equal(again[0, 1], first[0, 1])
    np.testing.assert_array_equal(again[1], kept[1])
    np.testing.assert_array_equal(step.observations, kept, "what was given is not written to again")
    env.select([1])
    np.testing.assert_array_equal(env.step(actions[1:]).observations, alone.step(actions[1:]).observations)
    env.close()
