"""Passes of multilayer perceptrons in C against those in torch, which are tested against modules."""

from __future__ import annotations

import pytest
import torch

from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.kernel import KernelMLP
from tests.nets.mlps import mlp, parameters_of

SHAPES = [(4, (5, 3), 2), (1, (17,), 2), (4, (1,), 16), (4, (5, 1, 64), 1), (3, (), 2), (9, (64, 64), 33)]
"""Widths of inputs, hidden layers and outputs: 1 among each, and some beyond a register."""
ROWS = 141
CLOSE = {torch.float64: {"rtol": 1e-11, "atol": 1e-12}, torch.float32: {"rtol": 1e-3, "atol": 2e-4}}


def in_c(net):
    """The same network with passes in C."""
    return KernelMLP(net.layout, net.encoder, net.initialisation)


def random_like(heads: Heads) -> Heads:
    """Random numbers of the heads' shapes."""
    return Heads(*(torch.randn_like(part) for part in heads[:3]))


@pytest.mark.parametrize("dtype", CLOSE, ids=["float64", "float32"])
@pytest.mark.parametrize("part", [ALL, ACTOR, CRITIC])
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("tutored", [False, True], ids=["", "auxiliary"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_passes_in_c_are_those_of_torch(activation, shape, tutored, shared, part, dtype):
    inputs, hidden, outputs = shape
    written = mlp(inputs, hidden, outputs, outputs, activation, shared)
    written = written.auxiliary if tutored else written
    fast = in_c(written)
    parameters = parameters_of(written, 3).to(dtype)
    x = torch.randn(3, ROWS, inputs, dtype=torch.float64).to(dtype)
    for one, two in zip(
        written.heads(parameters, x, part=part)[:3], fast.heads(parameters, x, part=part)[:3], strict=True
    ):
        torch.testing.assert_close(one, two, **CLOSE[dtype])
    entering = written.entering(parameters, x, part)
    torch.testing.assert_close(fast.entering(parameters, x, part), entering, **CLOSE[dtype])
    slow, quick = (net.linearise(parameters, entering, part=part) for net in (written, fast))
    by = random_like(slow.heads)
    torch.testing.assert_close(quick.heads[:3], slow.heads[:3], **CLOSE[dtype])
    scale = ROWS**0.5
    torch.testing.assert_close(quick.vjp(by) / scale, slow.vjp(by) / scale, **CLOSE[dtype])
    block = written.parts[part]
    tangent = torch.randn(3, block.stop - block.start, dtype=dtype)
    torch.testing.assert_close(quick.jvp(tangent)[:3], slow.jvp(tangent)[:3], **CLOSE[dtype])
