"""Networks of one run as plain modules: layers of torch, with the trained parameters.

Shapes: B observations, F features, D policy outputs, M numbers of recurrent state.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rlcli.learner.own_network import OwnNetwork
from rlcli.nets.cnn import PixelNetwork, PixelTrunk
from rlcli.nets.convolution import WHITE
from rlcli.nets.masked import MaskedNetwork
from rlcli.nets.module import FREE, ModuleNetwork
from rlcli.nets.network import Network
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import PixelEncoder
from rlcli.nets.recurrent.modules import Recurrent
from rlcli.nets.recurrent.perceptron import MODULES
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP
from rlcli.standalone.inputs import Encoded

Outputs = tuple[Tensor, Tensor, Tensor | None]
"""Policy outputs [B, D], values [B], and recurrent state [B, M] after the step, if there is one.

A critic of action values has [B, A] values, or [B] of a single action.
"""


class Flat(nn.Module):
    """Layers over features alone."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, encoded: Encoded) -> Tensor:
        """[B, H]."""
        found: Tensor = self.layers(encoded.features)
        return found


class Pixels(nn.Module):
    """Convolutions and hidden layers for each image, and what joins them with features."""

    def __init__(self, trunk: PixelTrunk, encoder: PixelEncoder) -> None:
        super().__init__()
        self._last = [bool(image.channels_last) for image in encoder.images]
        self._beside = encoder.width > 0
        self.images = nn.ModuleList(_over_floats(layers) for layers in trunk.images)
        self.hidden, self.joint = trunk.hidden, trunk.joint

    def forward(self, encoded: Encoded) -> Tensor:
        """[B, H]."""
        found = []
        parts = zip(encoded.images, self._last, self.images, self.hidden, strict=True)
        for image, channels_last, layers, dense in parts:
            planes = image.permute(0, 3, 1, 2) if channels_last else image
            found.append(dense(layers(planes.float() / WHITE).flatten(1)))
        beside = [encoded.features] if self._beside else []
        joint: Tensor = self.joint(torch.cat([*found, *beside], -1))
        return joint


def _over_floats(layers: nn.Module) -> nn.Module:
    """Convolutions whose first takes pixels from 0 to 1."""
    found = copy.deepcopy(layers)
    assert isinstance(found, nn.Sequential)
    first = found[0]
    assert isinstance(first, nn.Conv2d)
    plain = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size, first.stride, first.padding)  # type: ignore[arg-type]
    plain.load_state_dict(first.state_dict())
    found[0] = plain
    return found


class FeedForward(nn.Module):
    """A policy and a value function without memory, on one trunk or one each."""

    def __init__(
        self, trunk: nn.Module, critic: nn.Module | None, policy: nn.Module, value: nn.Module
    ) -> None:
        super().__init__()
        self.trunk, self.policy = trunk, policy
        self.critic: nn.Module | None = critic
        self.value = value

    def forward(self, encoded: Encoded, _: Tensor | None = None) -> Outputs:
        """See `Outputs`."""
        features = self.trunk(encoded)
        of_value = features if self.critic is None else self.critic(encoded)
        return self.policy(features), self.value(of_value).squeeze(-1), None


class Cell(nn.Module):
    """A trunk before a recurrent cell, and one step of the cell: its state [B, S] begins with its output."""

    def __init__(self, trunk: nn.Module, inputs: nn.Module, state: nn.Module, cell: str, units: int) -> None:
        super().__init__()
        self.trunk, self.inputs, self.state = trunk, inputs, state
        self._step = self._lstm if cell == "lstm" else self._gru
        self._units = units

    def forward(self, encoded: Encoded, state: Tensor) -> Tensor:
        """The state after the step."""
        driven, recalled = self.inputs(self.trunk(encoded)), self.state(state[:, : self._units])
        return self._step(driven, recalled, state)

    def _lstm(self, driven: Tensor, recalled: Tensor, state: Tensor) -> Tensor:
        """i, f, o = σ, g = tanh of the gates; c' = f c + i g, h' = o tanh(c')."""
        add, forget, value, out = torch.split(driven + recalled, self._units, -1)
        cell = torch.sigmoid(forget) * state[:, self._units :] + torch.sigmoid(add) * torch.tanh(value)
        return torch.cat((torch.sigmoid(out) * torch.tanh(cell), cell), -1)

    def _gru(self, driven: Tensor, recalled: Tensor, state: Tensor) -> Tensor:
        """r, z = σ of the gates; n = tanh(Wn x + r Un h), h' = n + z (h - n)."""
        by_reset, by_update, by_value = torch.split(driven, self._units, -1)
        of_reset, of_update, of_value = torch.split(recalled, self._units, -1)
        value = torch.tanh(by_value + torch.sigmoid(by_reset + of_reset) * of_value)
        return value + torch.sigmoid(by_update + of_update) * (state - value)


class WithMemory(nn.Module):
    """A policy and a value function with recurrent cells, one or one each."""

    def __init__(
        self, cells: list[Cell], policy: nn.Module, value: nn.Module, units: int, state: int
    ) -> None:
        super().__init__()
        self.trunk = cells[0]
        self.critic: nn.Module | None = cells[1] if len(cells) > 1 else None
        self.policy, self.value = policy, value
        self._units, self._state = units, state

    def forward(self, encoded: Encoded, state: Tensor | None = None) -> Outputs:
        """See `Outputs`; `state` [B, M] is that of the policy's cell, then that of the critic's."""
        assert state is not None
        after = [self.trunk(encoded, state[:, : self._state])]
        if self.critic is not None:
            after.append(self.critic(encoded, state[:, self._state :]))
        value = self.value(after[-1][:, : self._units]).squeeze(-1)
        return self.policy(after[0][:, : self._units]), value, torch.cat(after, -1)


class Own(nn.Module):
    """A module of the user's, over rows as rlcli's encoder makes them.

    Numbers beside images are float32 here, and so are the pixels, not bytes: neither tracing nor ONNX read
    bytes as numbers. `rlcli.take_apart` gives both as ever.
    """

    def __init__(self, module: nn.Module, encoder: Encoder) -> None:
        super().__init__()
        self.module = module
        self._pixels = isinstance(encoder, PixelEncoder)
        self._beside = encoder.width > 0

    def forward(self, encoded: Encoded, _: Tensor | None = None) -> Outputs:
        """See `Outputs`."""
        rows = encoded.features
        if self._pixels:
            flat = [image.flatten(1) for image in encoded.images]
            rows = torch.cat([*(one.float() for one in flat), rows] if self._beside else flat, -1)
        output, value = self.module(rows)
        return output, value, None


def plain(network: Network, parameters: Tensor) -> tuple[nn.Module, Tensor]:
    """A network with the parameters [P] of one run, and its free policy parameters [F]."""
    inner = network.inner if isinstance(network, MaskedNetwork) else network
    if isinstance(inner, MLP):
        parts = {name: part[0] for name, part in inner.layout.unflatten(parameters.unsqueeze(0)).items()}
        return _perceptrons(inner.layout, parts), parts["policy.free"][0].clone()
    assert isinstance(inner, ModuleNetwork), type(inner)
    named = inner.named(parameters.unsqueeze(0))[0]
    free = named.pop(FREE)[0].clone()
    module = inner.factory()
    module.load_state_dict(named, strict=False)  # a parameter that has two names is given by one
    return _of_module(inner, module), free


def _of_module(inner: ModuleNetwork, module: nn.Module) -> nn.Module:
    encoder = inner.encoder
    if isinstance(inner, OwnNetwork):
        return Own(module, encoder)
    if isinstance(module, PixelNetwork):
        assert isinstance(encoder, PixelEncoder)
        critic = None if module.shared else Pixels(module.critic[0], encoder)  # type: ignore[arg-type]
        value = module.value if module.shared else module.critic[1]
        return FeedForward(Pixels(module.trunk, encoder), critic, module.policy, value)
    assert isinstance(module, Recurrent), type(module)
    return _recurrent(module, encoder)


def _perceptrons(layout: Layout, parts: Mapping[str, Tensor]) -> nn.Module:
    def trunk(number: int) -> Flat:
        layers: list[nn.Module] = []
        for depth in range(len(layout.hidden)):
            weight, bias = parts[f"trunk.{depth}.weight"][number], parts[f"trunk.{depth}.bias"][number]
            layers += [_linear(weight, bias), MODULES[layout.activation]()]
        return Flat(nn.Sequential(*layers))

    critic = None if layout.shared else trunk(1)
    return FeedForward(trunk(0), critic, _head(parts, "policy"), _head(parts, "value"))


def _head(parts: Mapping[str, Tensor], name: str) -> nn.Linear:
    return _linear(parts[f"{name}.weight"], parts[f"{name}.bias"])


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer of weights [in, out]."""
    made = nn.Linear(*weight.shape)
    made.load_state_dict({"weight": weight.T, "bias": bias})
    return made


def _recurrent(module: Recurrent, encoder: Encoder) -> nn.Module:
    shape = module.shape

    def cell(trunk: nn.Module) -> Cell:
        before = trunk.before
        if isinstance(before, PixelTrunk):
            assert isinstance(encoder, PixelEncoder)
            first: nn.Module = Pixels(before, encoder)
        else:
            first = Flat(before)  # type: ignore[arg-type]
        return Cell(first, trunk.inputs, trunk.state, shape.cell, shape.units)  # type: ignore[arg-type]

    cells = [cell(module.trunk)]
    value = module.value if shape.shared else module.critic.value
    if not shape.shared:
        cells.append(cell(module.critic.trunk))
    return WithMemory(cells, module.policy, value, shape.units, shape.state)
