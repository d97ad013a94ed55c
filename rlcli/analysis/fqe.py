"""Fitted Q evaluation: an estimate of a target policy's values from episodes of another policy.

Q_t(s, a) is a network of features, fitted again and again to r + γ Σ_a' π(a'|s') Q_{t+1}(s', a') (Le,
Voloshin and Yue 2019, 'Batch Policy Learning under Constraints', algorithm 3). A sweep carries a reward one
step back, so the first fit is to the behaviour's own rewards-to-go, from which the sweeps lead away. Time is
a feature, and what lies behind an episode's last step is worth 0, as it is in the returns that are
estimated: they are of the episodes' own length. Over actions that are not discrete the sum is a mean over
samples of the policy.

Shapes: n episodes, H steps, K sampled actions, D features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rlcli.collect.episodes import Episodes
from rlcli.envs.spec import ActionSpec, EnvSpec
from rlcli.maths.draws import generator
from rlcli.nets.policy import Model, Snapshot

HIDDEN = 64
FEWEST, MOST = 20, 60
"""Sweeps: as many as the longest episode has steps, within these."""
FIRST, STEPS, BATCH = 1_000, 25, 512
"""Gradient steps of the first fit and of each sweep, and samples of each."""
RATE = 1e-3
SAMPLED = 8
"""K, for actions that are not discrete."""
MOST_ACTIONS = 64
"""Discrete actions up to which the sum is exact."""


class Values(NamedTuple):
    """Estimates at the recorded steps, [n, H] float64; 0 where absent."""

    of_actions: Tensor
    """Q(s_t, a_t)."""
    of_states: Tensor
    """Σ_a π(a|s_t) Q(s_t, a)."""


class Choices(NamedTuple):
    """Actions at every recorded state, with their weights in the mean over the policy."""

    actions: Tensor
    """[n, H, K, A]: features of actions."""
    weights: Tensor
    """[n, H, K]; they sum to 1."""


def fitted_values(
    model: Model, snapshot: Snapshot, spec: EnvSpec, episodes: Episodes, gamma: float, seed: int
) -> Values:
    """Q and V of a run's policy, fitted to recorded episodes."""
    states = _state_features(episodes)
    choices = policy_choices(model, snapshot, spec.action, episodes, seed)
    taken = action_features(spec.action, torch.from_numpy(episodes.actions))
    present = torch.from_numpy(episodes.present)
    last = torch.zeros_like(present)
    last[torch.arange(len(present)), torch.from_numpy(episodes.lengths) - 1] = True
    to_go = rewards_to_go(episodes.rewards, gamma)
    scale = max(float(np.sqrt((to_go[episodes.present] ** 2).mean())), 1e-8)
    rewards = torch.from_numpy(episodes.rewards).float() / scale
    with torch.random.fork_rng():
        torch.manual_seed(generator(seed, "fitted_values").initial_seed() % 2**63)
        network = _network(states.shape[-1] + taken.shape[-1])
        inputs = torch.cat([states, taken], -1)
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        _fit(network, optimiser, inputs[present], torch.from_numpy(to_go).float()[present] / scale, FIRST)
        for _ in range(min(max(states.shape[1], FEWEST), MOST)):
            with torch.no_grad():
                values = _mean(network, states, choices)
            after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
            targets = rewards + gamma * torch.where(last, 0.0, after)
            _fit(network, optimiser, inputs[present], targets[present], STEPS)
    with torch.no_grad():
        of_actions = network(torch.cat([states, taken], -1)).squeeze(-1).double() * scale
        of_states = _mean(network, states, choices).double() * scale
    zero = torch.zeros((), dtype=torch.float64)
    return Values(torch.where(present, of_actions, zero), torch.where(present, of_states, zero))


def rewards_to_go(rewards: npt.NDArray[np.float64], gamma: float) -> npt.NDArray[np.float64]:
    """Σ_{k>=t} γ^(k-t) r_k of each step, [n, H]."""
    found = rewards.copy()
    for time in reversed(range(rewards.shape[1] - 1)):
        found[:, time] += gamma * found[:, time + 1]
    return found


def policy_choices(
    model: Model, snapshot: Snapshot, action: ActionSpec, episodes: Episodes, seed: int
) -> Choices:
    """Actions to average over at each recorded state: all with their probabilities, or K samples."""
    count, horizon = episodes.rewards.shape
    discrete = action.kind == "discrete" and action.n is not None and action.n <= MOST_ACTIONS
    width = model.network.memory_width
    memory = torch.zeros(1, count, width) if width else None
    draws = generator(seed, "fitted_actions")
    features, weights = [], []
    with torch.inference_mode():
        for time in range(horizon):
            seen = torch.from_numpy(np.ascontiguousarray(episodes.observations[None, :, time]))
            outputs, free, memory = model.step(snapshot.parameters, model.encode(snapshot, seen), memory)
            if discrete:
                assert action.n is not None
                policy = model.family.distribution(outputs.double(), free.double())
                every = torch.arange(action.n).view(1, -1, 1).expand(-1, -1, count)
                chances = torch.stack([policy.log_prob(every[:, a]) for a in range(action.n)], -1)[0].exp()
                features.append(torch.eye(action.n).expand(count, -1, -1))
                weights.append(chances.float())
            else:
                sampled = [
                    model.family.act(
                        outputs.numpy(), free.numpy(), model.family.noise((1, count), draws).numpy()
                    )[0]
                    for _ in range(SAMPLED)
                ]
                found = action_features(action, torch.from_numpy(np.stack(sampled, 1)))
                features.append(found)
                weights.append(torch.full((count, SAMPLED), 1.0 / SAMPLED))
    return Choices(torch.stack(features, 1).clone(), torch.stack(weights, 1).clone())


def action_features(action: ActionSpec, actions: Tensor) -> Tensor:
    """Features [..., A] of actions [...] or [..., *shape]: one-hot for a choice, numbers else."""
    if action.kind == "discrete":
        assert action.n is not None
        return nn.functional.one_hot(actions.long(), action.n).float()
    flat = actions.flatten(-len(action.shape)) if action.shape else actions[..., None]
    if action.kind == "multidiscrete":
        parts = [
            nn.functional.one_hot(flat[..., place].long(), size).float()
            for place, size in enumerate(action.sizes)
        ]
        return torch.cat(parts, -1)
    return flat.float()


def _state_features(episodes: Episodes) -> Tensor:
    """Observations, flattened and scaled to mean 0 and deviation 1, and the time; [n, H, D]."""
    count, horizon = episodes.rewards.shape
    flat = episodes.observations[:, :-1].reshape(count, horizon, -1).astype(np.float64)
    here = flat[episodes.present]
    scaled = (flat - here.mean(0)) / np.maximum(here.std(0), 1e-6)
    time = np.broadcast_to(np.linspace(-1.0, 1.0, horizon)[None, :, None], (count, horizon, 1))
    features: npt.NDArray[np.float32] = np.concatenate([scaled, time], -1).astype(np.float32)
    return torch.from_numpy(features)


def _network(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1)
    )


def _mean(network: nn.Sequential, states: Tensor, choices: Choices) -> Tensor:
    """Σ_k w_k Q(s, a_k), [n, H]."""
    many = choices.actions.shape[2]
    found = torch.zeros(states.shape[:2])
    for place in range(many):
        values = network(torch.cat([states, choices.actions[:, :, place]], -1)).squeeze(-1)
        found += choices.weights[:, :, place] * values
    return found


def _fit(
    network: nn.Sequential, optimiser: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, steps: int
) -> None:
    """Least squares on random batches; inputs [M, D + A], targets [M]."""
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (min(BATCH, len(inputs)),))
        loss = (network(inputs[chosen]).squeeze(-1) - targets[chosen]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
