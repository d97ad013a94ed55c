"""PPO once more, slowly: torch's modules, distributions, optimiser and automatic differentiation, one run.

Written from the papers and knowing nothing of the learner's own maths; it shares only the rollout and the
draws of the minibatches. Float64 throughout.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from rlcli.collect.rollout import Rollout
from rlcli.config.schema import RunConfig
from rlcli.learner.sgd import permutation
from rlcli.nets.policy import Model

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}


class SlowLearner:
    """One run of PPO-clip, from the same initial parameters [P]."""

    def __init__(self, config: RunConfig, model: Model, parameters: Tensor) -> None:
        self.config = config
        self.parts = {
            name: nn.Parameter(part[0].double().clone())
            for name, part in model.network.unflatten(parameters.unsqueeze(0)).items()
        }
        self.depth = len(config.network.hidden)
        self.activation = MODULES[config.network.activation]()
        algo = config.algo
        self.optimiser = torch.optim.Adam(
            self.parts.values(), algo.learning_rate, (algo.adam_beta1, algo.adam_beta2), algo.adam_eps
        )
        self.updates = 0
        self.observed: list[np.ndarray] = []
        self.returned: list[np.ndarray] = []
        self.accumulated = np.zeros(config.env.num_envs)

    def head(self, x: Tensor, name: str, trunk: int) -> Tensor:
        for depth in range(self.depth):
            weight, bias = (
                self.parts[f"trunk.{depth}.weight"][trunk],
                self.parts[f"trunk.{depth}.bias"][trunk],
            )
            x = self.activation(nn.functional.linear(x, weight.T, bias))
        return nn.functional.linear(x, self.parts[f"{name}.weight"].T, self.parts[f"{name}.bias"])

    def policy(self, x: Tensor) -> Any:
        output = self.head(x, "policy", 0)
        if self.parts["policy.free"].numel() == 0:
            return Categorical(logits=output)
        return Independent(Normal(output, self.parts["policy.free"].exp().expand_as(output)), 1)

    def value(self, x: Tensor) -> Tensor:
        return self.head(x, "value", -1).squeeze(-1)

    def whitened(self, observations: Tensor) -> Tensor:
        rows = observations.double()
        if not self.config.env.normalize_observation:
            return rows
        if not self.observed:
            return rows.clamp(-10, 10)
        everything = np.concatenate(self.observed)
        mean, deviation = everything.mean(0), np.sqrt(everything.var(0) + 1e-8)
        return ((rows - torch.from_numpy(mean)) / torch.from_numpy(deviation)).clamp(-10, 10)

    def advantages(self, rewards, values, next_values, terminated, truncated) -> Tensor:
        """The double sum, [T, N]."""
        gamma, trace_decay = self.config.algo.gamma, self.config.algo.gae_lambda
        steps, envs = rewards.shape
        found = torch.zeros(steps, envs, dtype=torch.float64)
        for n, start in itertools.product(range(envs), range(steps)):
            factor = 1.0
            for t in range(start, steps):
                bootstrap = 0.0 if terminated[t, n] else gamma * next_values[t, n]
                found[start, n] += factor * (rewards[t, n] + bootstrap - values[t, n])
                factor *= gamma * trace_decay
                if terminated[t, n] or truncated[t, n]:
                    break
        return found

    def update(self, rollout: Rollout) -> dict[str, float]:
        """One update on the rollout of one run; the figures it gives."""
        config, algo = self.config, self.config.algo
        run = Rollout(*(field[:, 0] for field in rollout))
        ahead = max(0.0, 1 - self.updates * config.batch_size / (config.schedule_steps or config.total_steps))
        clip = algo.clip * (ahead if algo.clip_schedule == "linear" else 1.0)
        rate = algo.learning_rate * (ahead if algo.learning_rate_schedule == "linear" else 1.0)
        x = self.whitened(run.observations)
        rewards = run.rewards
        if config.env.normalize_reward:
            spread = np.concatenate(self.returned).var() if self.returned else 1.0
            rewards = (rewards / np.sqrt(spread + 1e-8)).clamp(-10, 10)
        with torch.no_grad():
            mu = self.policy(x.flatten(0, 1))
            values = self.value(x)
            next_values = self.value(self.whitened(run.next_observations))
            advantages = self.advantages(rewards, values, next_values, run.terminated, run.truncated)
            targets = (advantages + values).flatten()
            advantages, values, x = advantages.flatten(), values.flatten(), x.flatten(0, 1)
            actions = run.actions.flatten(0, 1)
            log_mu = mu.log_prob(actions)
        judged = (advantages - advantages.mean()) / advantages.std(correction=0)
        if algo.normalize_advantage == "none":
            judged = advantages
        steps: list[dict[str, float]] = []
        for epoch in range(algo.epochs):
            order = torch.arange(len(x))
            if algo.minibatches > 1:
                order = permutation([config.seed], [self.updates], epoch, len(x))[0]
            for rows in order.chunk(algo.minibatches):
                batch = [part[rows] for part in (x, actions, log_mu, advantages, judged, targets, values)]
                steps.append(self.step(*batch, clip, rate))
        with torch.no_grad():
            pi = self.policy(x)
        self.remember(run)
        self.updates += 1
        found = health(mu, pi, actions, judged, clip) | {
            f"loss/{name}": np.mean([step[name] for step in steps]) for name in steps[0] if name != "norm"
        }
        found |= {
            "update/grad_norm_mean": np.mean([step["norm"] for step in steps]),
            "update/grad_norm_max": max(step["norm"] for step in steps),
            "update/gradient_steps": len(steps),
            "update/explained_variance": 1 - (targets - values).var() / targets.var(),
            "update/learning_rate": rate,
        }
        return {name: float(value) for name, value in found.items()}

    def step(self, x, actions, log_mu, advantages, judged, targets, values, clip, rate) -> dict[str, float]:
        algo = self.config.algo
        if algo.normalize_advantage == "minibatch":
            advantages = (advantages - advantages.mean()) / advantages.std(correction=0)
        elif algo.normalize_advantage == "batch":
            advantages = judged
        policy, value = self.policy(x), self.value(x)
        ratio = (policy.log_prob(actions) - log_mu).exp()
        gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
        error = (value - targets) ** 2
        if algo.value_clip is not None:
            held = values + (value - values).clamp(-algo.value_clip, algo.value_clip)
            error = torch.maximum(error, (held - targets) ** 2)
        entropy = policy.entropy().mean()
        total = -gain + algo.value_coef * error.mean() - algo.entropy_coef * entropy
        self.optimiser.zero_grad()
        total.backward()
        for part in self.parts.values():
            part.grad = torch.zeros_like(part) if part.grad is None else part.grad
        limit = float("inf") if algo.max_grad_norm is None else algo.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.parts.values(), limit)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return {
            "policy": -gain.item(), "value": error.mean().item(), "entropy": entropy.item(),
            "total": total.item(), "norm": norm.item(),
        }  # fmt: skip

    def remember(self, run: Rollout) -> None:
        """Statistics advance once, after the update, from the raw data."""
        self.observed.append(run.observations.double().flatten(0, 1).numpy())
        for t in range(len(run.rewards)):
            self.accumulated = self.config.algo.gamma * self.accumulated + run.rewards[t].numpy()
            self.returned.append(self.accumulated.copy())
            self.accumulated[(run.terminated[t] | run.truncated[t]).numpy()] = 0.0


def health(mu: Any, pi: Any, actions: Tensor, advantages: Tensor, clip: float) -> dict[str, Any]:
    """The figures that compare the policy after an update with the one before it."""
    ratio = (pi.log_prob(actions) - mu.log_prob(actions)).exp()
    forward, backward = kl_divergence(mu, pi), kl_divergence(pi, mu)
    held = ((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))
    outside = (ratio - 1).abs()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages) - advantages
    return {
        "behaviour/ratio_mean": ratio.mean(),
        "behaviour/ratio_max": ratio.max(),
        "behaviour/ess": ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum()),
        "behaviour/kl_mu_pi": forward.mean(),
        "behaviour/kl_mu_pi_max": forward.max(),
        "behaviour/kl_pi_mu": backward.mean(),
        "behaviour/clip_fraction": (outside > 0.2).double().mean(),
        "behaviour/clip_fraction_own": (outside > clip).double().mean(),
        "behaviour/clip_active": held.double().mean(),
        "behaviour/tv_sampled": outside.mean() / 2,
        "update/budget_used": forward.mean() / (-0.5 * np.log(1 - clip**2)),
        "update/clip": clip,
        "update/entropy": pi.entropy().mean(),
        "update/gain_realised": gain.mean(),
    }
