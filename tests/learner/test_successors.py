"""Values of successors: computed in one batch, or taken from the next row, they are the same."""

from __future__ import annotations

import pytest
import torch

from rlcli.collect.rollout import Finals
from rlcli.kernels import library
from rlcli.learner.batch import by_run
from rlcli.learner.successors import InOneBatch, RowByRow
from tests.learner.setting import small, stage


@pytest.mark.skipif(library.problem() is not None, reason="rows are laid out in C")
@pytest.mark.broken_by(
    "the finals of whichever run",
    "learner/successors.py",
    "self._finals.rows(last, rollout.finals.observations)",
    "self._finals.rows(last, rollout.finals.observations.flip(0))",
    case="True-True",
)
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("whitened", [True, False])
def test_both_ways_give_the_same_values(whitened: bool, ended: bool) -> None:
    """Episodes of 5 steps end everywhere, some on the last row; or none ends."""
    envs = {"normalize_observation": whitened}
    if ended:
        envs["kwargs"] = {"max_episode_steps": 4}
    now = stage(*(small("Pendulum-v1", seed=seed, envs=envs) for seed in (0, 1, 2))).after(1)
    rollout = now.collect()
    assert bool(len(rollout.finals.places)) is ended
    if ended:
        # Runs need not end equally many episodes.
        kept = torch.arange(len(rollout.finals.places)) % 3 > 0
        rollout = rollout._replace(finals=Finals(*(part[kept] for part in rollout.finals)))
    policy = now.state.policy
    values = now.model.value(policy.parameters, now.model.encode(policy, by_run(rollout.acted_on)))
    one, two = (way(now.model, policy, rollout)(policy.parameters, values) for way in (InOneBatch, RowByRow))
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
