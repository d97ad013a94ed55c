"""Where parameters lie in the flat buffer, the order they are declared in, and the auxiliary value head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rlcli.nets.network import ACTOR, ALL, AUXILIARY, CRITIC, HEADS, Heads, Network, from_order, in_order
from rlcli.nets.stacked.layout import Initialisation
from rlcli.nets.stacked.mlp import MLP
from tests.nets.mlps import mlp, parameters_of
from tests.nets.modules import equivalent

SIZES = [(4, (5, 3), 2, 2), (1, (1,), 1, 0), (3, (), 2, 1), (2, (1, 4), 1, 1)]
close = {"rtol": 1e-11, "atol": 1e-13}


def networks(sizes: tuple[int, tuple[int, ...], int, int]) -> dict[str, Network]:
    """Every kind of network of these widths."""
    separate, shared = mlp(*sizes), mlp(*sizes, shared=True)
    return {
        "separate": separate, "shared": shared, "auxiliary": separate.auxiliary,
        "auxiliary, shared": shared.auxiliary, "module": equivalent(separate)[0],
        "module, shared": equivalent(shared)[0],
    }  # fmt: skip


KINDS = list(networks(SIZES[0]))


@pytest.mark.broken_by(
    "the critic's block one column early",
    "nets/stacked/layout.py",
    "slice(actor, actor + self.critic.size)",
    "slice(actor - 1, actor - 1 + self.critic.size)",
    case="sizes0-separate",
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"sizes{SIZES.index(sizes)}")
def test_parts_are_contiguous_and_cover_the_buffer(sizes, kind):
    network = networks(sizes)[kind]
    parts = network.parts
    whole = network.parts[ALL]
    assert all(0 <= part.start <= part.stop <= whole.stop and part.step is None for part in parts.values())
    assert whole.start == 0
    names = {ALL, ACTOR, CRITIC}
    if kind == "module, shared":
        assert parts[ACTOR] == parts[CRITIC] == whole
    else:
        ends = [0, *(parts[name].stop for name in (ACTOR, CRITIC))]
        assert [parts[name].start for name in (ACTOR, CRITIC)] == ends[:2]
        if kind == "auxiliary":
            names.add(AUXILIARY)
            assert parts[AUXILIARY] == slice(ends[-1], whole.stop)
        else:
            assert ends[-1] == whole.stop
    if kind in ("shared", "auxiliary, shared"):
        names.add(HEADS)
        trunk = sum((one + 1) * other for one, other in zip(sizes[:1] + sizes[1], sizes[1], strict=False))
        assert parts[HEADS] == slice(trunk, whole.stop)
    assert set(parts) == names
    if kind != "auxiliary":
        assert network.initial(torch.Generator()).shape == (whole.stop,)


@pytest.mark.broken_by(
    "the way back from the declared order taken forward",
    "nets/network.py",
    "torch.empty_like(declared).index_copy_(-1, _beside(order, declared), declared)",
    "declared.index_select(-1, _beside(order, declared))",
    case="sizes0-separate",
)
@pytest.mark.broken_by(
    "parameters in the order that they lie in",
    "nets/network.py",
    "return parameters if order is None else parameters.index_select(-1, _beside(order, parameters))",
    "return parameters",
    case="sizes0-separate",
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"sizes{SIZES.index(sizes)}")
def test_the_declared_order_and_back(sizes, kind):
    network = networks(sizes)[kind]
    size = network.parts[ALL].stop
    parameters = torch.arange(2.0 * size).view(2, -1)
    declared = in_order(network, parameters)
    assert torch.equal(from_order(network, declared), parameters)
    assert torch.equal(in_order(network, from_order(network, parameters)), parameters)
    assert torch.equal(in_order(network, parameters[0]), declared[0])
    assert torch.equal(declared.sort(-1).values, parameters)
    if kind in ("separate", "shared"):
        parts = network.layout.unflatten(parameters).values()
        assert torch.equal(torch.cat([part.flatten(1) for part in parts], 1), declared)


def test_names_of_parameters_in_the_declared_order():
    assert mlp(3, (5, 4), 2, 1).layout.declared == {
        "trunk.0.weight": (2, 3, 5), "trunk.0.bias": (2, 5), "trunk.1.weight": (2, 5, 4),
        "trunk.1.bias": (2, 4), "policy.weight": (4, 2), "policy.bias": (2,), "policy.free": (1, 1),
        "value.weight": (4, 1), "value.bias": (1,),
    }  # fmt: skip
    assert mlp(3, (5,), 2, 1, shared=True).layout.declared["trunk.0.weight"] == (1, 3, 5)


def with_head(network: MLP, runs: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters [R, P] of the auxiliary network, those of the network, and of the head [R, H + 1]."""
    parameters = parameters_of(network.auxiliary, runs)
    size = network.layout.size
    return parameters, parameters[:, :size], parameters[:, size:]


@pytest.mark.broken_by(
    "the auxiliary head declared last, not as the last policy output",
    "nets/stacked/layout.py",
    "torch.cat((weight, head[:, :-1].unsqueeze(-1)), -1)",
    "torch.cat((head[:, :-1].unsqueeze(-1), weight), -1)",
    case="sizes0",
)
@pytest.mark.broken_by(
    "the auxiliary head without its bias",
    "nets/stacked/passes.py",
    "head[:, :-1], head[:, -1]",
    "head[:, :-1], 0.0",
    case="sizes0",
)
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"sizes{SIZES.index(sizes)}")
def test_the_auxiliary_head_is_declared_as_one_policy_output_more(sizes):
    """In the declared order a network with the head is one with an output more."""
    inputs, hidden, outputs, free = sizes
    network, wider = mlp(*sizes), mlp(inputs, hidden, outputs + 1, free)
    parameters, own, head = with_head(network)
    x = torch.randn(3, 6, inputs, dtype=torch.float64)
    same = from_order(wider, in_order(network.auxiliary, parameters))
    heads = network.auxiliary.heads(parameters, x)
    for found, wanted in zip(heads[:3], wider.heads(same, x)[:3], strict=True):
        torch.testing.assert_close(found, wanted, **close)
    for found, wanted in zip((heads.output[..., :-1], *heads[1:3]), network.heads(own, x)[:3], strict=True):
        torch.testing.assert_close(found, wanted, **close)
    head_alone = network.layout.unflatten(own)
    assert head.shape[1] == network.layout.width + 1
    assert torch.equal(heads.free, head_alone["policy.free"])


@pytest.mark.broken_by(
    "the auxiliary head's gradient taken for the last policy output's",
    "nets/stacked/passes.py",
    "found.append([weights[0][:, outputs], biases[0][:, outputs]])",
    "found.append([weights[0][:, outputs - 1], biases[0][:, outputs - 1]])",
)
@pytest.mark.parametrize("repeatedly", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"sizes{SIZES.index(sizes)}")
def test_passes_through_the_auxiliary_network_are_automatic_ones(sizes, repeatedly):
    network = mlp(*sizes)
    parameters, _, _ = with_head(network)
    parameters.requires_grad_()
    x = torch.randn(3, 6, sizes[0], dtype=torch.float64)
    heads = network.auxiliary.heads(parameters, x)
    by = Heads(*(torch.randn_like(part) for part in heads[:3]))
    total = sum((slope * head).sum() for slope, head in zip(by[:3], heads[:3], strict=True))
    (wanted,) = torch.autograd.grad(total, parameters)
    with torch.no_grad():
        linear = network.auxiliary.linearise(parameters, x, repeatedly=repeatedly)
        torch.testing.assert_close(linear.heads.output, heads.output.detach(), **close)
        torch.testing.assert_close(linear.vjp(by), wanted, **close)
        tangent = torch.randn_like(parameters)
        pairs = zip(linear.jvp(tangent)[:3], by[:3], strict=True)
        pushed = sum((moved * slope).flatten(1).sum(-1) for moved, slope in pairs)
        torch.testing.assert_close(pushed, (wanted * tangent).sum(-1), **close)
    assert (wanted[:, network.auxiliary.parts[AUXILIARY]] != 0).any()


@pytest.mark.broken_by(
    "the critic of an auxiliary network takes the auxiliary head with it",
    "nets/stacked/layout.py",
    "replace(self, outputs=0, free=0, shared=True, tutored=False)",
    "replace(self, outputs=0, free=0, shared=True)",
)
@pytest.mark.parametrize("part", [ACTOR, CRITIC])
@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"sizes{SIZES.index(sizes)}")
def test_parts_of_an_auxiliary_network_are_those_of_the_network(sizes, part):
    """V_aux belongs to neither."""
    network = mlp(*sizes)
    parameters, own, _ = with_head(network)
    assert network.auxiliary.parts[part] == network.parts[part]
    x = torch.randn(3, 6, sizes[0], dtype=torch.float64)
    found = network.auxiliary.linearise(parameters, x, part=part)
    wanted = network.linearise(own, x, part=part)
    by = Heads(*(torch.randn_like(head) for head in wanted.heads[:3]))
    tangent = parameters[:, network.parts[part]].flip(-1)
    torch.testing.assert_close(found.vjp(by), wanted.vjp(by), **close)
    for heads, same in (
        (found.heads, wanted.heads), (network.auxiliary.heads(parameters, x, part=part), wanted.heads),
        (found.jvp(tangent), wanted.jvp(tangent)),
    ):  # fmt: skip
        for one, other in zip(heads[:3], same[:3], strict=True):
            torch.testing.assert_close(one, other, **close)


def test_a_shared_trunk_has_vs_own_head_for_an_auxiliary_one():
    network = mlp(4, (5,), 2, 0, shared=True)
    assert network.auxiliary == network
    assert AUXILIARY not in network.auxiliary.parts


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("shared", [False, True])
def test_an_auxiliary_head_starts_as_vs_does(shared, orthogonal):
    settings = Initialisation(orthogonal, value_gain=0.7)
    network = mlp(4, (50, 30), 2, 1, shared=shared, initialisation=settings)
    first, again, other = (
        network.initial_auxiliary(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == (31,)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    if orthogonal:
        assert first[:-1].norm().item() == pytest.approx(0.7)
        assert first[-1] == 0.0
    else:
        assert 0.5 * 30**-0.5 < first.abs().max() <= 30**-0.5
