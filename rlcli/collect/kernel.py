"""Rollouts in C: whole ones of the numpy environments, elsewhere the actor alone; noise always.

Environments, episodes and states are those of `Collector`, to the last bit for the same actions. The noise is
another: each run's from a counter-based stream of its own.

Shapes: T time, R runs, N environments of one run, D policy outputs, E episodes that ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from rlcli.collect.collector import Collector
from rlcli.collect.record import Ongoing
from rlcli.collect.rollout import Episodes, Finals, Rollout
from rlcli.envs.array.base import ArrayEnv
from rlcli.envs.backend import ARRAY_ENVS
from rlcli.envs.failures import check_finite
from rlcli.kernels import rollout as kernel
from rlcli.kernels.library import available
from rlcli.kernels.noise import noise
from rlcli.kernels.rollout import Carried, Recorded, Rolling, Rules
from rlcli.maths.draws import derive
from rlcli.nets.actor import Actor
from rlcli.nets.kernel_actor import acting, actor, choice_of, covers
from rlcli.nets.policy import Snapshot

NOISE = {
    "categorical": "gumbel",
    "gaussian": "normal",
    "bernoulli": "logistic",
}
HOST = "cpu"
AT_ONCE = 2**32
"""About the operations between two reports of progress: some tenths of a second."""
STEPPING = 1000
"""Operations that a step of an environment is reckoned as, besides those of the policy."""


class KernelCollector(Collector):
    """A collector that leaves as much as it can to C; there must be a library."""

    def collect(self, behaviour: Snapshot, updates: Sequence[int]) -> tuple[Rollout, list[Episodes]]:
        """One rollout of every run under its behaviour policy; `updates[r]` are done and number the draws."""
        env = self.env
        if not isinstance(env, ArrayEnv) or not self._covered():
            return super().collect(behaviour, updates)
        policies = acting(self.model, behaviour)
        recorded = Recorded.room(env.spec.id, policies, self.rollout_steps, env.num_envs)
        recorded.observations[0] = self._observations
        ongoing = Ongoing(self.states)
        carried = self._carried(env, ongoing)
        rolling = Rolling(
            env.spec.id,
            _rules(env),
            policies,
            self.seeds,
            self._noise(updates).numpy(),
            carried,
            recorded,
        )
        operations = len(self.seeds) * env.num_envs * (behaviour.parameters.shape[1] + STEPPING)
        together = max(1, AT_ONCE // operations)
        for first in range(0, self.rollout_steps, together):
            last = min(first + together, self.rollout_steps)
            env.rolled(partial(rolling.steps, first, last))
            self._report(last)
        check_finite(env.failures, env.spec.id, carried.failing, "observation")
        return self._recorded(recorded, ongoing)

    def _covered(self) -> bool:
        """Whether C steps these environments and acts for these policies."""
        return (
            type(self.env) is ARRAY_ENVS.get(self.env.spec.id)
            and not self.whole_episodes
            and covers(self.model)
            and kernel.covers(self.env.spec.id, self.seeds)
        )

    def _actor(self, behaviour: Snapshot) -> Actor:
        return actor(self.model, behaviour)

    def _noise(self, updates: Sequence[int]) -> Tensor:
        """[T, R, N, D]: each run's from the stream of its seed and update."""
        choice = choice_of(self.model.family)
        if choice is None or not available():
            return super()._noise(updates)
        width, envs = self.model.family.output_width, self.env.num_envs
        keys = [derive(seed, "action", update) for seed, update in zip(self.seeds, updates, strict=True)]
        drawn = noise(NOISE[choice.family], keys, self.rollout_steps, envs * width)
        return drawn.view(self.rollout_steps, len(keys), envs, width)

    def _carried(self, env: ArrayEnv, ongoing: Ongoing) -> Carried:
        failed = np.zeros(len(self.seeds), np.bool_)
        failed[list(env.failures)] = True
        return Carried(
            *env.memory,
            ongoing.episodes,
            ongoing.lengths,
            ongoing.returns,
            failed,
            np.zeros_like(self._observations),
        )

    def _recorded(self, recorded: Recorded, ongoing: Ongoing) -> tuple[Rollout, list[Episodes]]:
        """The rollout and the episodes that ended in it, in the order of `Collector`."""
        ended = recorded.terminated | recorded.truncated
        places = np.argwhere(ended)
        returns, lengths = recorded.ended_returns[ended], recorded.ended_lengths[ended]
        for row, episodes in enumerate(ongoing.ended):
            own = places[:, 1] == row
            episodes.returns.extend(returns[own].tolist())
            episodes.lengths.extend(lengths[own].tolist())
        self._observations = recorded.observations[-1].copy()
        self.states = ongoing.states(
            self.states, recorded.actions, self._observations, None, self.replay_limit
        )
        rollout = Rollout(
            torch.from_numpy(recorded.observations),
            Finals(torch.from_numpy(places), torch.from_numpy(recorded.finals[ended])),
            torch.from_numpy(recorded.actions),
            torch.from_numpy(recorded.rewards),
            torch.from_numpy(recorded.terminated),
            torch.from_numpy(recorded.truncated),
            torch.from_numpy(recorded.outputs),
            self._counted(torch.from_numpy(ended)),
        )
        return rollout if self.device == HOST else rollout.to(self.device), ongoing.ended


def _rules(env: ArrayEnv) -> Rules:
    action = env.spec.action
    if action.kind != "box":
        return Rules(env.spec.max_episode_steps, env.setting)
    low, high = (float(np.asarray(bound).ravel()[0]) for bound in (action.low, action.high))
    return Rules(env.spec.max_episode_steps, env.setting, low, high)
