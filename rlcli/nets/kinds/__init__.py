"""The kinds of network, one module each: `network.name=NAME` is the module NAME of this folder.

A module has the functions `network(config, encoder, outputs, free) -> Network`, which allocates nothing,
`smallest(config) -> Encoder`, that of the smallest observations that the network reads, and
`obstacle(config, encoder) -> str | None`, why it cannot read observations. Its yaml is
conf/network/NAME.yaml.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from rlcli.config.schema.network import NetworkConfig
    from rlcli.nets.network import Network
    from rlcli.nets.observations import Encoder


class Kind(Protocol):
    """Makes a network over encoded observations, of D policy outputs and F free policy parameters."""

    def network(self, config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
        """The network of a config's section."""

    def smallest(self, config: NetworkConfig) -> Encoder:
        """The encoder of the smallest observations that the network reads."""

    def obstacle(self, config: NetworkConfig, encoder: Encoder) -> str | None:
        """Why the network cannot read what an encoder makes; None: it can."""


def make_network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """The network that `network.name` names."""
    return _kind(config.name).network(config, encoder.interleaved(), outputs, free)


def smallest(config: NetworkConfig) -> Encoder:
    """The encoder of the smallest observations that the network of a config's section reads."""
    return _kind(config.name).smallest(config)


def obstacle(config: NetworkConfig, encoder: Encoder) -> str | None:
    """Why the network of a config's section cannot read observations."""
    return _kind(config.name).obstacle(config, encoder)


def smallest_network(config: NetworkConfig) -> Network:
    """The network over the smallest observations it reads, with one output: no environment has a smaller."""
    return make_network(config, smallest(config), 1, 0)


def _kind(name: str) -> Kind:
    return cast("Kind", importlib.import_module(f"rlcli.nets.kinds.{name}"))
