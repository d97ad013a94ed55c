"""Stable-Baselines3's PPO and A2C and sb3-contrib's TRPO as a session, from the same configs.

SB3 collects (`collect_rollouts`) and learns (`train`); everything around is native's: initial parameters,
environments and episode seeds, the state between updates, health. Before each of the two calls SB3's modules
are set from our state and its generators are seeded for that update, so that an update depends on the state
and its number alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor, nn

from rlcli.backends import sb3_mapping as mapping
from rlcli.backends.kernel import TORCH, with_kernel
from rlcli.backends.native import NativeSession
from rlcli.backends.sb3_env import SteppedBySb3, VectorEnvironment
from rlcli.backends.sb3_hooks import EpochBuffer, GradientNorms
from rlcli.backends.sb3_random import seeded
from rlcli.backends.sb3_state import (
    MEMORIES,
    layout_of,
    load_optimiser,
    load_parameters,
    read_optimiser,
    read_parameters,
)
from rlcli.backends.session import Array, Checkpoint, Failure, Initial, OnCollected, Policy, Row
from rlcli.config.schema.run import RunConfig
from rlcli.errors import UserError
from rlcli.learner.algorithm import Improvement, Losses, Start
from rlcli.learner.hyperparameters import remaining
from rlcli.maths.draws import derive
from rlcli.maths.natural import Outcome

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU,
}  # fmt: skip
OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam, "rmsprop": RMSpropTFLike, "sgd": torch.optim.SGD,
}  # fmt: skip
POLICY_LOSS: dict[type[OnPolicyAlgorithm], str] = {
    PPO: "train/policy_gradient_loss", A2C: "train/policy_loss",
}  # fmt: skip


class Sb3Session:
    """Runs of one shape, each with an SB3 model of its own.

    Raises:
        UserError: SB3 cannot do what a config asks for, or a package is missing.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        checkpoints: Sequence[Checkpoint] | None = None,
        starts: Sequence[Initial | None] | None = None,
    ) -> None:
        wrong = {fault.text: None for config in configs for fault in mapping.refusals(config)}
        wrong |= {fault.text: None for config in configs if (fault := mapping.missing(config)) is not None}
        if wrong:
            raise UserError(*wrong)
        saved = [None] * len(configs) if checkpoints is None else [[one] for one in checkpoints]
        begun = [None] * len(configs) if starts is None else [[one] for one in starts]
        self._members = {
            run: _Member([config], state, start)
            for run, (config, state, start) in enumerate(zip(configs, saved, begun, strict=True))
        }
        self.spec = self._members[0].spec

    @property
    def runs(self) -> Sequence[int]:
        """Runs still in training."""
        return tuple(self._members)

    def listen(self, on_collected: OnCollected) -> None:
        """See `Session`."""

        def of(run: int) -> OnCollected:
            return lambda _, steps: on_collected((run,), steps)

        for run, member in self._members.items():
            member.listen(of(run))

    def update(self) -> dict[int, Row | Failure]:
        """One update of every run, one after another."""
        return {run: member.update()[0] for run, member in self._members.items()}

    def policy(self, run: int) -> Policy:
        """The run's current policy, as a network of ours."""
        return self._members[run].policy(0)

    def state(self, run: int) -> Checkpoint:
        """The run's state, in the same tensors as native's."""
        return self._members[run].state(0)

    def restarted(self, run: int) -> int:
        """Environments whose episode could not be restored."""
        return self._members[run].restarted(0)

    def views(self, run: int) -> dict[str, Array]:
        """The tensors of `state`, which the next update may change."""
        return self._members[run].views(0)

    def scale_rate(self, run: int, factor: float) -> None:
        """Refused: SB3 keeps a rate of its own."""
        raise UserError("backend=sb3: alerts cannot lower its learning rate.")

    def drop(self, run: int) -> None:
        """Takes a run out."""
        self._members.pop(run).close()

    def close(self) -> None:
        """Releases the environments."""
        for member in self._members.values():
            member.close()


class _Member(NativeSession):
    """One run: the native session with SB3's loop of collecting and SB3's step."""

    _collectors = SteppedBySb3

    def __init__(
        self,
        configs: Sequence[RunConfig],
        checkpoints: Sequence[Checkpoint] | None,
        starts: Sequence[Initial | None] | None = None,
    ) -> None:
        # SB3 acts in torch, and kernels in C would compute its policy with other last digits.
        configs = [with_kernel(config, TORCH) for config in configs]
        super().__init__(configs, checkpoints, starts)
        (self._config,) = configs
        refused = mapping.unobserved(self.spec)
        if refused is not None:
            raise UserError(refused.text)
        assert isinstance(self._collector, SteppedBySb3)
        self._stepped = self._collector
        self._sb3 = make_algorithm(self._config, self._stepped)
        self._stepped.attach(self._config, self._sb3, lambda: self._state.reward_moments)
        self._algorithm = replace(self._algorithm, step_rule=self._improve)

    def update(self) -> dict[int, Row | Failure]:
        """As native's; what SB3 raises fails the run and leaves its state as it was."""
        number, collected = int(self._state.update) + 1, self._stepped.states
        try:
            return super().update()
        except Exception as error:
            self._stepped.states = collected
            return {0: Failure(error, number)}

    def _improve(self, start: Start) -> Improvement:
        """SB3's `train` on SB3's buffer, from the parameters and moments in our state."""
        config, done = self._config, int(self._state.update)
        policy, buffer = self._sb3.policy, self._sb3.rollout_buffer
        memory, scale = MEMORIES[config.algo.optimiser], mapping.loss_scale(config)
        layout = layout_of(start.model.network)
        assert isinstance(buffer, EpochBuffer)

        @torch.inference_mode()
        def after_epoch() -> None:
            start.after_epoch(read_parameters(layout, policy).unsqueeze(0))

        with torch.inference_mode(False), torch.enable_grad():
            load_parameters(layout, start.parameters[0], policy)
            load_optimiser(layout, start.optimiser, memory, scale, policy)
            buffer.listen(after_epoch, whole_only=mapping.algorithm(config) == "TRPO")
            self._sb3._current_progress_remaining = remaining(config, done)
            norms = train(self._sb3, derive(config.seed, "sb3_train", done))
            buffer.finish()
        count = len(norms)
        return Improvement(
            parameters=read_parameters(layout, policy).unsqueeze(0),
            optimiser=read_optimiser(layout, start.optimiser, count, memory, scale, policy),
            losses=self._losses(count),
            gradient_norms=torch.stack(norms).unsqueeze(1) * scale,
            accepted=torch.ones(count, 1, dtype=torch.bool),
            epochs=[torch.ones(1, dtype=torch.bool)] * buffer.begun,
            figures=self._figures(),
        )

    def _losses(self, steps: int) -> Losses:
        """SB3 logs each loss as its mean over gradient steps: every step is given the mean.

        The mean counts a minibatch on which target_kl stopped, too; TRPO logs no entropy.
        """
        logged = self._sb3.logger.name_to_value
        algo = self._config.algo
        if mapping.algorithm(self._config) == "TRPO":
            policy, entropy = -logged["train/policy_objective"], math.nan
        else:
            policy = logged[POLICY_LOSS[type(self._sb3)]]
            entropy = -logged["train/entropy_loss"]
        value = logged["train/value_loss"]
        total = policy + algo.value_coef * value
        if algo.entropy_coef:
            total -= algo.entropy_coef * entropy
        return Losses(*(torch.full((steps, 1), float(loss)) for loss in (policy, value, entropy, 0.0, total)))

    def _figures(self) -> dict[str, Tensor]:
        found = self._sb3.logger.name_to_value.get("train/is_line_search_success")
        if found is None:
            return {}
        outcome = Outcome.STEPPED if found else Outcome.LINE_SEARCH_FAILED
        return {"update/step_outcome": torch.tensor([outcome], dtype=torch.float64)}


def train(algorithm: OnPolicyAlgorithm, seed: int) -> list[Tensor]:
    """Calls `train` with its draws fixed by `seed`; the gradient norm of every step it took.

    A policy that becomes NaN on the way makes SB3 raise: it is left as it is, for the update to find.
    """
    algorithm.logger.name_to_value.clear()
    watched = GradientNorms(algorithm.policy)
    try:
        with seeded(seed):
            algorithm.train()
    except ValueError:
        if all(bool(parameter.isfinite().all()) for parameter in algorithm.policy.parameters()):
            raise
    finally:
        watched.close()
    return watched.norms


def make_algorithm(config: RunConfig, collector: SteppedBySb3) -> OnPolicyAlgorithm:
    """SB3's algorithm for a config; its initial weights are without meaning, as ours are loaded."""
    network = config.network
    with seeded(config.seed):
        algorithm = _class(config)(
            ActorCriticPolicy,
            VectorEnvironment(collector),
            rollout_buffer_class=EpochBuffer,
            policy_kwargs={
                "net_arch": {"pi": list(network.hidden), "vf": list(network.hidden)},
                "activation_fn": ACTIVATIONS[network.activation],
                "optimizer_class": OPTIMISERS[config.algo.optimiser],
                "optimizer_kwargs": mapping.optimiser_arguments(config),
            },
            **mapping.arguments(config, collector.env.spec.action),
        )
    algorithm.set_logger(Logger(folder=None, output_formats=[]))
    return algorithm


def _class(config: RunConfig) -> type[OnPolicyAlgorithm]:
    name = mapping.algorithm(config)
    if name == "TRPO":
        from sb3_contrib import TRPO

        return TRPO
    return PPO if name == "PPO" else A2C
