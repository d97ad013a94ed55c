"""torch modules of the same functions as stacked multilayer perceptrons, as networks; for tests."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from rlcli.nets.module import ModuleNetwork
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "gelu": nn.GELU,
}  # fmt: skip


def trunk(layout: Layout) -> nn.Sequential:
    """Hidden layers."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((layout.inputs, *layout.hidden)):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[layout.activation]()]
    return nn.Sequential(*layers)


class Separate(nn.Module):
    """An actor and a critic."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.critic = nn.Sequential(*trunk(layout), nn.Linear(layout.width, 1))
        self.actor = nn.Sequential(*trunk(layout), nn.Linear(layout.width, layout.outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, D] and values [B]."""
        return self.actor(x), self.critic(x).squeeze(-1)


class Shared(nn.Module):
    """One trunk with two heads."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.trunk = trunk(layout)
        self.policy = nn.Linear(layout.width, layout.outputs)
        self.value = nn.Linear(layout.width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, D] and values [B]."""
        features = self.trunk(x)
        return self.policy(features), self.value(features).squeeze(-1)


def equivalent(network: MLP) -> tuple[ModuleNetwork, Tensor]:
    """A module's network of the same function, and for each of its parameters [P] the place in `network`."""
    layout = network.layout
    factory = partial(Shared if layout.shared else Separate, layout)
    module = ModuleNetwork(factory, network.encoder, layout.free, network.initialisation.log_std)
    places = {name: part[0] for name, part in layout.unflatten(torch.arange(layout.size)[None]).items()}

    def layers(trunk: int) -> list[Tensor]:
        found = []
        for depth in range(len(layout.hidden)):
            found += [places[f"trunk.{depth}.weight"][trunk].T, places[f"trunk.{depth}.bias"][trunk]]
        return found

    policy, value = ([places[f"{head}.weight"].T, places[f"{head}.bias"]] for head in ("policy", "value"))
    free = [places["policy.free"]]
    if layout.shared:
        pieces = [*layers(0), *policy, *value, *free]
    else:
        pieces = [*layers(0), *policy, *free, *layers(1), *value]
    return module, torch.cat([piece.flatten() for piece in pieces])
