"""The kinds of network, one module each: `network.name=NAME` is the module NAME of this folder.

A module has one function, `network(config, encoder, outputs, free) -> Network`. Its yaml is
conf/network/NAME.yaml.
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

    def __call__(self, config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
        """The network of a config's section."""


def make_network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """The network that `network.name` names."""
    module = importlib.import_module(f"rlcli.nets.kinds.{config.name}")
    return cast("Kind", module.network)(config, encoder, outputs, free)
