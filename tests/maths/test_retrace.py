"""Retrace against the paper's sum, term by term; its expectation on a small process against the operator."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from rlcli.maths.estimators import gae, retrace
from rlcli.theory.process import Process, action_values, random_logits, random_process
from rlcli.theory.retrace import traces
from tests.maths.rollouts import SHAPES, columns, log_ratios, per_run, rollout


def corrected(steps, log_rhos, gamma, trace_decay, column):
    """One column's targets by equation 3 of the paper, every product of traces written out."""
    rewards, values, next_values, terminated, truncated = (
        [float(x) for x in part[:, *column]] for part in steps
    )
    ratios = [math.exp(float(x)) for x in log_rhos[:, *column]]
    found = []
    for s in range(len(rewards)):
        target = values[s]
        for t in range(s, len(rewards)):
            product = math.prod(trace_decay * min(1.0, ratios[i]) for i in range(s + 1, t + 1))
            beyond = 0.0 if terminated[t] else next_values[t]
            target += gamma ** (t - s) * product * (rewards[t] + gamma * beyond - values[t])
            if terminated[t] or truncated[t]:
                break
        found.append(target)
    return found


@pytest.mark.broken_by(
    "Retrace's products one factor early, as V-trace's are",
    "maths/estimators.py",
    "capped(log_rhos[1:].exp(), one)",
    "capped(log_rhos[:-1].exp(), one)",
)
@pytest.mark.broken_by(
    "Retrace without its cap",
    "maths/estimators.py",
    "capped(log_rhos[1:].exp(), one)",
    "log_rhos[1:].exp()",
)
@pytest.mark.broken_by(
    "a truncation that does not cut Retrace's products",
    "maths/estimators.py",
    "decays = torch.where((terminated | truncated)[:-1], 0.0, traces)",
    "decays = torch.where(terminated[:-1], 0.0, traces)",
)
@pytest.mark.parametrize(("steps", "runs", "envs"), SHAPES)
@pytest.mark.parametrize("ends", [0.0, 0.15, 0.6])
def test_retrace_is_the_double_sum(steps, runs, envs, ends):
    """`values` are Q of the actions taken; V of a successor is another number."""
    given = rollout(steps, runs, envs, ends, seed=steps)
    following = given.next_values + torch.linspace(-1.0, 1.0, envs, dtype=torch.float64)
    given, logs = given._replace(next_values=following), log_ratios(steps, runs, envs)
    gamma, trace_decay = per_run(runs, 0.99, 0.7), per_run(runs, 1.0, 0.5)
    found = retrace(logs, *given, gamma, trace_decay)
    for column in columns(logs.shape):
        wanted = corrected(given, logs, float(gamma[column[0], 0]), float(trace_decay[column[0], 0]), column)
        assert found[:, *column].tolist() == pytest.approx(wanted, rel=1e-11, abs=1e-11)


def test_of_a_critic_that_ignores_actions_it_is_gae_on_policy():
    given, gamma, decay = rollout(20, 2, 4, 0.15), per_run(2, 0.99, 0.8), per_run(2, 0.9, 0.3)
    found = retrace(torch.zeros_like(given.rewards), *given, gamma, decay)
    torch.testing.assert_close(found - given.values, gae(*given, gamma, decay), rtol=1e-12, atol=1e-12)


def expected_targets(process: Process, policy, behaviour, critic, decay: float, steps: int):
    """E_μ[Q^ret | s, a], [S, A], over every sequence of states and actions of a rollout of `steps`."""
    states, actions = critic.shape
    choices = [range(states), range(actions)] * steps + [range(states)]
    paths = list(itertools.product(*choices))
    values = (policy * critic).sum(-1)
    chance = torch.ones(len(paths), dtype=torch.float64)
    fields = torch.zeros(4, steps, len(paths), dtype=torch.float64)
    for number, path in enumerate(paths):
        for t in range(steps):
            s, a, onward = path[2 * t : 2 * t + 3]
            chance[number] *= process.moves[s, a, onward] * (behaviour[s, a] if t else 1.0)
            ratio = policy[s, a] / behaviour[s, a]
            step = (ratio.log(), process.rewards[s, a], critic[s, a], values[onward])
            fields[:, t, number] = torch.stack(step)
    never = torch.zeros(steps, len(paths), dtype=torch.bool)
    number = torch.tensor([1.0], dtype=torch.float64)
    found = retrace(*fields, never, never, process.gamma * number, decay * number)[0]
    means = torch.zeros(states, actions, dtype=torch.float64)
    starts = torch.tensor([path[:2] for path in paths])
    return means.index_put_(starts.unbind(1), chance * found, accumulate=True)


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_its_expectation_is_the_operator_cut_at_the_rollouts_end(decay):
    """R Q = Q + Σ_{k<T} (γ P^{cμ})^k (T^π Q - Q), c = λ min(1, π/μ) as `rlcli theory retrace` has them."""
    process = random_process(2, 2, 0.9, seed=3)
    policy, behaviour = (random_logits(2, 2, seed).mul(2.0).softmax(-1) for seed in (4, 5))
    critic = random_logits(2, 2, seed=6)
    weights = traces("retrace", policy, behaviour, decay) * behaviour
    step = process.gamma * torch.einsum("sat,tb->satb", process.moves, weights).reshape(4, 4)
    backup = process.rewards + process.gamma * process.moves @ (policy * critic).sum(-1)
    error, total = (backup - critic).reshape(-1), critic.reshape(-1).clone()
    for _ in range(4):
        total, error = total + error, step @ error
    found = expected_targets(process, policy, behaviour, critic, decay, steps=4)
    torch.testing.assert_close(found.reshape(-1), total, rtol=1e-12, atol=1e-12)


def test_the_values_of_the_policy_are_its_fixed_point_whoever_acts():
    process = random_process(2, 2, 0.9, seed=3)
    policy = random_logits(2, 2, seed=4).mul(2.0).softmax(-1)
    true = action_values(process, policy)
    for seed in (5, 7):
        behaviour = random_logits(2, 2, seed).mul(2.0).softmax(-1)
        found = expected_targets(process, policy, behaviour, true, 1.0, steps=3)
        torch.testing.assert_close(found, true, rtol=1e-12, atol=1e-12)
