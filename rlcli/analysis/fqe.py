"""Fitted Q evaluation: an estimate of a target policy's values from episodes of another policy.

Q_t(s, a) is a network of features, fitted again and again to r + γ Σ_a' π(a'|s') Q_{t+1}(s', a') (Le,
Voloshin and Yue 2019, 'Batch Policy Learning under Constraints', algorithm 3). A sweep carries a reward one
step back, so the first fit is to the behaviour's own rewards-to-go, from which the sweeps lead away. Time is
a feature, and what lies behind an episode's last step is worth 0, as it is in the returns that are
estimated: they are of the episodes' own length. Over actions that are not discrete the sum is a mean over
samples of the policy.

Cross-fitting: there is one fit to each half of the episodes, and it gives the values of the other half
(Chernozhukov et al. 2018, 'Double/Debiased Machine Learning for Treatment and Structural Parameters'). So no
episode has had a part in its own values, and estimators that are unbiased whatever Q is are so with this Q.

Shapes: n episodes, H steps, K sampled actions, D features.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
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


class Data(NamedTuple):
    """Recorded steps as tensors."""

    states: Tensor
    """[n, H, D]: observations, flattened, and the time; float64."""
    taken: Tensor
    """[n, H, A]: features of the actions taken."""
    choices: Choices
    rewards: Tensor
    """[n, H] float64; 0 where absent."""
    present: Tensor
    """[n, H] bool."""

    def take(self, rows: Tensor) -> Data:
        """The episodes of these indices."""
        choices = Choices(*(part[rows] for part in self.choices))
        return Data(self.states[rows], self.taken[rows], choices, self.rewards[rows], self.present[rows])


def fitted_values(
    model: Model, snapshot: Snapshot, spec: EnvSpec, episodes: Episodes, gamma: float, seed: int
) -> Values:
    """Q and V of a run's policy at recorded steps, from fits to episodes of the other half.

    Halves are the episodes of even and of odd index. A single episode is fitted to itself.
    """
    data = Data(
        _state_features(episodes),
        action_features(spec.action, torch.from_numpy(episodes.actions)),
        policy_choices(model, snapshot, spec.action, episodes, seed),
        torch.from_numpy(episodes.rewards),
        torch.from_numpy(episodes.present),
    )
    values = Values(torch.zeros_like(data.rewards), torch.zeros_like(data.rewards))
    every = torch.arange(len(data.rewards))
    for half in (0, 1):
        rows, others = every[half::2], every[1 - half :: 2]
        found = _cross_fitted(data.take(others if len(others) else rows), data.take(rows), gamma, seed, half)
        values.of_actions[rows], values.of_states[rows] = found
    return values


def _cross_fitted(fitted: Data, valued: Data, gamma: float, seed: int, half: int) -> Values:
    """Values of some episodes, from a fit to others."""
    here = fitted.states[fitted.present]
    centre, spread = here.mean(0), here.std(0, correction=0).clamp(min=1e-6)
    fitted, valued = (
        data._replace(states=((data.states - centre) / spread).float()) for data in (fitted, valued)
    )
    to_go = rewards_to_go(fitted.rewards, gamma)
    scale = to_go[fitted.present].square().mean().sqrt().clamp(min=1e-8)
    rewards, present = (fitted.rewards / scale).float(), fitted.present
    last = present & ~torch.cat([present[:, 1:], torch.zeros_like(present[:, :1])], 1)
    inputs = torch.cat([fitted.states, fitted.taken], -1)
    with torch.random.fork_rng():
        torch.manual_seed(generator(seed, "fitted_values", half).initial_seed() % 2**63)
        network = _network(inputs.shape[-1])
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        _fit(network, optimiser, inputs[present], (to_go / scale).float()[present], FIRST)
        for _ in range(min(max(int(present.sum(1).max()), FEWEST), MOST)):
            with torch.no_grad():
                values = _mean(network, fitted.states, fitted.choices)
            after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
            targets = rewards + gamma * torch.where(last, 0.0, after)
            _fit(network, optimiser, inputs[present], targets[present], STEPS)
    with torch.no_grad():
        of_actions = network(torch.cat([valued.states, valued.taken], -1)).squeeze(-1).double() * scale
        of_states = _mean(network, valued.states, valued.choices).double() * scale
    zero = torch.zeros((), dtype=torch.float64)
    return Values(torch.where(valued.present, of_actions, zero), torch.where(valued.present, of_states, zero))


def rewards_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """Σ_{k>=t} γ^(k-t) r_k of each step, [n, H]."""
    found = rewards.clone()
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
    """Observations, flattened, and the time; [n, H, D] float64."""
    count, horizon = episodes.rewards.shape
    observations = torch.from_numpy(episodes.observations[:, :-1]).double()
    time = torch.arange(horizon, dtype=torch.float64).expand(count, horizon)
    return torch.cat([observations.reshape(count, horizon, -1), time[..., None]], -1)


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
