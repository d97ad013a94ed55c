"""Networks of modules train by every algorithm whose parts they have; the others refuse them by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rlcli.errors import UserError
from rlcli.learner import model as models
from rlcli.learner.model import check_network
from rlcli.learner.table import algorithm
from rlcli.nets.module import ModuleNetwork
from tests.learner.setting import ROWS, hold, small, stage


class Separate(nn.Module):
    """An actor and a critic of their own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))
        self.critic = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(x), self.critic(x).squeeze(-1)


class Shared(nn.Module):
    """One trunk under both heads, with an input that is normalised by a layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, 8), nn.LayerNorm(8), nn.SiLU())
        self.heads = nn.Linear(8, outputs + 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.heads(self.trunk(x))
        return found[..., :-1], found[..., -1]


@pytest.fixture
def of_modules(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[nn.Module]], None]:
    """Lets every network that is made be one of a module."""

    def use(module: type[nn.Module]) -> None:
        def made(config, encoder, outputs, free):
            return ModuleNetwork(lambda: module(encoder.width, outputs), encoder, free)

        monkeypatch.setattr(models, "make_network", made)

    return use


SGD = [name for name in ROWS if name not in ("trpo", "ppg")]
TRAINED = [*((module, row) for module in (Separate, Shared) for row in SGD), (Separate, "trpo")]
"""Modules and the rows that have what they need; the others are refused, below."""


@pytest.mark.broken_by(
    "the gradient of a module by its outputs alone",
    "nets/module.py",
    "pairs = zip(self._heads[:3], by[:3], strict=True)\n            pulled",
    "pairs = zip(self._heads[:1], by[:1], strict=True)\n            pulled",
    case="Separate-ppo_kl-Pendulum-v1",
)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize(("module", "row"), TRAINED, ids=lambda one: getattr(one, "__name__", one))
def test_a_network_of_modules_learns(of_modules, module, row, env):
    """The policy moves up its objective, and the value function fits."""
    of_modules(module)
    now = stage(*(small(env, seed=seed, algo=ROWS[row] | {"learning_rate": 1e-3}) for seed in (0, 1)))
    rollout = now.collect()
    learned = now.learn(rollout)
    assert all(all(mask) for mask in hold(learned).values())
    assert (learned.figures["behaviour/kl_mu_pi"] > 0).all()
    if module is Separate:  # values pull at a shared trunk, too
        assert (learned.figures["update/gain_predicted"] > 0).all()
    values = now.model.value(now.state.policy.parameters, learned.batch.inputs)
    fitted = now.model.value(learned.state.policy.parameters, learned.batch.inputs)
    error, left = ((one - learned.batch.targets).square().mean(-1) for one in (values, fitted))
    assert (left < error).all()


@pytest.mark.parametrize("row", ["ppo_kl", "trpo"])
def test_a_run_of_modules_in_a_cohort_is_the_run_alone(of_modules, row):
    of_modules(Separate)
    configs = [small(seed=seed, algo=ROWS[row]) for seed in (0, 1, 2)]
    together = stage(*configs).after(2).state.policy.parameters
    for run, config in enumerate(configs):
        assert torch.equal(stage(config).after(2).state.policy.parameters[0], together[run])


def test_what_a_step_rule_needs_and_a_network_lacks_is_refused_by_name(of_modules):
    of_modules(Shared)
    shared = stage(small()).model.network
    of_modules(Separate)
    separate = stage(small()).model.network
    with pytest.raises(UserError, match="network=mine has no parameters of the critic's own"):
        check_network(shared, algorithm(small(algo=ROWS["trpo"])), "mine")
    check_network(separate, algorithm(small(algo=ROWS["trpo"])), "mine")
    for network in (shared, separate):
        with pytest.raises(UserError, match="network=mine has no auxiliary value head"):
            check_network(network, algorithm(small(algo=ROWS["ppg"])), "mine")
