"""Off-policy evaluation: the value of a target policy from episodes of a behaviour policy.

Shapes: n episodes, H steps of the longest; arrays are [n, H] float64, and steps behind an episode's end are
absent. ρ_t = π(a_t|s_t)/μ(a_t|s_t), ρ_{0:t} their product up to t; after its end an episode keeps its last
weight, and earns 0. G = Σ_t γ^t r_t. What is estimated is J(π) = E_π[G], over the same steps.

Sources: Precup, Sutton and Singh 2000, 'Eligibility Traces for Off-Policy Policy Evaluation' (importance
sampling, per decision, weighted); Ionides 2008, 'Truncated Importance Sampling'; Jiang and Li 2016, 'Doubly
Robust Off-policy Value Evaluation for Reinforcement Learning'; Thomas and Brunskill 2016, 'Data-Efficient
Off-Policy Policy Evaluation for Reinforcement Learning' (weighted forms); Xie, Ma and Wang 2019, 'Towards
Optimal Off-Policy Evaluation for Reinforcement Learning with Marginalized Importance Sampling'; Metelli,
Papini, Faccio and Restelli 2018, 'Policy Optimization via Importance Sampling' (the bound).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from rlcli.maths.health import effective_sample_size


class Episodes(NamedTuple):
    """Episodes of the behaviour policy."""

    log_ratios: Tensor
    """log ρ_t; 0 where absent."""
    rewards: Tensor
    """0 where absent."""
    present: Tensor
    """bool: whether the episode has this step."""
    gamma: float
    action_values: Tensor | None = None
    """An estimate of Q^π(s_t, a_t); 0 where absent."""
    state_values: Tensor | None = None
    """An estimate of V^π(s_t); 0 where absent."""
    states: Tensor | None = None
    """int64: numbers of the states, where these are finitely many; any number where absent."""

    @property
    def discounts(self) -> Tensor:
        """γ^t, [H]."""
        steps = torch.arange(self.rewards.shape[1], dtype=torch.float64)
        return torch.pow(torch.tensor(self.gamma, dtype=torch.float64), steps)

    @property
    def returns(self) -> Tensor:
        """G of each episode, [n]."""
        return (self.discounts * self.rewards).sum(-1)

    @property
    def log_prefixes(self) -> Tensor:
        """log ρ_{0:t}; behind the end the last one."""
        return self.log_ratios.cumsum(-1)

    @property
    def log_weights(self) -> Tensor:
        """log ρ_{0:T} of the whole episode, [n]."""
        return self.log_ratios.sum(-1)

    def take(self, chosen: Tensor) -> Episodes:
        """The episodes of these indices, which may repeat."""

        def rows(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[chosen]

        return Episodes(
            self.log_ratios[chosen],
            self.rewards[chosen],
            self.present[chosen],
            self.gamma,
            rows(self.action_values),
            rows(self.state_values),
            rows(self.states),
        )


def behaviour_return(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i G_i, the value of the behaviour policy itself."""
    return episodes.returns.mean()


def ordinary(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i ρ_{0:T} G. Unbiased."""
    return (episodes.log_weights.exp() * episodes.returns).mean()


def per_decision(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i Σ_t γ^t ρ_{0:t} r_t. Unbiased; no reward carries ratios of later actions."""
    return (episodes.discounts * episodes.log_prefixes.exp() * episodes.rewards).sum(-1).mean()


def weighted(episodes: Episodes) -> Tensor:
    """Σ_i ρ_{0:T} G / Σ_i ρ_{0:T}. Biased, consistent, within the range of the returns."""
    return (episodes.log_weights.softmax(0) * episodes.returns).sum()


def weighted_per_decision(episodes: Episodes) -> Tensor:
    """Σ_t γ^t (Σ_i ρ_{0:t} r_t / Σ_i ρ_{0:t}); ended episodes keep their last weight in the denominator."""
    shares = episodes.log_prefixes.softmax(0)
    return (episodes.discounts * (shares * episodes.rewards).sum(0)).sum()


def truncated(episodes: Episodes, cap: float | None = None) -> Tensor:
    """(1/n) Σ_i min(ρ_{0:T}, c) G, c = √n unless given (Ionides 2008, section 2). Biased towards 0."""
    return (_log_capped(episodes, cap).exp() * episodes.returns).mean()


def truncation_bias(episodes: Episodes, cap: float | None = None) -> Tensor:
    """Estimate of the bound of the bias of `truncated`: max|G| E_μ[(ρ - c)+]; [].

    E[(ρ - c)+] = E[ρ] - E[min(ρ, c)], and E[ρ] = 1 exactly. So it is 1 less the mean of min(ρ, c), and not 0
    where no weight above c was drawn. max|G| is that of the episodes.
    """
    lost = (1.0 - _log_capped(episodes, cap).exp().mean()).clamp(min=0.0)
    return episodes.returns.abs().max() * lost


def direct(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i V(s_0): the model's own answer. Its bias is that of the model."""
    return _values(episodes)[1][:, 0].mean()


def doubly_robust(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i Σ_t γ^t [ρ_{0:t} (r_t - Q(s_t, a_t)) + ρ_{0:t-1} V(s_t)].

    Unbiased whatever Q is, if V(s) = Σ_a π(a|s) Q(s, a). Jiang and Li 2016, equation 10, unrolled.
    """
    actions, states = _values(episodes)
    now = episodes.log_prefixes.exp()
    before = torch.cat([torch.ones_like(now[:, :1]), now[:, :-1]], -1)
    return (episodes.discounts * (now * (episodes.rewards - actions) + before * states)).sum(-1).mean()


def weighted_doubly_robust(episodes: Episodes) -> Tensor:
    """Σ_i Σ_t γ^t [w_t (r_t - Q(s_t, a_t)) + w_{t-1} V(s_t)], w_t = ρ_{0:t} / Σ_j ρ_{0:t}, w_{-1} = 1/n.

    Biased, consistent. Thomas and Brunskill 2016, equation 9.
    """
    actions, states = _values(episodes)
    now = episodes.log_prefixes.softmax(0)
    before = torch.cat([torch.full_like(now[:, :1], 1.0 / len(now)), now[:, :-1]], -1)
    return (episodes.discounts * (now * (episodes.rewards - actions) + before * states)).sum()


def effective_episodes(log_weights: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of the n weights of each step, in (0, n], [n, K] to [K]: the episodes that count."""
    return len(log_weights) * effective_sample_size(log_weights.T)


def lower_bound(episodes: Episodes, confidence: float) -> Tensor:
    """A bound that J(π) is above with this confidence: Ĵ - max|G| √((1-δ) d_2(π||μ) / (δ n)).

    δ = 1 - confidence; Ĵ is `ordinary`; d_2 = E_μ[ρ²], by (1/n) Σ ρ², and at least 1 = E_μ[ρ]². Cantelli's
    inequality: Metelli et al. 2018, theorem 4.1. It assumes |G| ≤ max|G|, the largest of the episodes, and
    that d_2 is what the episodes have.
    """
    delta = 1.0 - confidence
    second = (2.0 * episodes.log_weights).exp().mean().clamp(min=1.0)
    spread = math.sqrt(confidence / (delta * len(episodes.returns))) * second.sqrt()
    return ordinary(episodes) - episodes.returns.abs().max() * spread


def marginal_weights(episodes: Episodes) -> Tensor:
    """d_t(s_t) / d^μ_t(s_t) · ρ_t for finitely many states, [n, H]. Xie, Ma and Wang 2019, section 3.

    d^μ_t are frequencies of states at time t, d_t those that the target would have: the share of state s is
    the mean of the previous step's weights over the episodes in s. So a weight is a ratio of one step, not a
    product over the episode. After its end an episode keeps its last weight.
    """
    if episodes.states is None:
        raise ValueError("this estimator needs numbers of states")
    ratios, found = episodes.log_ratios.exp(), []
    weights = torch.ones(len(ratios), dtype=torch.float64)
    for time in range(ratios.shape[1]):
        here = episodes.present[:, time]
        at = episodes.states[here, time]
        none = torch.zeros(int(episodes.states.max()) + 1, dtype=torch.float64)
        visits = none.index_add(0, at, torch.ones_like(weights[here]))
        arrived = none.index_add(0, at, weights[here])
        weights = weights.clone()
        weights[here] = (arrived[at] / visits[at]) * ratios[here, time]
        found.append(weights)
    return torch.stack(found, -1)


def marginalised(episodes: Episodes) -> Tensor:
    """(1/n) Σ_i Σ_t γ^t w_t r_t with `marginal_weights` w. Biased, consistent."""
    return (episodes.discounts * marginal_weights(episodes) * episodes.rewards).sum(-1).mean()


ESTIMATORS: Mapping[str, Callable[[Episodes], Tensor]] = {
    "is": ordinary,
    "per_decision": per_decision,
    "weighted": weighted,
    "weighted_per_decision": weighted_per_decision,
    "truncated": truncated,
    "direct": direct,
    "doubly_robust": doubly_robust,
    "weighted_doubly_robust": weighted_doubly_robust,
    "marginalised": marginalised,
}
"""Estimators by name."""
WITH_VALUES = ("direct", "doubly_robust", "weighted_doubly_robust")
"""Those that need values."""
TABULAR = ("marginalised",)
"""Those that need finitely many states."""
LOG_WEIGHTS: Mapping[str, Callable[[Episodes], Tensor]] = {
    "is": lambda episodes: episodes.log_weights[:, None],
    "per_decision": lambda episodes: episodes.log_prefixes,
    "weighted": lambda episodes: episodes.log_weights[:, None],
    "weighted_per_decision": lambda episodes: episodes.log_prefixes,
    "truncated": lambda episodes: _log_capped(episodes, None)[:, None],
    "doubly_robust": lambda episodes: episodes.log_prefixes,
    "weighted_doubly_robust": lambda episodes: episodes.log_prefixes,
    "marginalised": lambda episodes: marginal_weights(episodes).log(),
}
"""Logarithms of the weights of those that have any: one per episode [n, 1], or per step [n, H]."""


def _log_capped(episodes: Episodes, cap: float | None) -> Tensor:
    limit = math.sqrt(len(episodes.returns)) if cap is None else cap
    return episodes.log_weights.clamp(max=math.log(limit))


def _values(episodes: Episodes) -> tuple[Tensor, Tensor]:
    if episodes.action_values is None or episodes.state_values is None:
        raise ValueError("this estimator needs values of actions and states")
    return episodes.action_values, episodes.state_values
