"""Recurrent networks against torch's cells, one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlcli.config.schema.network import NetworkConfig
from rlcli.nets.cnn import Gains, PixelTrunk
from rlcli.nets.kinds import impala_resnet, make_network
from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import Image, PixelEncoder
from rlcli.nets.recurrent.network import RecurrentNetwork

RUNS, STEPS, ENVS, INPUTS, OUTPUTS, UNITS = 2, 7, 3, 4, 2, 5
CELLS = {"lstm": (nn.LSTM, 2), "gru": (nn.GRU, 1)}
close = {"rtol": 1e-11, "atol": 1e-13}
kinds = pytest.mark.parametrize("cell", CELLS)
trunks = pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])


def recurrent(cell: str, *, shared: bool = False, **others: Any) -> RecurrentNetwork:
    config = NetworkConfig(
        name=cell, **{"hidden": (6,), "cell_size": UNITS, "shared": shared, "policy_gain": 1.0} | others
    )
    network = make_network(config, Encoder("box", INPUTS, normalize=False), OUTPUTS, OUTPUTS)
    assert isinstance(network, RecurrentNetwork)
    return network


def batch(network: RecurrentNetwork) -> tuple[Tensor, Tensor, Memory]:
    """Parameters, inputs and memory, with episodes that begin in the middle and in two first rows."""
    parameters = 0.7 * torch.randn(RUNS, network.parts[ALL].stop, dtype=torch.float64)
    inputs = torch.randn(RUNS, STEPS * ENVS, INPUTS, dtype=torch.float64)
    state = torch.randn(RUNS, ENVS, network.memory_width, dtype=torch.float64)
    begins = torch.rand(RUNS, STEPS, ENVS) < 0.2
    begins[0, 0, 1] = begins[1, 0, 0] = begins[0, 3, 0] = begins[1, 5, 2] = True
    return parameters, inputs, Memory(state, begins.flatten(1))


def trunk(network: RecurrentNetwork, row: Tensor, prefix: str) -> tuple[nn.Module, nn.Module]:
    """Layers and torch's own cell with one run's parameters."""
    named = {name.removeprefix(prefix): part for name, part in network._views(row).items()}
    kind, _ = CELLS[network.shape.cell]
    cell = kind(6, UNITS).double()
    places = {"weight_ih_l0": "inputs.weight", "bias_ih_l0": "inputs.bias", "weight_hh_l0": "state.weight",
              "bias_hh_l0": "state.bias"}  # fmt: skip
    cell.load_state_dict({own: named[name] for own, name in places.items()})
    layers = nn.Sequential(nn.Linear(INPUTS, 6), nn.Tanh()).double()
    layers.load_state_dict({name: named[f"before.{name}"] for name in ("0.weight", "0.bias")})
    return layers, cell


def one_by_one(
    network: RecurrentNetwork, row: Tensor, prefix: str, x: Tensor, state: Tensor, begins: Tensor
) -> tuple[Tensor, Tensor]:
    """Features and states after rows, each step and each sequence by itself."""
    layers, cell = trunk(network, row, prefix)
    features, after = torch.zeros(STEPS, ENVS, UNITS).double(), torch.zeros(STEPS, ENVS, state.shape[1])
    after = after.double()
    for n in range(ENVS):
        now = state[n]
        for t in range(STEPS):
            if begins[t * ENVS + n]:
                now = torch.zeros_like(now)
            given = tuple(part.view(1, 1, -1) for part in now.split(UNITS))
            out, left = cell(layers(x[t * ENVS + n]).view(1, 1, -1), given if len(given) > 1 else given[0])
            now = torch.cat([part.flatten() for part in left]) if isinstance(left, tuple) else left.flatten()
            features[t, n], after[t, n] = out.flatten(), now
    return features.flatten(0, 1), after.flatten(0, 1)


@pytest.mark.broken_by(
    "an LSTM that remembers earlier episodes",
    "nets/recurrent/lstm.py",
    "hidden, cell = hidden * of.keep[t], cell * of.keep[t]",
    "pass",
    case="separate-lstm",
)
@pytest.mark.broken_by(
    "a GRU that remembers earlier episodes",
    "nets/recurrent/gru.py",
    "                hidden = hidden * of.keep[t]\n",
    "                pass\n",
    case="separate-gru",
)
@pytest.mark.broken_by(
    "the reset gate of a GRU before the product",
    "nets/recurrent/gru.py",
    "reset, recalled[t], out=value).tanh_()",
    "torch.ones_like(reset), recalled[t], out=value).tanh_()",
    case="separate-gru",
)
@pytest.mark.broken_by(
    "a critic that starts with the actor's state",
    "nets/recurrent/modules.py",
    "first = torch.stack(state.chunk(len(trunks), -1))",
    "first = torch.stack([state.chunk(len(trunks), -1)[0]] * len(trunks))",
    case="separate-lstm",
)
@kinds
@trunks
def test_a_batch_is_its_steps_one_by_one(shared, cell):
    network = recurrent(cell, shared=shared)
    parameters, inputs, memory = batch(network)
    found = network.heads(parameters, inputs, memory)
    assert network.memory_width == UNITS * CELLS[cell][1] * (1 if shared else 2)
    for run in range(RUNS):
        row, width = parameters[run], network.memory_width // (1 if shared else 2)
        named = network._views(row)
        prefixes = ["trunk."] if shared else ["trunk.", "critic.trunk."]
        each = [
            one_by_one(network, row, prefix, inputs[run], state, memory.begins[run])
            for prefix, state in zip(prefixes, memory.state[run].split(width, -1), strict=True)
        ]
        value = "value" if shared else "critic.value"
        wanted = (
            nn.functional.linear(each[0][0], named["policy.weight"], named["policy.bias"]),
            named["free"],
            nn.functional.linear(each[-1][0], named[f"{value}.weight"], named[f"{value}.bias"]).squeeze(-1),
            torch.cat([after for _, after in each], -1),
        )
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one[run], other.detach(), **close)


@pytest.mark.broken_by(
    "an LSTM whose gradient passes into earlier episodes",
    "nets/recurrent/lstm.py",
    "                from_hidden = from_hidden * of.keep[t]\n",
    "                pass\n",
    case="all-separate-lstm",
)
@pytest.mark.broken_by(
    "a cell state whose gradient passes into earlier episodes",
    "nets/recurrent/lstm.py",
    "back = forget * of.keep",
    "back = forget",
    case="all-separate-lstm",
)
@pytest.mark.broken_by(
    "a GRU whose gradient passes into earlier episodes",
    "nets/recurrent/gru.py",
    "                from_hidden = from_hidden * of.keep[t]\n",
    "                pass\n",
    case="all-separate-gru",
)
@pytest.mark.broken_by(
    "the forget gate's slope by the cell state after the step",
    "nets/recurrent/lstm.py",
    "before * forget * (1.0 - forget),",
    "cells * forget * (1.0 - forget),",
    case="all-separate-lstm",
)
@pytest.mark.broken_by(
    "weights of the state by the state after the step",
    "nets/recurrent/sequences.py",
    "return torch.cat((first.unsqueeze(0), after[:-1])) * self.keep",
    "return after",
    case="all-separate-gru",
)
@kinds
@trunks
@pytest.mark.parametrize("part", [ALL, ACTOR, CRITIC])
def test_derivatives_are_finite_differences(part, shared, cell):
    """vjp and jvp, in float64: central differences along a random direction."""
    network = recurrent(cell, shared=shared)
    parameters, inputs, memory = batch(network)
    linear = network.linearise(parameters, inputs, memory, part=part)
    by = Heads(*(torch.randn_like(head) for head in linear.heads[:3]))
    tangent = torch.randn_like(parameters)[:, network.parts[part]]

    def at(shift: float) -> Heads:
        moved = parameters.clone()
        moved[:, network.parts[part]] += shift * tangent
        return network.heads(moved, inputs, memory, part=part)

    step = 1e-5
    slopes = [(up - down) / (2 * step) for up, down in zip(at(step)[:3], at(-step)[:3], strict=True)]
    for found, wanted in zip(linear.jvp(tangent)[:3], slopes, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)
    along = sum((head * slope).flatten(1).sum(-1) for head, slope in zip(by[:3], slopes, strict=True))
    torch.testing.assert_close((linear.vjp(by) * tangent).sum(-1), along, rtol=1e-6, atol=1e-8)


@kinds
def test_nothing_passes_from_an_episode_to_the_next(cell):
    """Neither numbers nor slopes."""
    network = recurrent(cell)
    parameters, inputs, memory = batch(network)
    begins = torch.zeros(RUNS, STEPS, ENVS, dtype=torch.bool)
    begins[:, 4, 1] = True
    memory = Memory(memory.state, begins.flatten(1))
    other = inputs.view(RUNS, STEPS, ENVS, -1).clone()
    other[:, :4, 1] += 1.0
    heads = [network.heads(parameters, rows, memory) for rows in (inputs, other.flatten(1, 2))]
    for one, two in zip(*((part.output, part.value.unsqueeze(-1)) for part in heads), strict=True):
        differ = (one != two).any(-1).view(RUNS, STEPS, ENVS)
        assert differ[:, :4, 1].all()
        differ[:, :4, 1] = False
        assert not differ.any()
    rows = inputs[0].clone().requires_grad_()
    named = dict(network._views(parameters[0]))
    del named["free"]
    output, _, _ = functional_call(network._module, named, (rows, memory.state[0], memory.begins[0]))
    output.view(STEPS, ENVS, -1)[4:, 1].sum().backward()
    reached = (rows.grad != 0).any(-1).view(STEPS, ENVS)
    assert reached[4:, 1].all()
    assert reached.sum() == STEPS - 4


@pytest.mark.broken_by(
    "acting with the cell's gates in another order",
    "nets/recurrent/acting.py",
    "add, forget, value, out = np.split(gates, 4, -1)",
    "forget, add, value, out = np.split(gates, 4, -1)",
    case="tanh-separate-lstm",
)
@kinds
@trunks
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_acting_in_numpy_is_a_step_in_torch_and_a_run_acts_the_same_alone(activation, shared, cell):
    network = recurrent(cell, shared=shared, activation=activation, hidden=(6, 9))
    parameters = 0.7 * torch.randn(RUNS, network.parts[ALL].stop)
    rows, state = torch.randn(RUNS, ENVS, INPUTS), torch.rand(RUNS, ENVS, network.memory_width)
    with torch.inference_mode():
        acted = network.on_host(parameters)
        heads = network.heads(parameters, rows, Memory(state))
    output, after = acted.head(rows.numpy(), state.numpy())
    assert output.dtype == after.dtype == np.float32
    np.testing.assert_allclose(output, heads.output, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after, heads.memory, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(acted.free, heads.free)
    for run in range(RUNS):
        own = slice(run, run + 1)
        alone = network.on_host(parameters[own]).head(rows[own].numpy(), state[own].numpy())
        for one, other in zip(alone, (output, after), strict=True):
            np.testing.assert_array_equal(one[0], other[run])


@kinds
@trunks
def test_initial_weights(shared, cell):
    network = recurrent(cell, shared=shared, hidden_gain=2.0, policy_gain=0.5, value_gain=3.0)
    named = network._views(network.initial(torch.Generator().manual_seed(0)))
    gains = {"before.0": 2.0, "inputs": 1.0, "state": 1.0, "policy": 0.5, "value": 3.0}
    for name, part in named.items():
        group, _, leaf = name.rpartition(".")
        if leaf == "bias":
            assert (part == 0).all()
        elif leaf == "weight":
            [gain] = [gain for end, gain in gains.items() if group.endswith(end)]
            small = part @ part.T if part.shape[0] <= part.shape[1] else part.T @ part
            torch.testing.assert_close(small, gain**2 * torch.eye(len(small)), rtol=1e-4, atol=1e-5)
    uniform = recurrent(cell, shared=shared, initialisation="uniform", cell_size=64)
    parts = uniform._views(uniform.initial(torch.Generator().manual_seed(0)))
    for name in ("inputs.weight", "state.weight", "state.bias"):
        assert 0.9 < parts[f"trunk.{name}"].abs().max() * 64**0.5 <= 1.0


IMAGES = PixelEncoder("dict", 2, normalize=False, images=(Image((6, 5, 1)),))


def over_images(cell: str, shared: bool, before: str = "impala_resnet") -> RecurrentNetwork:
    config = NetworkConfig(
        name=cell, before=before, hidden=(6,), cell_size=UNITS, shared=shared, policy_gain=1.0
    )
    network = make_network(config, IMAGES, OUTPUTS, OUTPUTS)
    assert isinstance(network, RecurrentNetwork)
    return network


@pytest.mark.broken_by(
    "convolutions before a cell that nothing passes through",
    "nets/recurrent/modules.py",
    "gates: Tensor = self.inputs(self.before(inputs))",
    "gates: Tensor = self.inputs(0.0 * self.before(inputs))",
    case="separate-lstm",
)
@kinds
@trunks
def test_a_cell_behind_convolutions_reads_what_a_convolutional_trunk_gives(shared, cell):
    """Torch's own cell over features of `PixelTrunk`, a whole sequence; and rows one at a time, as acting."""
    network = over_images(cell, shared)
    parameters = network.initial(torch.Generator().manual_seed(1))[None]
    inputs = torch.randint(0, 256, (1, STEPS * ENVS, 30), dtype=torch.uint8)
    inputs = torch.cat((inputs, torch.randn(1, STEPS * ENVS, 2).view(torch.uint8)), -1)
    state = torch.randn(1, ENVS, network.memory_width)
    begins = torch.zeros(1, STEPS * ENVS, dtype=torch.bool)
    found = network.heads(parameters, inputs, Memory(state, begins))
    named = network._views(parameters[0])
    trunk = PixelTrunk(IMAGES, impala_resnet.convolutions, (6,), Gains())
    prefix = "trunk.before."
    trunk.load_state_dict(
        {name[len(prefix) :]: one for name, one in named.items() if name.startswith(prefix)}
    )
    kind, states = CELLS[cell]
    own = kind(trunk.width, UNITS)
    for ours, theirs in (("inputs", "ih"), ("state", "hh")):
        for leaf in ("weight", "bias"):
            getattr(own, f"{leaf}_{theirs}_l0").data.copy_(named[f"trunk.{ours}.{leaf}"])
    first = tuple(one.contiguous() for one in state[:, :, : states * UNITS].split(UNITS, -1))
    features = trunk.features(inputs[0]).view(STEPS, ENVS, -1)
    outputs, _ = own(features, first if states > 1 else first[0])
    wanted = nn.functional.linear(outputs.flatten(0, 1), named["policy.weight"], named["policy.bias"])
    torch.testing.assert_close(found.output[0], wanted, rtol=1e-4, atol=1e-5)
    assert network.on_host(parameters) is None
    for t in range(STEPS):
        rows = slice(t * ENVS, (t + 1) * ENVS)
        step = network.heads(parameters, inputs[:, rows], Memory(state))
        torch.testing.assert_close(step.output, found.output[:, rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(step.value, found.value[:, rows], rtol=1e-4, atol=1e-5)
        state = step.memory


@trunks
def test_convolutions_before_a_cell_have_their_gradient_and_initial_weights(shared):
    network = over_images("lstm", shared)
    parameters = network.initial(torch.Generator().manual_seed(0))[None]
    named = network._views(parameters[0])
    weight = named["trunk.before.images.0.0.weight"].flatten(1)
    small = weight.T @ weight
    torch.testing.assert_close(small, 2.0 * torch.eye(len(small)), rtol=1e-4, atol=1e-5)
    assert all(not named[name].any() for name in named if name.endswith("bias"))
    inputs = IMAGES.trial(STEPS * ENVS)[None]
    memory = Memory(torch.randn(1, ENVS, network.memory_width), torch.zeros(1, STEPS * ENVS) > 1)
    linear = network.linearise(parameters, inputs, memory)
    gradient = network._views(linear.vjp(Heads(*(torch.ones_like(head) for head in linear.heads[:3])))[0])
    tops = ["trunk.before."] if shared else ["trunk.before.", "critic.trunk.before."]
    for top in tops:
        assert gradient[f"{top}images.0.0.weight"].any()
        assert gradient[f"{top}joint.0.weight"].any()
    assert network.units > 6 * 5 * 16


@kinds
def test_a_state_is_needed(cell):
    network = recurrent(cell)
    parameters, inputs, _ = batch(network)
    with pytest.raises(AssertionError, match="needs its state"):
        network.heads(parameters, inputs)
    assert network.units > UNITS * 2
