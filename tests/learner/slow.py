"""Updates once more, slowly: torch's modules, distributions, optimisers and autograd, one run.

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
from rlcli.config.schema.run import RunConfig
from rlcli.learner.draws import permutation
from rlcli.nets.policy import Model

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU}


class OneRun:
    """The first run of a rollout: each field [T, N, ...]."""

    def __init__(self, rollout: Rollout) -> None:
        self.observations, self.next_observations = rollout.acted_on[:, 0], rollout.successors()[:, 0]
        self.actions, self.rewards = rollout.actions[:, 0], rollout.rewards[:, 0]
        self.terminated, self.truncated = rollout.terminated[:, 0], rollout.truncated[:, 0]


class SlowLearner:
    """One run of a row, from the same initial parameters [P]; lag 0."""

    def __init__(self, config: RunConfig, model: Model, parameters: Tensor) -> None:
        self.config = config
        self.parts = {
            name: nn.Parameter(part[0].double().clone())
            for name, part in model.network.layout.unflatten(parameters.unsqueeze(0)).items()
        }
        self.depth = len(config.network.hidden)
        self.activation = MODULES[config.network.activation]()
        algo = config.algo
        self.optimiser = {"adam": self.adam, "rmsprop": self.rmsprop, "sgd": self.sgd}[algo.optimiser]()
        self.updates = 0
        self.coefficient = 1.0
        self.rate = config.algo.learning_rate
        self.masks: list[float] = []
        self.observed: list[np.ndarray] = []
        self.returned: list[np.ndarray] = []
        self.accumulated = np.zeros(config.env.num_envs)

    def adam(self) -> torch.optim.Optimizer:
        algo = self.config.algo
        betas = (algo.adam_beta1, algo.adam_beta2)
        return torch.optim.Adam(self.parts.values(), algo.learning_rate, betas, algo.adam_eps)

    def rmsprop(self) -> torch.optim.Optimizer:
        algo = self.config.algo
        return RootInside(self.parts.values(), algo.learning_rate, algo.rmsprop_decay, algo.rmsprop_eps)

    def sgd(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parts.values(), self.config.algo.learning_rate)

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
        """GAE as a double sum, or a return of n steps (of any number for Monte Carlo) less V, [T, N]."""
        gamma, trace_decay = self.config.algo.gamma, self.config.algo.gae_lambda
        steps, envs = rewards.shape
        if self.config.algo.targets != "gae":
            longest = self.config.algo.n_step if self.config.algo.targets == "nstep" else steps
            found = -values.clone()
            for n, start in itertools.product(range(envs), range(steps)):
                end = start
                while end + 1 < min(start + longest, steps) and not (terminated | truncated)[end, n]:
                    end += 1
                found[start, n] += sum(gamma ** (t - start) * rewards[t, n] for t in range(start, end + 1))
                if not terminated[end, n]:
                    found[start, n] += gamma ** (end + 1 - start) * next_values[end, n]
            return found
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
        run = OneRun(rollout)
        ahead = max(0.0, 1 - self.updates * config.batch_size / (config.schedule_steps or config.total_steps))
        clip = algo.clip * (ahead if algo.clip_schedule == "linear" else 1.0)
        rate = self.rate * (ahead if algo.learning_rate_schedule == "linear" else 1.0)
        beta = self.beta()
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
        if algo.step_rule == "natural":
            self.natural_step(x, actions, mu, judged)
        steps: list[dict[str, float]] = []
        for epoch in range(algo.epochs):
            order = torch.arange(len(x))
            if algo.minibatches > 1:
                order = permutation([config.seed], [self.updates], epoch, len(x))[0]
            for rows in order.chunk(algo.minibatches):
                batch = [part[rows] for part in (x, actions, log_mu, advantages, judged, targets, values)]
                steps.append(self.step(*batch, clip, rate, beta, lambda rows=rows: chosen(mu, rows)))
        self.afterwards(run, x, targets)
        with torch.no_grad():
            pi = self.policy(x)
        self.remember(run)
        self.updates += 1
        if algo.penalty != "none" and algo.beta_schedule == "adaptive":
            divergence = kl_divergence(mu, pi).mean()
            self.coefficient *= 2 if divergence > 1.5 * algo.kl_target else 1
            self.coefficient /= 2 if divergence < algo.kl_target / 1.5 else 1
            self.coefficient = max(self.coefficient, algo.beta_min or 0.0)
            self.coefficient = min(self.coefficient, algo.beta_max or float("inf"))
        if algo.learning_rate_schedule == "adaptive_kl":
            divergence = kl_divergence(mu, pi).mean()
            self.rate /= 1.5 if divergence > 2 * algo.learning_rate_kl else 1
            self.rate *= 1.5 if divergence < algo.learning_rate_kl / 2 else 1
            self.rate = min(max(self.rate, algo.learning_rate_min), algo.learning_rate_max)
        found = (
            health(mu, pi, actions)
            | self.judgement(mu, pi, actions, judged, clip)
            | {f"loss/{name}": np.mean([step[name] for step in steps]) for name in steps[0] if name != "norm"}
        )
        found |= {
            "update/grad_norm_mean": np.mean([step["norm"] for step in steps]),
            "update/grad_norm_max": max(step["norm"] for step in steps),
            "update/gradient_steps": len(steps),
            "update/explained_variance": 1 - (targets - values).var() / targets.var(),
            "update/learning_rate": rate,
        }
        if algo.step_rule == "natural":
            found["update/step_accepted"] = self.share
        if algo.penalty != "none":
            found["update/beta"] = beta
        else:
            del found["loss/penalty"]
        return {name: float(value) for name, value in found.items()}

    def afterwards(self, run: Rollout, x: Tensor, targets: Tensor) -> None:
        """What else an algorithm does after its epochs, on inputs [B, O] and value targets [B]."""

    def beta(self) -> float:
        """The penalty's coefficient at update k of K."""
        algo, k = self.config.algo, self.updates
        updates = self.config.updates
        return {
            "constant": algo.beta,
            "adaptive": algo.beta * self.coefficient,
            "linear": algo.beta / (1 - k / updates),
            "inverse": algo.beta / (k + 1),
        }[algo.beta_schedule]

    def objective(self, log_prob: Tensor, log_mu: Tensor, advantages: Tensor, clip: float) -> Tensor:
        """What the policy ascends, a number a sample."""
        algo, ratio = self.config.algo, (log_prob - log_mu).exp()
        held = ratio.clamp(1 - clip, 1 + (algo.clip_high or clip))
        match algo.surrogate:
            case "clipped":
                found = torch.minimum(ratio * advantages, held * advantages)
                if algo.clip_dual is None:
                    return found
                return torch.where(advantages < 0, torch.maximum(found, algo.clip_dual * advantages), found)
            case "ratio" | "dppo":
                return ratio * advantages
            case "spo":
                return ratio * advantages - advantages.abs() / (2 * clip) * (ratio - 1) ** 2
            case "cispo":
                # From the cap on, the line in log pi that continues it.
                held = ratio.clamp(max=1 + (algo.clip_high or clip))
                return held * (1 + (ratio / held).log()) * advantages
        return log_prob * advantages

    def judgement(self, mu: Any, pi: Any, actions: Tensor, judged: Tensor, clip: float) -> dict[str, Any]:
        """The figures that ask what the algorithm is."""
        algo = self.config.algo
        log_mu, log_pi = mu.log_prob(actions), pi.log_prob(actions)
        after, before = (self.objective(one, log_mu, judged, clip) for one in (log_pi, log_mu))
        found = {"update/gain_realised": (after - before).mean()}
        allowed = algo.kl_target if algo.beta_schedule == "adaptive" else self.config.health.kl_reference
        if algo.surrogate == "dppo":
            allowed = algo.dppo_threshold
            if algo.dppo_divergence == "tv":
                allowed = 2 * algo.dppo_threshold**2
        if algo.surrogate in ("clipped", "spo"):
            ratio, high = (log_pi - log_mu).exp(), algo.clip_high or clip
            up = clip / (clip + high)
            allowed = -up * np.log(1 + high) - (1 - up) * np.log(1 - clip)
            held = ((ratio > 1 + high) & (judged > 0)) | ((ratio < 1 - clip) & (judged < 0))
            outside = (ratio > 1 + high) | (ratio < 1 - clip)
            found |= {
                "behaviour/clip_fraction_own": outside.double().mean(),
                "behaviour/clip_active": held.double().mean(),
                "update/clip": clip,
            }
        if algo.step_rule == "natural":
            allowed = algo.delta
        return found | {"update/budget_used": kl_divergence(mu, pi).mean() / allowed}

    def natural_step(self, x: Tensor, actions: Tensor, mu: Any, judged: Tensor) -> None:
        """Solves (Hessian of the mean KL + damping) s = gradient outright, then searches along s."""
        algo = self.config.algo
        kept, sizes = self.parts, [part.numel() for part in self.parts.values()]
        start = torch.cat([part.detach().flatten() for part in kept.values()])
        log_mu = mu.log_prob(actions)

        def at(flat: Tensor) -> Any:
            split = zip(kept.items(), flat.split(sizes), strict=True)
            self.parts = {name: piece.view(part.shape) for (name, part), piece in split}
            return self.policy(x)

        def gain(flat: Tensor) -> Tensor:
            log_prob = at(flat).log_prob(actions)
            return (self.objective(log_prob, log_mu, judged, algo.clip)).mean()

        def divergence(flat: Tensor) -> Tensor:
            return kl_divergence(mu, at(flat)).mean()

        gradient = torch.autograd.functional.jacobian(gain, start)
        metric = torch.eye(len(start), dtype=torch.float64)
        if algo.metric == "fisher":
            metric = torch.autograd.functional.hessian(divergence, start) + algo.cg_damping * metric
        direction = torch.linalg.solve(metric, gradient)
        step = (2 * algo.delta / (direction @ metric @ direction)).sqrt() * direction
        share, found = 1.0, start
        for _ in range(algo.line_search_steps):
            candidate = start + share * step
            if not algo.line_search or (
                divergence(candidate) <= algo.delta and gain(candidate) > gain(start)
            ):
                found = candidate
                break
            share *= algo.line_search_shrink
        self.parts, self.share = kept, share if found is not start else 0.0
        with torch.no_grad():
            for part, piece in zip(kept.values(), found.split(sizes), strict=True):
                part.copy_(piece.view(part.shape))

    def step(
        self, x, actions, log_mu, advantages, judged, targets, values, clip, rate, beta, anchor
    ) -> dict[str, float]:
        algo = self.config.algo
        if algo.normalize_advantage == "minibatch":
            advantages = (advantages - advantages.mean()) / advantages.std(correction=0)
        elif algo.normalize_advantage == "batch":
            advantages = judged
        policy, value = self.policy(x), self.value(x)
        gain = self.objective(policy.log_prob(actions), log_mu, advantages, clip)
        if algo.surrogate == "dppo":
            gain = torch.where(self.masked(policy, anchor(), actions, advantages), gain.detach(), gain)
        gain = gain.mean()
        error = (value - targets) ** 2
        if algo.value_clip is not None:
            held = values + (value - values).clamp(-algo.value_clip, algo.value_clip)
            error = torch.maximum(error, (held - targets) ** 2)
        entropy = policy.entropy().mean()
        penalty = torch.zeros(())
        if algo.penalty == "kl_anchor_pi":
            penalty = beta * kl_divergence(anchor(), policy).mean()
        elif algo.penalty == "kl_pi_anchor":
            penalty = beta * kl_divergence(policy, anchor()).mean()
        total = -gain + algo.value_coef * error.mean() - algo.entropy_coef * entropy + penalty
        self.optimiser.zero_grad()
        # After a natural step the value function learns alone.
        (algo.value_coef * error.mean() if algo.step_rule == "natural" else total).backward()
        for part in self.parts.values():
            part.grad = torch.zeros_like(part) if part.grad is None else part.grad
        limit = float("inf") if algo.max_grad_norm is None else algo.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.parts.values(), limit)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return {
            "policy": -gain.item(), "value": error.mean().item(), "entropy": entropy.item(),
            "penalty": penalty.item(), "total": total.item(), "norm": norm.item(),
        }  # fmt: skip

    def masked(self, policy: Any, anchor: Any, actions: Tensor, advantages: Tensor) -> Tensor:
        """Samples of states too far from the anchor, that would go further."""
        if self.config.algo.dppo_divergence == "tv":
            divergence = (policy.probs - anchor.probs).abs().sum(-1) / 2
        else:
            divergence = kl_divergence(anchor, policy)
        ratio = (policy.log_prob(actions) - anchor.log_prob(actions)).exp()
        outward = ((ratio > 1) & (advantages > 0)) | ((ratio < 1) & (advantages < 0))
        found = outward & (divergence > self.config.algo.dppo_threshold)
        self.masks.append(found.double().mean().item())
        return found

    def remember(self, run: Rollout) -> None:
        """Statistics advance once, after the update, from the raw data."""
        self.observed.append(run.observations.double().flatten(0, 1).numpy())
        for t in range(len(run.rewards)):
            self.accumulated = self.config.algo.gamma * self.accumulated + run.rewards[t].numpy()
            self.returned.append(self.accumulated.copy())
            self.accumulated[(run.terminated[t] | run.truncated[t]).numpy()] = 0.0


class RootInside(torch.optim.Optimizer):
    """RMSProp as TensorFlow has it: p <- p - rate g / sqrt(v + eps), v from 1."""

    def __init__(self, parts: Any, rate: float, decay: float, eps: float) -> None:
        super().__init__(parts, {"lr": rate})
        self.decay, self.eps = decay, eps

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for part in group["params"]:
                mean = self.state[part].get("mean", torch.ones_like(part))
                mean = self.decay * mean + (1 - self.decay) * part.grad**2
                self.state[part]["mean"] = mean
                part -= group["lr"] * part.grad / (mean + self.eps).sqrt()


def chosen(policy: Any, rows: Tensor) -> Any:
    """The policy on some of its states."""
    if isinstance(policy, Categorical):
        return Categorical(logits=policy.logits[rows])
    return Independent(Normal(policy.base_dist.loc[rows], policy.base_dist.scale[rows]), 1)


def health(mu: Any, pi: Any, actions: Tensor) -> dict[str, Any]:
    """The figures that compare the policy after an update with the one before it."""
    ratio = (pi.log_prob(actions) - mu.log_prob(actions)).exp()
    forward, backward = kl_divergence(mu, pi), kl_divergence(pi, mu)
    outside = (ratio - 1).abs()
    return {
        "behaviour/ratio_mean": ratio.mean(),
        "behaviour/ratio_max": ratio.max(),
        "behaviour/ess": ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum()),
        "behaviour/kl_mu_pi": forward.mean(),
        "behaviour/kl_mu_pi_max": forward.max(),
        "behaviour/kl_pi_mu": backward.mean(),
        "behaviour/clip_fraction": (outside > 0.2).double().mean(),
        "behaviour/tv_sampled": outside.mean() / 2,
        "update/entropy": pi.entropy().mean(),
    }
