"""Advantages and value targets.

Shapes: every argument is time-major [T, ...]; hyperparameters broadcast against one time step ([R, 1] against
[R, N]). The rollout's end cuts as a truncation does.
At step t, `next_values` is V of the true successor s_{t+1} (the final observation when an episode ends), so
that a truncation bootstraps and a termination does not; where both are true, termination wins.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def td_errors(
    rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, gamma: Tensor
) -> Tensor:
    """δ_t = r_t + γ (1 - terminated_t) V(s_{t+1}) - V(s_t), shape [T, ...]."""
    return rewards + gamma * torch.where(terminated, 0.0, next_values) - values


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    trace_decay: Tensor,
) -> Tensor:
    """Generalised advantages A_t = Σ_{k≥0} (γλ)^k δ_{t+k}, the sum ending with the episode or the rollout.

    Source: Schulman et al. 2016, 'High-Dimensional Continuous Control Using Generalized Advantage
    Estimation', equation 16. Value targets are A + V.
    """
    deltas = td_errors(rewards, values, next_values, terminated, gamma)
    decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay)
    return decayed_sums(deltas, decays, torch.zeros_like(deltas[0]))


def decayed_sums(terms: Tensor, decays: Tensor, following: Tensor) -> Tensor:
    """x_t = terms_t + decays_t x_{t+1}, [T, ...]; x_T is `following`."""
    reversed_sums = []
    for term, decay in zip(reversed(terms.unbind(0)), reversed(decays.unbind(0)), strict=True):
        following = torch.addcmul(term, decay, following)
        reversed_sums.append(following)
    return torch.stack(reversed_sums[::-1])


def bootstrapped_rewards(
    rewards: Tensor, next_values: Tensor, terminated: Tensor, truncated: Tensor, gamma: Tensor
) -> Tensor:
    """r_t, and r_t + γ V(s_{t+1}) where a truncation or the rollout's end cuts off what follows, [T, ...].

    Summed to an end they are whole returns, with V in place of what was not collected.
    """
    cut = truncated.clone()
    cut[-1] = True
    return rewards + gamma * torch.where(cut & ~terminated, next_values, 0.0)


def monte_carlo(
    rewards: Tensor,
    values: Tensor,  # noqa: ARG001 -- not read; estimators are called alike
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
) -> Tensor:
    """Returns G_t = Σ_{k≥0} γ^k r_{t+k} to the episode's end, [T, ...]; V in place of what was cut off.

    They are value targets, equal to GAE(1) + V; advantages are G - V. Source: Sutton and Barto 2018,
    'Reinforcement Learning: An Introduction', equation 3.8.
    """
    whole = bootstrapped_rewards(rewards, next_values, terminated, truncated, gamma)
    return returns_to_go(whole, terminated | truncated, gamma)


def returns_to_go(rewards: Tensor, ended: Tensor, gamma: Tensor) -> Tensor:
    """G_t = r_t + γ G_{t+1}, [T, ...], where nothing follows an end or the last row."""
    total = torch.zeros_like(rewards[0])
    reversed_totals = []
    for reward, end in zip(reversed(rewards.unbind(0)), reversed(ended.unbind(0)), strict=True):
        total = torch.addcmul(reward, gamma, torch.where(end, 0.0, total))
        reversed_totals.append(total)
    return torch.stack(reversed_totals[::-1])


def nstep(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    n: int,
) -> Tensor:
    """A_t = Σ_{k<m} γ^k r_{t+k} + γ^m V(s_{t+m}) - V(s_t), [T, ...]; V is 0 beyond a termination.

    m is n, or less where the episode or the rollout ends earlier. Source: Mnih et al. 2016, 'Asynchronous
    Methods for Deep Reinforcement Learning', section 3 (with m fixed). Value targets are A + V.
    """
    bootstrap = torch.where(terminated, 0.0, next_values)
    ended = (terminated | truncated)[:-1]
    returns = rewards + gamma * bootstrap
    for _ in range(min(n, len(rewards)) - 1):
        # A return over k steps is a reward and the successor's return over k - 1.
        following = torch.where(ended, bootstrap[:-1], returns[1:])
        returns = torch.cat((rewards[:-1] + gamma * following, returns[-1:]))
    return returns - values


class VTrace(NamedTuple):
    """What V-trace makes of a rollout, each [T, ...]."""

    targets: Tensor
    """v_s: value targets."""
    advantages: Tensor
    """r_s + γ x_{s+1} - V(s_s), not multiplied by ρ: what a ratio surrogate takes."""
    ratios: Tensor
    """min(ρ̄_pg, π/μ): what the score function multiplies its advantage by."""


def capped(ratios: Tensor, cap: Tensor) -> Tensor:
    """min(ratio, cap) whose gradient at equality is the ratio's, as that of `minimum` (half) is not."""
    return torch.where(ratios > cap, cap, ratios)


def vtrace(
    log_rhos: Tensor,
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    trace_decay: Tensor,
    rho_bar: Tensor,
    c_bar: Tensor,
    rho_bar_pg: Tensor | None = None,
    *,
    mixes: bool = False,
) -> VTrace:
    """v_s = V(s_s) + Σ_{t≥s} γ^{t-s} (Π_{s≤i<t} c_i) ρ_t (r_t + γ V(s_{t+1}) - V(s_t)), `log_rhos` log π/μ.

    ρ_t = min(ρ̄, π/μ), c_i = λ min(c̄, π/μ); sums and products end with the episode or the rollout, where
    v_{s+1} is V(s_{s+1}), and 0 beyond a termination. The targets' fixed point is the value of the policy
    proportional to min(ρ̄ μ, π). At π = μ (and ρ̄, c̄ ≥ 1) the targets are GAE(λ) + V, and the advantages
    δ_s + γ GAE(λ)_{s+1}. Source: Espeholt et al. 2018, 'IMPALA', equation 1 and section 4.2; λ by remark 2.
    Advantages bootstrap from x = v (q_s = r_s + γ v_{s+1} of section 4.2), or with `mixes` from
    x = λ v + (1 - λ) V, as rlax's `vtrace_td_error_and_advantage` does; that is GAE(λ) at π = μ. The policy
    gradient's own cap `rho_bar_pg`, ρ̄ by default, is rlax's too (`clip_pg_rho_threshold`).
    Munos et al. 2016's Retrace(λ) (`retrace`) is not a case of it: it corrects the values of actions, and
    ends its products one factor later.
    """
    rhos = log_rhos.exp()
    ratios = capped(rhos, rho_bar)
    decays = torch.where(terminated | truncated, 0.0, gamma * trace_decay * capped(rhos, c_bar))
    deltas = td_errors(rewards, values, next_values, terminated, gamma)
    corrections = decayed_sums(ratios * deltas, decays, torch.zeros_like(deltas[0]))
    share = gamma * trace_decay if mixes else gamma
    following = torch.where((terminated | truncated)[:-1], 0.0, share * corrections[1:])
    advantages = deltas + torch.cat((following, torch.zeros_like(deltas[:1])))
    for_policy = ratios if rho_bar_pg is None else capped(rhos, rho_bar_pg)
    return VTrace(values + corrections, advantages, for_policy)


def retrace(
    log_rhos: Tensor,
    rewards: Tensor,
    action_values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    trace_decay: Tensor,
) -> Tensor:
    """Q^ret_s = Q(s_s, a_s) + Σ_{t≥s} γ^{t-s} (Π_{s<i≤t} c_i) (r_t + γ V(s_{t+1}) - Q(s_t, a_t)), [T, ...].

    c_i = λ min(1, π/μ), `log_rhos` log π/μ; `action_values` are Q of the actions taken, `next_values`
    V(s_{t+1}) = Σ_b π(b|s_{t+1}) Q(s_{t+1}, b). Sums and products end with the episode or the rollout. No
    ratio corrects the action taken at s itself: the target is of its value. Their fixed point is Q^π for any
    μ and λ. Source: Munos et al. 2016, 'Safe and Efficient Off-Policy Reinforcement Learning', equation 3,
    with the traces of Retrace(λ) in section 3.
    """
    deltas = td_errors(rewards, action_values, next_values, terminated, gamma)
    one = torch.ones_like(trace_decay)
    traces = gamma * trace_decay * capped(log_rhos[1:].exp(), one)
    decays = torch.where((terminated | truncated)[:-1], 0.0, traces)
    correction = deltas[-1]
    reversed_corrections = [correction]
    for delta, decay in zip(reversed(deltas[:-1].unbind(0)), reversed(decays.unbind(0)), strict=True):
        correction = torch.addcmul(delta, decay, correction)
        reversed_corrections.append(correction)
    return action_values + torch.stack(reversed_corrections[::-1])


def discounted_returns(
    rewards: Tensor, ended: Tensor, gamma: Tensor, carried: Tensor
) -> tuple[Tensor, Tensor]:
    """Forward accumulators G_t = γ G_{t-1} + r_t, which start again from 0 after an end.

    `carried` is the accumulator before the first step; returns ([T, ...], the accumulator to carry on).
    """
    totals = []
    for reward, end in zip(rewards.unbind(0), ended.unbind(0), strict=True):
        total = torch.addcmul(reward, gamma, carried)
        totals.append(total)
        carried = torch.where(end, 0.0, total)
    return torch.stack(totals), carried


def whiten(advantages: Tensor) -> Tensor:
    """Zero mean and unit population deviation over the last axis.

    Two passes; the divisor is max(std, 1e-8). Where std is below 1e-6 of the root mean square the
    differences are rounding, and the result is zero. A row whose squares overflow is scaled down by a power
    of two first, which changes no digit.
    """
    white, scale = _whitened(advantages, 1e-8)
    finite = scale.isfinite()
    # No number depends on leaving early: a finite row is whitened as it is.
    if finite.all():
        return white
    peak = advantages.abs().amax(-1, keepdim=True)
    reduced, _ = _whitened(torch.ldexp(advantages, -peak.frexp().exponent), 0.0)
    return torch.where(finite, white, reduced)


def _whitened(values: Tensor, minimum: float) -> tuple[Tensor, Tensor]:
    """Each row whitened by a divisor of at least `least`, and its root mean square."""
    centred = values - values.mean(-1, keepdim=True)
    deviation = (centred * centred).mean(-1, keepdim=True).sqrt()
    scale = (values * values).mean(-1, keepdim=True).sqrt()
    return torch.where(deviation <= 1e-6 * scale, 0.0, centred / deviation.clamp(min=minimum)), scale
