"""Written-out passes of multilayer perceptrons against torch modules; modules as networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlcli.nets.masked import MaskedNetwork
from rlcli.nets.module import ModuleNetwork
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads, vjp_by_blocks
from rlcli.nets.observations import Encoder
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.layout import Initialisation
from tests.nets.mlps import mlp, parameters_of
from tests.nets.modules import equivalent

SHAPES = [(4, (5, 3), 2), (1, (5, 3), 2), (4, (1,), 2), (4, (5, 1, 3), 1), (3, (), 2), (1, (1, 1), 1)]
"""Widths of inputs, hidden layers and outputs: 1 among each."""
BOX = Encoder("box", 4, normalize=False)
close = {"rtol": 1e-11, "atol": 1e-13}


def like(heads: Heads) -> Heads:
    """Random numbers of the heads' shapes."""
    return Heads(*(torch.randn_like(part) for part in heads[:3]))


@pytest.mark.broken_by(
    "the sign of a layer's bias gradient",
    "nets/stacked/passes.py",
    "split(back.sum(1))",
    "split(-back.sum(1))",
)
@pytest.mark.broken_by(
    "a gradient through weights not transposed back",
    "nets/stacked/linear.py",
    "return torch.bmm(gradient, weight.transpose(-1, -2), out=out)",
    "return torch.bmm(gradient, weight.reshape(weight.mT.shape), out=out)",
)
@pytest.mark.broken_by(
    "tangents of inputs of width 1 dropped",
    "nets/stacked/linear.py",
    "total.addcmul_(x, weight)",
    "pass",
)
@pytest.mark.broken_by(
    "the density in gelu's derivative without its x",
    "nets/stacked/activations.py",
    "_normal_cdf(x) + x * density",
    "_normal_cdf(x) + density",
)
@pytest.mark.broken_by(
    "the tangent of a module along half the way",
    "nets/module.py",
    "along = tangent.clone()",
    "along = 0.5 * tangent",
)
@pytest.mark.broken_by(
    "a module's parts told apart by no name",
    "nets/module.py",
    "ACTOR: slice(0, size - critic), CRITIC: slice(size - critic, size)}",
    "ACTOR: slice(0, critic), CRITIC: slice(critic, size)}",
)
@pytest.mark.parametrize("part", [ALL, ACTOR, CRITIC])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_written_out_passes_are_those_of_a_module(inference, activation, shape, shared, runs, part):
    """Value, vjp and jvp; what a part of one network leaves out is 0 in the other or left out too."""
    inputs, hidden, outputs = shape
    with torch.inference_mode(inference):
        written = mlp(inputs, hidden, outputs, outputs, activation, shared)
        module, places = equivalent(written)
        parameters = parameters_of(written, runs)
        same, x = parameters[:, places], torch.randn(runs, 6, inputs, dtype=torch.float64)
        entering = written.entering(parameters, x, part)
        found = [
            written.linearise(parameters, entering, part=part, repeatedly=again) for again in (False, True)
        ]
        wanted = module.linearise(same, module.entering(same, x, part), part=part)
        own, whole = written.parts[part], torch.zeros_like(parameters)
        for heads in (
            found[0].heads, found[1].heads, written.heads(parameters, x, part=part),
            module.heads(same, x, part=part),
        ):  # fmt: skip
            assert_close(heads, wanted.heads)
        for _ in range(2):
            by, tangent = like(wanted.heads), torch.randn_like(whole)[:, own]
            pulled, along = whole.clone(), whole.clone()
            block = module.parts[part]
            pulled[:, places[block]] = wanted.vjp(by)
            along[:, own] = tangent
            moved = wanted.jvp(along[:, places][:, block])
            for passes in found:
                torch.testing.assert_close(passes.vjp(by), pulled[:, own], **close)
                assert_close(passes.jvp(tangent), moved)
            pulled[:, own] = 0.0
            assert (shared and part == CRITIC) or (pulled == 0.0).all()


def assert_close(found: Heads, wanted: Heads) -> None:
    """Of the same shapes, too."""
    for one, other in zip(found[:3], wanted[:3], strict=True):
        torch.testing.assert_close(one, other, **close)


class Convolutions(nn.Module):
    """Over pictures [B, 1, 4, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten())
        self.policy, self.value = nn.Linear(3, 2), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, 2] and values [B]."""
        features = self.trunk(x)
        return self.policy(features), self.value(features).squeeze(-1)


@pytest.mark.broken_by(
    "a module called with the first run's parameters only",
    "nets/module.py",
    "self._call_for(part, own, *arguments) for own, arguments in runs",
    "self._call_for(part, parameters[0], *arguments) for _, arguments in runs",
)
@pytest.mark.broken_by(
    "free parameters' gradient lost",
    "nets/module.py",
    "(head, slope.clone()) for head, slope in pairs if slope.numel()",
    "(head, slope.clone()) for head, slope in pairs if slope.shape[1] > 1",
)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("inference", [False, True], ids=["", "inference"])
def test_a_convolution_is_a_network(inference):
    """Against torch's own forward mode and reverse mode, on a module of its own a run."""
    network = ModuleNetwork(Convolutions, BOX, free=2)
    with torch.inference_mode(inference):
        parameters = 0.7 * torch.randn(2, network.parts[ALL].stop, dtype=torch.float64)
        x = torch.randn(2, 5, 1, 4, 4, dtype=torch.float64)
        linear = network.linearise(parameters, x)
        by, tangent = like(linear.heads), torch.randn_like(parameters)
        pulled, moved = linear.vjp(by), linear.jvp(tangent)
    module, shapes = Convolutions(), [part.shape for part in Convolutions().parameters()]

    def heads(row: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *chunks, free = torch.split(row, [*(shape.numel() for shape in shapes), 2])
        parts = [chunk.view(shape) for chunk, shape in zip(chunks, shapes, strict=True)]
        named = dict(zip(dict(module.named_parameters()), parts, strict=True))
        output, value = functional_call(module, named, (rows,))
        return output, free.unsqueeze(0), value

    for run in range(2):
        at, along, rows = (part[run].clone() for part in (parameters, tangent, x))
        wanted, exact = torch.func.jvp(lambda row, rows=rows: heads(row, rows), (at,), (along,))
        _, pull = torch.func.vjp(lambda row, rows=rows: heads(row, rows), at)
        (gradient,) = pull(tuple(part[run].clone() for part in by[:3]))
        torch.testing.assert_close(pulled[run].clone(), gradient, **close)
        for found, same in ((linear.heads, wanted), (moved, exact)):
            for one, other in zip(found[:3], same, strict=True):
                torch.testing.assert_close(one[run].clone(), other.detach(), **close)


@pytest.mark.parametrize("part", [ALL, ACTOR, CRITIC])
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_a_gradient_by_blocks_is_that_of_the_whole_batch(shared, part, monkeypatch):
    written = mlp(4, (5, 3), 2, 2, shared=shared)
    module, places = equivalent(written)
    parameters, x = parameters_of(written, 5), torch.randn(5, 6, 4, dtype=torch.float64)
    monkeypatch.setattr("rlcli.nets.stacked.mlp.BLOCK", 2 * 6 * 5)
    for network, at in ((written, parameters), (module, parameters[:, places])):
        rows = network.entering(at, x, part)
        assert [run for block in network.blocks(rows) for run in range(5)[block]] == list(range(5))
        linear = network.linearise(at, rows, part=part)
        by = like(linear.heads)
        found = vjp_by_blocks(network, at, rows, by, part)
        torch.testing.assert_close(found, linear.vjp(by), **close)


@pytest.mark.broken_by(
    "the derivatives recorded are the critic's",
    "nets/module.py",
    "Graph(self, parameters[run], inputs[run], own, ACTOR)",
    "Graph(self, parameters[run], inputs[run], own, CRITIC)",
    case="False",
)
@pytest.mark.broken_by(
    "what is recorded has other runs' parameters",
    "nets/module.py",
    "Graph(self, parameters[run], inputs[run], own, ACTOR)",
    "Graph(self, parameters[:1], inputs[run], own, ACTOR)",
    case="False",
)
@pytest.mark.parametrize("masked", [False, True])
def test_a_recorded_pass_is_the_other_and_a_lone_runs(masked):
    """Bit for bit, with the derivatives of a lone run."""
    network, _ = equivalent(mlp(4, (5, 3), 2, 2))
    network = MaskedNetwork(network) if masked else network
    parameters, x = torch.randn(3, network.parts[ALL].stop), torch.randn(3, 6, 4)
    if masked:
        x = torch.cat((x, torch.tensor([1.0, 0.0]).expand(3, 6, 2)), -1)
    with torch.inference_mode():
        together, linear = network.recorded(parameters, x)
        assert linear is None
        assert_equal(together, network.both(parameters, x))
        for run in range(3):
            at, rows = parameters[run : run + 1], x[run : run + 1]
            alone, linear = network.recorded(at, rows)
            assert_equal(alone, Heads(*(part[run : run + 1] for part in together[:3])))
            by = like(alone)._replace(value=torch.empty(1, 6, 0))
            assert linear is not None
            assert torch.equal(linear.vjp(by), vjp_by_blocks(network, at, rows, by, ACTOR))


def assert_equal(found: Heads, wanted: Heads) -> None:
    """To the last bit."""
    for one, other in zip(found[:3], wanted[:3], strict=True):
        assert torch.equal(one, other)


@pytest.mark.broken_by(
    "a module's initial weights from whatever was drawn before",
    "nets/module.py",
    "torch.manual_seed(seed)",
    "pass",
)
@pytest.mark.broken_by(
    "a module's initial weights seed everything drawn after",
    "nets/module.py",
    "with torch.random.fork_rng(devices=[]), torch.inference_mode(False):",
    "with torch.inference_mode(False):",
)
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_initial_parameters_of_a_module_depend_on_the_generator_alone(shared):
    written = mlp(4, (64,), 2, 2, shared=shared, initialisation=Initialisation(log_std=-0.5))
    network, places = equivalent(written)

    def initial(seed: int) -> Tensor:
        return network.initial(torch.Generator().manual_seed(seed))

    first = initial(0)
    state = torch.get_rng_state()
    with torch.inference_mode():
        torch.rand(3)
        before = torch.get_rng_state()
        again = initial(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    assert torch.equal(first, again)
    assert not torch.equal(first, initial(1))
    declared = torch.empty_like(first)
    declared[places] = first
    parts = written.layout.unflatten(declared.unsqueeze(0))
    assert (parts["policy.free"] == -0.5).all()
    for name, fan_in in (("trunk.0.weight", 4), ("policy.weight", 64), ("value.weight", 64)):
        assert 0.5 < parts[name].abs().max() * fan_in**0.5 <= 1.0


def test_a_module_has_no_auxiliary_head():
    network, _ = equivalent(mlp(4, (5,), 2, 0))
    assert network.auxiliary is None
    with pytest.raises(NotImplementedError, match="no auxiliary value head"):
        network.initial_auxiliary(torch.Generator())
