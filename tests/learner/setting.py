"""Small configs, sessions and rollouts that the tests of learning share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from rlcli.collect.collector import Collector
from rlcli.collect.rollout import Finals, Rollout
from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.env import EnvConfig
from rlcli.config.schema.network import NetworkConfig
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.learner.kept import blank
from rlcli.learner.model import initial_parameters, make_model
from rlcli.learner.ppg import initial_phases
from rlcli.learner.state import TrainState, behaviour, fresh, no_phases
from rlcli.learner.table import algorithm
from rlcli.learner.update import Update, update
from rlcli.nets.policy import Model

PROBES = "tests.envs.probes:"
ROWS: dict[str, dict[str, Any]] = {
    "a2c": {
        "targets": "gae", "surrogate": "score", "step_rule": "sgd", "epochs": 1, "minibatches": 1,
        "optimiser": "rmsprop", "learning_rate_schedule": "constant", "gae_lambda": 1.0,
        "normalize_advantage": "none",
    },
    "ppo_kl": {
        "targets": "gae", "surrogate": "ratio", "step_rule": "sgd", "penalty": "kl_anchor_pi",
        "learning_rate_schedule": "linear", "beta": 1.0, "beta_schedule": "adaptive", "kl_target": 0.01,
        "normalize_advantage": "minibatch",
    },
    "mdpo": {
        "targets": "gae", "surrogate": "ratio", "step_rule": "sgd", "penalty": "kl_pi_anchor",
        "minibatches": 1, "learning_rate_schedule": "constant", "beta": 1.0, "beta_schedule": "linear",
        "normalize_advantage": "batch",
    },
    "trpo": {
        "targets": "gae", "surrogate": "ratio", "step_rule": "natural", "learning_rate_schedule": "constant",
        "delta": 0.01, "normalize_advantage": "batch", "max_grad_norm": None,
    },
    "reinforce": {
        "targets": "monte_carlo", "surrogate": "weighted", "weights": "per_decision", "anchor": "behaviour",
        "step_rule": "sgd", "minibatches": 1, "learning_rate_schedule": "constant",
        "normalize_advantage": "none", "max_grad_norm": None,
    },
    "ppg": {
        "targets": "gae", "surrogate": "clipped", "step_rule": "phasic", "epochs": 1, "value_epochs": 1,
        "learning_rate_schedule": "constant", "entropy_coef": 0.01, "beta_clone": 1.0,
        "normalize_advantage": "batch", "max_grad_norm": None,
    },
    "spo": {"targets": "gae", "surrogate": "spo", "step_rule": "sgd", "normalize_advantage": "minibatch"},
    "dppo": {
        "targets": "gae", "surrogate": "dppo", "anchor": "behaviour", "step_rule": "sgd",
        "dppo_divergence": "kl", "normalize_advantage": "minibatch",
    },
    "cispo": {
        "targets": "gae", "surrogate": "cispo", "step_rule": "sgd", "clip": 0.2,
        "normalize_advantage": "minibatch",
    },
}  # fmt: skip
"""What makes each algorithm what it is, apart from sizes and rates; conf/algo/ has the whole rows."""


def small(
    env: str = "CartPole-v1",
    *,
    algo: dict[str, Any] | None = None,
    envs: dict[str, Any] | None = None,
    network: dict[str, Any] | None = None,
    **others: Any,
) -> RunConfig:
    """A config of 4 environments x 16 steps and an 8-unit network; every section's keys can be given."""
    config = RunConfig(
        total_steps=64 * 10,
        algo=AlgoConfig(
            **{"rollout_steps": 16, "epochs": 2, "minibatches": 2, "learning_rate": 3e-3} | (algo or {})
        ),
        env=EnvConfig(**{"id": env, "num_envs": 4} | (envs or {})),
        network=NetworkConfig(**{"hidden": (8,), "policy_gain": 1.0} | (network or {})),
    )
    return replace(config, **others)


class Stage(NamedTuple):
    """A cohort by its parts: what `update` is called with."""

    configs: Sequence[RunConfig]
    model: Model
    collector: Collector
    state: TrainState

    def collect(self) -> Rollout:
        """The next rollout of the behaviour policy."""
        rollout, _ = self.collector.collect(behaviour(self.state), self.state.update.tolist())
        return rollout

    def learn(self, rollout: Rollout) -> Update:
        """One update on it."""
        return update(
            algorithm(self.configs[0]), self.configs, self.collector.seeds, self.model, self.state, rollout
        )

    def after(self, updates: int) -> Stage:
        """The same cohort, so many updates later."""
        stage = self
        for _ in range(updates):
            stage = stage._replace(state=stage.learn(stage.collect()).state)
        return stage


def stage(*configs: RunConfig) -> Stage:
    """A cohort before its first update."""
    config, seeds = configs[0], [one.seed for one in configs]
    spec = registry.describe(config.env)
    model = make_model(config, spec)
    env = registry.make(config.env, len(configs))
    whole = config.collect.whole_episodes
    collector = Collector(model, env, seeds, config.algo.rollout_steps, 1000, "cpu", whole_episodes=whole)
    row = algorithm(config)
    phases = initial_phases(configs, model, spec.observation, row.optimiser) if row.has_phases else None
    state = fresh(
        initial_parameters(configs, model),
        model.network.encoder.width,
        config.env.num_envs,
        config.lag,
        phases or no_phases(len(configs)),
        blank(config, len(configs), model, spec),
        row.optimiser.initial_second,
        adapts_rate=row.adapts_rate,
    )
    return Stage(configs, model, collector, state)


def joined(rollouts: Sequence[Rollout]) -> Rollout:
    """The rollouts of cohorts as that of one cohort."""
    first, *_ = rollouts
    shifts = np.cumsum([0] + [one.observations.shape[1] for one in rollouts]).tolist()
    places = [
        one.finals.places + torch.tensor([0, shift, 0]) for one, shift in zip(rollouts, shifts, strict=False)
    ]
    finals = Finals(torch.cat(places), torch.cat([one.finals.observations for one in rollouts]))
    fields = {
        name: torch.cat([getattr(one, name) for one in rollouts], 1)
        for name, field in first._asdict().items()
        if isinstance(field, torch.Tensor)
    }
    return first._replace(finals=finals, **fields)


def hold(update: Update) -> dict[str, list[bool]]:
    """The masks of what must hold, as lists."""
    return {said: mask.tolist() for said, mask in update.sound.items()}


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Bit for bit, NaN equal to NaN."""
    return left.dtype == right.dtype and torch.equal(left.nan_to_num(nan=7e77), right.nan_to_num(nan=7e77))
