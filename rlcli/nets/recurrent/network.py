"""Recurrent networks behind the interface of networks.

Shapes: R runs, P parameters of one run, F free policy parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets.module import FREE, ModuleNetwork
from rlcli.nets.network import OnHost
from rlcli.nets.observations import Encoder
from rlcli.nets.recurrent.acting import acting
from rlcli.nets.recurrent.before import before
from rlcli.nets.recurrent.modules import Recurrent, Shape, orthogonal


@dataclass(frozen=True)
class RecurrentNetwork(ModuleNetwork):
    """A recurrent module, which acts in numpy where what it has before its cells can."""

    shape: Shape = field(kw_only=True)

    def on_host(self, parameters: Tensor) -> OnHost | None:
        """See `Network`."""
        named = self.named(parameters)
        parts = {name: torch.stack([one[name] for one in named]).cpu().numpy() for name in named[0]}
        step = acting(self.shape, parts)
        return None if step is None else OnHost(step, parts[FREE])


def recurrent(
    cell: str, config: NetworkConfig, encoder: Encoder, outputs: int, free: int
) -> RecurrentNetwork:
    """A cell of `network.cell_size` after what `network.before` names; allocates nothing."""
    shape = Shape(before(config, encoder), cell, config.cell_size, outputs, config.shared)
    return RecurrentNetwork(
        partial(module, shape, config),
        encoder,
        free,
        config.log_std_init,
        memory_width=shape.trunks * shape.state,
        shape=shape,
    )


def module(shape: Shape, config: NetworkConfig) -> Recurrent:
    """A module with its initial weights."""
    made = Recurrent(shape)
    if config.initialisation == "orthogonal":
        orthogonal(made, config.hidden_gain, config.policy_gain, config.value_gain)
    return made
