"""Convolutional policies and value functions: images through convolutions, joined with all other numbers.

Shapes: B rows, W bytes of a row, C channels, H height, W width of an image, F features, D policy outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets.module import FREE, HOST, ModuleNetwork, zeros
from rlcli.nets.network import ACTOR, ALL, CRITIC, Array, OnHost
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import Image, PixelEncoder

AT_ONCE = 256 * 4 * 84 * 84
"""Pixels that pass the convolutions together: a usual minibatch at once, whole batches in parts."""

Convolutions = Callable[[int], nn.Module]
"""Channels -> layers from images [B, C, H, W], uint8, to any [B, ...]; the first is a `PixelConv2d`."""


@dataclass(frozen=True)
class Gains:
    """Initial weights: orthogonal with these gains and zero biases, or torch's uniform default.

    Gains √2 of hidden layers, 0.01 of the policy and 1 of the value are those of CleanRL's ppo_atari.py and
    of Stable-Baselines3's ActorCriticPolicy (`ortho_init`); Mnih et al. and Espeholt et al. give none.
    """

    orthogonal: bool = True
    hidden: float = 2**0.5
    policy: float = 0.01
    value: float = 1.0

    def apply(self, module: nn.Module, gain: float) -> None:
        """Initialises every layer of a module."""
        for layer in module.modules():
            if self.orthogonal and isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.is_meta:
                nn.init.orthogonal_(layer.weight, gain)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)


class PixelTrunk(nn.Module):
    """Features of observations: convolutions and hidden layers for each image, beside all other numbers.

    The hidden layers stand behind each image's convolutions. Where there are several images, or numbers,
    one more of the last size reads what they give together with the numbers.
    """

    def __init__(
        self, encoder: PixelEncoder, convolutions: Convolutions, hidden: Sequence[int], gains: Gains
    ) -> None:
        super().__init__()
        self._encoder = encoder
        self.images = nn.ModuleList(convolutions(image.channels) for image in encoder.images)
        widths = [_features(layers, image) for layers, image in zip(self.images, encoder.images, strict=True)]
        self.hidden = nn.ModuleList(_dense((width, *hidden)) for width in widths)
        joined = sum(hidden[-1] if hidden else width for width in widths) + encoder.width
        alone = len(encoder.images) == 1 and not encoder.width
        self.joint = _dense((joined,) if alone else (joined, *hidden[-1:]))
        self.width = joined if alone or not hidden else hidden[-1]
        """F."""
        gains.apply(self, gains.hidden)

    def features(self, observations: Tensor) -> Tensor:
        """[B, F] of rows [B, W], as the encoder makes them."""
        images, numbers = self._encoder.apart(observations)
        found = [
            dense(_convolved(layers, image))
            for layers, dense, image in zip(self.images, self.hidden, images, strict=True)
        ]
        joint: Tensor = self.joint(torch.cat((*found, numbers), -1))
        return joint

    forward = features


class PixelNetwork(nn.Module):
    """A policy and a value function on one trunk, or each on its own."""

    def __init__(self, trunk: Callable[[], PixelTrunk], outputs: int, shared: bool, gains: Gains) -> None:
        super().__init__()
        self.trunk = trunk()
        self.policy = nn.Linear(self.trunk.width, outputs)
        gains.apply(self.policy, gains.policy)
        value = nn.Linear(self.trunk.width, 1)
        gains.apply(value, gains.value)
        self.shared = shared
        if shared:
            self.value = value
        else:
            self.critic = nn.Sequential(trunk(), value)

    def outputs(self, observations: Tensor) -> Tensor:
        """Outputs [B, D] alone of rows [B, W]."""
        found: Tensor = self.policy(self.trunk.features(observations))
        return found

    def forward(self, observations: Tensor, part: str = ALL) -> tuple[Tensor, Tensor]:
        """Outputs [B, D] and values [B] of rows [B, W].

        Of a part alone, the trunk of the other is not passed, and what it would give is 0.
        """
        rows, apart = len(observations), not self.shared
        if apart and part == CRITIC:
            value: Tensor = self.critic(observations)
            return value.new_zeros(rows, self.policy.out_features), value.squeeze(-1)
        features = self.trunk.features(observations)
        outputs = self.policy(features)
        if apart and part == ACTOR:
            return outputs, outputs.new_zeros(rows)
        value = self.critic(observations) if apart else self.value(features)
        return outputs, value.squeeze(-1)


@dataclass(frozen=True)
class ConvolutionalNetwork(ModuleNetwork):
    """`ModuleNetwork` of a `PixelNetwork`, which acts without its critic."""

    def on_host(self, parameters: Tensor) -> OnHost | None:
        """Each run's policy as a module that keeps its parameters from step to step."""
        if parameters.device.type != HOST:
            return None
        named = self.named(parameters)
        policies = [self._policy(own) for own in named]

        def head(inputs: Array, _: Any) -> tuple[Array, None]:
            with torch.inference_mode():
                rows = torch.from_numpy(inputs)
                found = [policy(own) for policy, own in zip(policies, rows, strict=True)]
                return torch.stack(found).numpy(), None

        return OnHost(head, torch.stack([own[FREE] for own in named]).numpy())

    def _call_for(
        self, part: str, own: Mapping[str, Tensor], inputs: Tensor, *_: Tensor | None
    ) -> tuple[Tensor, ...]:
        """One trunk where they are apart and the part is one's."""
        of_module = {name: value for name, value in own.items() if name != FREE}
        heads: tuple[Tensor, Tensor] = functional_call(self._module, of_module, (inputs, part))
        return heads

    def _policy(self, own: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """Outputs [B, D] of rows [B, W] with one run's parameters."""
        module = copy.deepcopy(self._module)
        named = {name: value.clone() for name, value in own.items() if name != FREE}
        module.load_state_dict(named, assign=True)
        assert isinstance(module, PixelNetwork)
        return module.outputs


def pixel_network(
    config: NetworkConfig, encoder: Encoder, outputs: int, free: int, convolutions: Convolutions
) -> ConvolutionalNetwork:
    """The network of a config's section with these convolutions."""
    assert isinstance(encoder, PixelEncoder), "refused by `obstacle`"
    gains = Gains(
        config.initialisation == "orthogonal", config.hidden_gain, config.policy_gain, config.value_gain
    )
    trunk = partial(PixelTrunk, encoder, convolutions, config.hidden, gains)
    return ConvolutionalNetwork(
        partial(PixelNetwork, trunk, outputs, config.shared, gains), encoder, free, config.log_std_init
    )


def obstacle(encoder: Encoder, smallest: int) -> str | None:
    """Why convolutions that need images of `smallest` x `smallest` pixels cannot read observations."""
    if not isinstance(encoder, PixelEncoder):
        return "its observations have no image (uint8 with height, width and channels)"
    for image in encoder.images:
        if image.channels_last is None:
            return (
                f"which axis of its images ({image.text}) has the channels cannot be told, as the first and "
                "the last are equally long"
            )
        if min(image.size) < smallest:
            return f"its images ({image.text}) are too small: the smallest are {smallest} x {smallest}"
    return None


def _convolved(layers: nn.Module, images: Tensor) -> Tensor:
    """[B, F] of images [B, C, H, W] uint8, a few at a time."""
    parts = torch.split(images, max(1, AT_ONCE // images[0].numel()))
    return torch.cat([layers(part).flatten(1) for part in parts])


def _features(layers: nn.Module, image: Image) -> int:
    """F of an image: counted on one that is black."""
    height, width = image.size
    shown = torch.zeros(1, image.channels, height, width, dtype=torch.uint8, device=HOST)
    with torch.no_grad(), torch.device(HOST):
        outputs: Tensor = torch.func.functional_call(layers, zeros(layers), (shown,))
    return outputs.numel()


def _dense(widths: Sequence[int]) -> nn.Sequential:
    """Hidden layers from the first width to the last."""
    layers: list[nn.Module] = []
    for first, second in pairwise(widths):
        layers += [nn.Linear(first, second), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
