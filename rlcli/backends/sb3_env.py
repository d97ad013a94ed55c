"""SB3's VecEnv over our vector environments, with our episodes and seeds.

Shapes: N environments of one run, T rollout steps, O observation width, A action width, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from rlcli.backends.sb3_random import seeded
from rlcli.backends.sb3_state import layout_of, load_parameters
from rlcli.collect.collector import Collector
from rlcli.collect.rollout import Episodes, Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.envs.interface import Step
from rlcli.envs.spec import ActionSpec
from rlcli.learner.statistics import scaled_rewards
from rlcli.maths.draws import derive
from rlcli.nets.observations import Moments
from rlcli.nets.policy import Snapshot

Array = npt.NDArray[Any]


class SteppedBySb3(Collector):
    """A collector of one run whose loop is SB3's `collect_rollouts`.

    Observations reach SB3 as our encoder gives them and rewards as our learner reads them, so that whitening
    and scaling are ours: statistics are fixed during a rollout and its update.
    """

    def attach(
        self, config: RunConfig, algorithm: OnPolicyAlgorithm, reward_moments: Callable[[], Moments]
    ) -> None:
        """Whose rollouts these are, and the statistics that scale their rewards, if so configured.

        The algorithm must have been given `VectorEnvironment(self)`.
        """
        self._config = config
        self._algorithm = algorithm
        self._reward_moments = reward_moments
        algorithm.policy.action_net.register_forward_hook(self._acts)
        _, self._callback = algorithm._setup_learn(config.total_steps)

    def collect(self, behaviour: Snapshot, updates: Sequence[int]) -> tuple[Rollout, list[Episodes]]:
        """One rollout under the behaviour policy, as SB3's buffer has it too."""
        algorithm = self._algorithm
        self._encode = self.model.network.encoder.on_host(behaviour.moments)
        self._record = self._begin()
        load_parameters(layout_of(self.model.network), behaviour.parameters[0], algorithm.policy)
        algorithm._last_obs = self.encoded(self._observations)
        assert algorithm.env is not None
        with seeded(derive(self.seeds[0], "sb3_collect", updates[0])):
            algorithm.collect_rollouts(
                algorithm.env, self._callback, algorithm.rollout_buffer, self.rollout_steps
            )
        return self._end(self._record)

    def encoded(self, observations: Array) -> Array:
        """Raw observations [1, N, ...] as network inputs [N, O]."""
        encoded: Array = self._encode(observations)[0]
        return encoded

    def scaled(self, rewards: npt.NDArray[np.float64]) -> Array:
        """Raw rewards [1, N] as the learner reads them, [N] float32."""
        scaled = scaled_rewards(self._config, self._reward_moments(), torch.from_numpy(rewards).unsqueeze(0))
        found: Array = scaled[0, 0].numpy()
        return found

    def take(self, actions: Array) -> Step:
        """Applies the actions [N, ...] SB3's policy has just chosen."""
        raw = actions.astype(self.env.spec.action.raw_dtype, copy=False)
        return self._step(self._record, raw[None], self._outputs[None])

    @property
    def current(self) -> Array:
        """Network inputs [N, O] to act on next."""
        return self.encoded(self._observations)

    def _acts(self, _: object, __: object, outputs: torch.Tensor) -> None:
        self._outputs = outputs.detach().cpu().numpy()


class VectorEnvironment(VecEnv):
    """The environments of one run behind SB3's interface."""

    def __init__(self, collector: SteppedBySb3) -> None:
        self._collector = collector
        width = collector.model.network.encoder.width
        super().__init__(
            collector.env.num_envs,
            spaces.Box(-np.inf, np.inf, (width,), np.float32),
            action_space(collector.env.spec.action),
        )

    def reset(self) -> Array:
        """Observations [N, O] without a meaning: every rollout sets those it begins with."""
        return np.zeros((self.num_envs, self._collector.model.network.encoder.width), np.float32)

    def step_async(self, actions: Array) -> None:
        """Keeps the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """One step: where an episode ended, the first observation of the next, its last in the info.

        An episode that ends and is cut at once has ended.
        """
        collector = self._collector
        step = collector.take(self._actions)
        ended = (step.terminated | step.truncated)[0]
        cut = (step.truncated & ~step.terminated)[0]
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            last = collector.encoded(step.observations)
            for n in np.flatnonzero(ended):
                infos[n] = {"terminal_observation": last[n], "TimeLimit.truncated": bool(cut[n])}
        return collector.current, collector.scaled(step.rewards), ended, infos

    def close(self) -> None:
        """Nothing: the environments are the session's."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """No environment has anything to ask for but that it is not rendered."""
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: environments are set by their config alone."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refused: as `set_attr`."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is, in Gymnasium's sense."""
        return [False] * self.num_envs


def action_space(action: ActionSpec) -> spaces.Space[Any]:
    """Raw actions as a space of Gymnasium's; bounds are as wide as float32, since clipping is ours."""
    match action.kind:
        case "discrete":
            return spaces.Discrete(action.width)
        case "multidiscrete":
            return spaces.MultiDiscrete(list(action.sizes))
        case "multibinary":
            return spaces.MultiBinary(action.width)
        case "box":
            widest = float(np.finfo(np.float32).max)
            return spaces.Box(-widest, widest, (action.width,), np.float32)
