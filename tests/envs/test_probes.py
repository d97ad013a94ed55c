"""The probe environments are what their docstrings say, so that a learner may be judged by them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from tests.envs import probes


@pytest.mark.parametrize(("end", "terminated", "truncated"), [
    ("terminated", True, False), ("truncated", False, True), ("both", True, True),
])  # fmt: skip
def test_time_limit_probe_ends_after_five_steps(end: str, terminated: bool, truncated: bool) -> None:
    env = gymnasium.make("ProbeTimeLimit-v0", end=end)
    first, _ = env.reset(seed=0)
    steps = [env.step(0) for _ in range(5)]
    assert [step[1:4] for step in steps] == [(1.0, False, False)] * 4 + [(1.0, terminated, truncated)]
    # Nothing seen tells the time.
    assert all((step[0] == first).all() for step in steps)
    assert sum(0.9**t * step[1] for t, step in enumerate(steps)) == pytest.approx(4.0951)


def test_rewards_follow_what_was_seen_and_done() -> None:
    matched = []
    for seed in range(20):
        env = probes.Match()
        sign = env.reset(seed=seed)[0][0]
        assert env.step(int(sign > 0))[1] == 1.0
        assert env.step(int(sign < 0))[1] == -1.0
        matched.append(sign)
    assert set(matched) == {-1.0, 1.0}
    assert [probes.Choice().step(action)[1] for action in (0, 1)] == [-1.0, 1.0]
    assert probes.Aim().step(np.array([0.5], np.float32))[1] == 0.0
    assert probes.Aim().step(np.array([-0.5], np.float32))[1] == -1.0
    two = probes.Discounted()
    two.reset(seed=0)
    assert [two.step(0)[1:3] for _ in range(2)] == [(0.0, False), (1.0, True)]
