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
    return (_capped(episodes, cap) * episodes.returns).mean()


def truncation_bias(episodes: Episodes, cap: float | None = None) -> Tensor:
    """Bound of the bias of `truncated`: max|G| E_μ[(ρ - c)+], the expectation estimated; [].

    E[(ρ - c)+] = E[ρ] - E[min(ρ, c)] ≤ E[ρ²]/(4c), as (w - c)+ ≤ w²/(4c) for every w.
    """
    weights = episodes.log_weights.exp()
    return episodes.returns.abs().max() * (weights - _capped(episodes, cap)).mean()


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


def effective_episodes(episodes: Episodes) -> Tensor:
    """(Σ ρ_{0:T})² / (n Σ ρ_{0:T}²), in (0, 1]: the share of the episodes that counts."""
    return effective_sample_size(episodes.log_weights)


def lower_bound(episodes: Episodes, confidence: float) -> Tensor:
    """A bound that J(π) is above with this confidence: Ĵ - max|G| √((1-δ) d_2(π||μ) / (δ n)).

    δ = 1 - confidence; Ĵ is `ordinary`; d_2 = E_μ[ρ²], by (1/n) Σ ρ². Cantelli's inequality: Metelli
    et al. 2018, theorem 4.1. It assumes |G| ≤ max|G|, the largest seen, and that d_2 is finite and known.
    """
    delta = 1.0 - confidence
    second = (2.0 * episodes.log_weights).exp().mean()
    spread = math.sqrt(confidence / (delta * len(episodes.returns))) * second.sqrt()
    return ordinary(episodes) - episodes.returns.abs().max() * spread


def marginalised(episodes: Episodes) -> Tensor:
    """Marginalised importance sampling for finitely many states; []. Xie, Ma and Wang 2019, section 3.

    Σ_t γ^t Σ_s d_t(s) r_t(s), with d_0 the frequencies of first states, and from one time to the next
    d_{t+1}(s') = Σ_s d_t(s) P_t(s'|s); P_t and r_t are averages over the episodes at s at time t, each
    weighed by ρ_t. So a weight is a ratio of one step, not a product over the episode. An episode that ended
    adds nothing to later times. Biased, consistent.
    """
    states, rewards, present = episodes.states, episodes.rewards, episodes.present
    if states is None:
        raise ValueError("this estimator needs numbers of states")
    count, horizon = rewards.shape
    total_states = int(states.max()) + 1
    ratios = episodes.log_ratios.exp()
    reached = torch.zeros(total_states, dtype=torch.float64).index_add_(
        0, states[:, 0], torch.full((count,), 1.0 / count, dtype=torch.float64)
    )
    value = torch.zeros((), dtype=torch.float64)
    for time in range(horizon):
        here = present[:, time]
        at, ratio = states[here, time], ratios[here, time]
        visits = torch.zeros(total_states, dtype=torch.float64).index_add_(0, at, torch.ones_like(ratio))
        share = reached / visits.clamp(min=1.0)
        value = value + episodes.gamma**time * (share[at] * ratio * rewards[here, time]).sum()
        if time + 1 < horizon:
            going = present[here, time + 1]
            after = states[here, time + 1][going]
            reached = torch.zeros(total_states, dtype=torch.float64).index_add_(
                0, after, (share[at] * ratio)[going]
            )
    return value


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


def _capped(episodes: Episodes, cap: float | None) -> Tensor:
    limit = math.sqrt(len(episodes.returns)) if cap is None else cap
    return episodes.log_weights.clamp(max=math.log(limit)).exp()


def _values(episodes: Episodes) -> tuple[Tensor, Tensor]:
    if episodes.action_values is None or episodes.state_values is None:
        raise ValueError("this estimator needs values of actions and states")
    return episodes.action_values, episodes.state_values
