"""Rollouts on a GPU: policy and environments in torch; only rewards and episode ends are copied to the host.

Every step waits once, for rewards and ends: the host numbers episodes and seeds their resets. Shapes: T time,
R runs, N environments of one run, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlcli.collect.collector import Collector
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.envs.torch.base import TorchEnv
from rlcli.maths.distributions import CategoricalFamily, Gaussian
from rlcli.maths.gaussians import Squashed
from rlcli.nets.policy import Snapshot


class DeviceCollector(Collector):
    """A collector whose observations, actions and policy outputs do not leave the device within a rollout.

    Noise, episodes and seeds are the ones of `Collector`.
    """

    env: TorchEnv

    def collect(self, behaviour: Snapshot, updates: Sequence[int]) -> tuple[Rollout, list[Episodes]]:
        """One rollout of every run under its behaviour policy; `updates[r]` are done and number the draws."""
        record = self._begin()
        ongoing, env = record.ongoing, self.env
        observations = torch.from_numpy(self._observations).to(self.device)
        memory = None if self._memory is None else torch.from_numpy(self._memory).to(self.device)
        for noise in self._noise(updates).to(self.device):
            outputs, free, memory = self._shown(behaviour, observations, memory)
            actions = self._choose(outputs, free, noise)
            outcome = env.move(actions.reshape(*actions.shape[:2], *env.spec.action.shape))
            record.observations.append(observations)
            record.actions.append(actions)
            record.outputs.append(outputs)
            record.outcomes.append(tuple(outcome))
            self._report(len(record.outcomes))
            observations = env.observed()
            ongoing.add(outcome.rewards)
            ended = outcome.terminated | outcome.truncated
            if ended.any():
                record.end(ended, observations)
                ongoing.end(ended)
                env.begin(self._starts(ongoing, ended), ended)
                observations = env.observed()
                memory = _kept(memory, ended)
        if self.whole_episodes:
            unfinished = ongoing.leave_unfinished()
            record.end(unfinished, observations)
            env.begin(self._starts(ongoing, unfinished), unfinished)
            observations = env.observed()
            memory = _kept(memory, unfinished)
        self._memory = None if memory is None else memory.cpu().numpy()
        self._observations = observations.cpu().numpy()
        return self._end(record, observations)

    def _shown(
        self, behaviour: Snapshot, observations: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Outputs and free parameters of the policy, and its recurrent state after the step."""
        inputs = self.model.encode(behaviour, observations)
        return self.model.step(behaviour.parameters, inputs, memory)

    def _choose(self, outputs: Tensor, free: Tensor, noise: Tensor) -> Tensor:
        """The family's `act` in torch, for the two kinds of action there are here."""
        if isinstance(self.model.family, CategoricalFamily):
            return (outputs + noise).argmax(-1)
        policy = self.model.family.distribution(outputs, free)
        gaussian = policy.base if isinstance(policy, Squashed) else policy
        assert isinstance(gaussian, Gaussian)
        mean, log_std = gaussian.moments()
        return mean + log_std.exp() * noise


def _kept(memory: Tensor | None, ended: npt.NDArray[np.bool_]) -> Tensor | None:
    """Recurrent state [R, N, M], zero where episodes ended (mask [R, N])."""
    if memory is None:
        return None
    return torch.where(torch.from_numpy(ended).to(memory.device).unsqueeze(-1), 0.0, memory)
