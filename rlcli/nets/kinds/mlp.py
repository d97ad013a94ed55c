"""network=mlp: multilayer perceptrons over flat observations, one for policy and value each or for both."""

from __future__ import annotations

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import PixelEncoder
from rlcli.nets.stacked.layout import Initialisation, Layout
from rlcli.nets.stacked.mlp import MLP


def network(config: NetworkConfig, encoder: Encoder, outputs: int, free: int) -> Network:
    """Stacked multilayer perceptrons with written-out passes."""
    values = outputs if config.critic == "q" else 1
    layout = Layout(encoder.width, config.hidden, outputs, free, config.activation, config.shared, values)
    initialisation = Initialisation(
        config.initialisation == "orthogonal",
        config.hidden_gain,
        config.policy_gain,
        config.value_gain,
        config.log_std_init,
    )
    return MLP(layout, encoder, initialisation)


def smallest(_: NetworkConfig) -> Encoder:
    """One number."""
    return Encoder("box", 1, normalize=False)


def obstacle(_: NetworkConfig, encoder: Encoder) -> str | None:
    """Why observations cannot be read: an MLP would flatten images and lose which pixels are neighbours."""
    if not isinstance(encoder, PixelEncoder):
        return None
    images = "; ".join(image.text for image in encoder.images)
    return f"its observations are images ({images}), whose neighbouring pixels an MLP does not know"
