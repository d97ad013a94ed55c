"""The kinds of network, one module each: `network.name=NAME` is the module NAME of this folder.

A module has the functions `network(config, encoder, outputs, free) -> Network`, which allocates nothing, and
`obstacle(encoder) -> str | None`, why observations cannot be read, and `SMALLEST`, the encoder of the
smallest observations that its networks read. Its yaml is conf/network/NAME.yaml.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from rlcli.config.schema import NetworkConfig
    from rlcli.nets.network import Network
    from rlcli.nets.observations import Encoder


class Kind(Protocol):
    """Makes a network over encoded observations, of D policy outputs and F free policy parameters."""

    SMALLEST: Encoder

    def network(self, config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
        """The network of a config's section."""

    def obstacle(self, encoder: Encoder) -> str | None:
        """Why its networks cannot read what an encoder makes; None: they can."""


def make_network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """The network that `network.name` names."""
    return _kind(config.name).network(config, encoder, outputs, free)


def obstacle(name: str, encoder: Encoder) -> str | None:
    """Why networks of this name cannot read observations."""
    return _kind(name).obstacle(encoder)


def smallest_network(config: NetworkConfig) -> Network:
    """The network over the smallest observations it reads, with one output: no environment has a smaller."""
    kind = _kind(config.name)
    return kind.network(config, kind.SMALLEST, 1, 0)


def _kind(name: str) -> Kind:
    return cast("Kind", importlib.import_module(f"rlcli.nets.kinds.{name}"))
