"""Phasic policy gradient once more, slowly, from the paper's algorithm 1.

Separate parameters, three of torch's optimisers, autograd, float64. It shares only rollouts, draws and the
first auxiliary head with the learner.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from rlcli.collect.rollout import Rollout
from rlcli.config.schema.run import RunConfig
from rlcli.learner.draws import permutation
from rlcli.nets.policy import Model
from tests.learner.slow import OneRun, SlowLearner, chosen


class SlowPpg(SlowLearner):
    """One run, from the same initial parameters [P] and auxiliary head [H + 1] (or [0] with one trunk)."""

    def __init__(self, config: RunConfig, model: Model, parameters: Tensor, head: Tensor) -> None:
        super().__init__(config, model, parameters)
        self.shared = config.network.shared
        self.trunks: list[list[nn.Parameter]] = [[] for _ in range(1 if self.shared else 2)]
        parts: dict[str, Any] = self.parts
        for name in [name for name in parts if name.startswith("trunk")]:
            parts[name] = [nn.Parameter(part.detach().clone()) for part in parts[name]]
            for trunk, part in zip(self.trunks, parts[name], strict=True):
                trunk.append(part)
        self.head_of_policy = [part for name, part in parts.items() if name.startswith("policy")]
        self.head_of_value = [part for name, part in parts.items() if name.startswith("value")]
        self.auxiliary_head = [] if self.shared else [nn.Parameter(head.double().clone())]
        of_policy = self.trunks[0] + self.head_of_policy
        of_value = self.head_of_value if self.shared else self.trunks[1] + self.head_of_value
        every = {id(part): part for part in of_policy + of_value + self.auxiliary_head}
        self.groups = {"policy": of_policy, "value": of_value, "auxiliary": list(every.values())}
        self.optimisers = {name: self.adam_of(group) for name, group in self.groups.items()}
        self.memory: list[tuple[Tensor, Tensor]] = []
        self.norms: list[float] = []
        self.value_losses: list[float] = []
        self.told: dict[str, float] = {}

    def adam_of(self, group: list[nn.Parameter]) -> torch.optim.Optimizer:
        algo = self.config.algo
        return torch.optim.Adam(group, algo.learning_rate, (algo.adam_beta1, algo.adam_beta2), algo.adam_eps)

    def part(self, name: str) -> Tensor:
        """A parameter in the learner's shape."""
        part: Any = self.parts[name]
        return (torch.stack(list(part)) if isinstance(part, list) else part).detach()

    def features(self, x: Tensor, trunk: int) -> Tensor:
        for depth in range(self.depth):
            weight, bias = (
                self.parts[f"trunk.{depth}.weight"][trunk],
                self.parts[f"trunk.{depth}.bias"][trunk],
            )
            x = self.activation(x @ weight + bias)
        return x

    def value_of(self, features: Tensor) -> Tensor:
        return (features @ self.parts["value.weight"] + self.parts["value.bias"]).squeeze(-1)

    def auxiliary_value(self, x: Tensor) -> Tensor:
        (head,) = self.auxiliary_head
        return self.features(x, 0) @ head[:-1] + head[-1]

    def descend(self, phase: str, loss: Tensor) -> float:
        """A step of that phase's optimiser on its own parameters; the norm of its gradient."""
        for part in self.groups["auxiliary"]:
            part.grad = None
        loss.backward()
        algo, group = self.config.algo, self.groups[phase]
        limit = float("inf") if algo.max_grad_norm is None else algo.max_grad_norm
        self.norms.append(nn.utils.clip_grad_norm_(group, limit).item())
        self.optimisers[phase].step()
        return loss.item()

    def step(
        self, x, actions, log_mu, advantages, judged, targets, values, clip, rate, beta, anchor
    ) -> dict[str, float]:
        algo = self.config.algo
        if algo.normalize_advantage == "minibatch":
            judged = (advantages - advantages.mean()) / advantages.std(correction=0)
        policy = self.policy(x)
        gain = self.objective(policy.log_prob(actions), log_mu, judged, clip).mean()
        entropy = policy.entropy().mean()
        penalty = torch.zeros(())
        if algo.penalty == "kl_anchor_pi":
            penalty = beta * kl_divergence(anchor(), policy).mean()
        total = self.descend("policy", -gain - algo.entropy_coef * entropy + penalty)
        return {
            "policy": -gain.item(), "value": 0.0, "entropy": entropy.item(), "penalty": penalty.item(),
            "total": total, "norm": 0.0,
        }  # fmt: skip

    def orders(self, epochs: int, samples: int, minibatches: int, stream: str) -> list[Tensor]:
        found: list[Tensor] = []
        for epoch in range(epochs):
            order = permutation([self.config.seed], [self.updates], epoch, samples, stream)[0]
            found += (torch.arange(samples) if minibatches == 1 else order).chunk(minibatches)
        return found

    def afterwards(self, run: OneRun, x: Tensor, targets: Tensor) -> None:
        algo = self.config.algo
        for rows in self.orders(algo.value_epochs, len(x), algo.minibatches, "permutation"):
            # With one trunk its features are constants here.
            features = self.features(x[rows], -1)
            error = (self.value_of(features.detach() if self.shared else features) - targets[rows]) ** 2
            self.value_losses.append(error.mean().item())
            self.descend("value", algo.value_coef * error.mean())
        self.memory.append((run.observations.flatten(0, 1), targets.detach()))
        if len(self.memory) == algo.auxiliary_every:
            self.auxiliary_phase()
            self.memory = []

    def auxiliary_phase(self) -> None:
        algo = self.config.algo
        observations, targets = (torch.cat(parts) for parts in zip(*self.memory, strict=True))
        x = self.whitened(observations)
        with torch.no_grad():
            before = self.policy(x)
        for rows in self.orders(algo.auxiliary_epochs, len(x), algo.auxiliary_minibatches, "auxiliary"):
            held = kl_divergence(chosen(before, rows), self.policy(x[rows])).mean()
            value = ((self.value(x[rows]) - targets[rows]) ** 2).mean() / 2
            loss = value + algo.beta_clone * held
            if not self.shared:
                loss = loss + ((self.auxiliary_value(x[rows]) - targets[rows]) ** 2).mean() / 2
            self.descend("auxiliary", loss)
        with torch.no_grad():
            self.told = {
                "auxiliary/clone_kl": kl_divergence(before, self.policy(x)).mean().item(),
                "auxiliary/value": ((self.value(x) - targets) ** 2).mean().item(),
            }
            if not self.shared:
                self.told["auxiliary/value_aux"] = ((self.auxiliary_value(x) - targets) ** 2).mean().item()

    def update(self, rollout: Rollout) -> dict[str, float]:
        """As of any algorithm, with the figures of all phases."""
        self.norms, self.value_losses, self.told = [], [], {}
        found = super().update(rollout) | self.told
        value = float(np.mean(self.value_losses))
        return found | {
            "loss/value": value,
            "loss/total": found["loss/total"] + self.config.algo.value_coef * value,
            "update/grad_norm_mean": float(np.mean(self.norms)),
            "update/grad_norm_max": max(self.norms),
            "update/gradient_steps": len(self.norms),
        }
