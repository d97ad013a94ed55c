"""Runs computed together equal each run computed alone, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.actor import Actor
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads
from rlcli.nets.observations import Encoder, Moments, advance, no_moments
from rlcli.nets.policy import Model, Snapshot
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP
from tests.nets.mlps import mlp

WIDTHS = [(), (1,), (5,), (1, 5), (5, 1), (64, 64), (256,)]
ROWS = [1, 2, 8, 10, 33, 256, 1000]
FEW = [1, 10, 33]
"""Rows for the other activations, which change no product: enough for each end of a vector of numbers."""


KINDS = {
    "separate": (False, ALL), "shared": (True, ALL), "actor": (False, ACTOR), "critic": (False, CRITIC),
    "value head": (True, CRITIC),
}  # fmt: skip
"""Whether a trunk is shared, and the part whose passes are made."""


def passes(network: MLP, part: str, parameters, x, by: Heads) -> dict[str, torch.Tensor]:
    entering = network.entering(parameters, x, part)
    once, many = (
        network.linearise(parameters, entering, part=part, repeatedly=again) for again in (False, True)
    )
    tangent = parameters[:, network.parts[part]].flip(-1)
    moved, pulled = many.jvp(tangent), many.vjp(by)
    heads = network.heads(parameters, x, part=part)
    return {
        "output": once.heads.output,
        "value": once.heads.value,
        "gradient": once.vjp(by),
        "gradient, repeatedly": pulled,
        "output moved": moved.output,
        "value moved": moved.value,
        "output moved, once": once.jvp(tangent).output,
        "policy": heads.output,
        "critic": heads.value,
    }


@pytest.mark.parametrize("hidden", WIDTHS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks(activation, hidden, kind):
    shared, part = KINDS[kind]
    if activation != "tanh":
        sizes = [(3, 2)]
    elif hidden:  # inputs and outputs are in products of their own
        sizes = [(1, 1), (2, 2), (4, 6), (17, 2)]
    else:
        sizes = list(itertools.product((1, 2, 4, 17), (1, 2, 6)))
    for (inputs, outputs), rows in itertools.product(sizes, ROWS if activation == "tanh" else FEW):
        network = mlp(inputs, hidden, outputs, outputs, activation, shared)
        parameters = 0.5 * torch.randn(5, network.layout.size)
        x = torch.randn(5, rows, inputs)
        heads = network.linearise(parameters, network.entering(parameters, x, part), part=part).heads
        by = Heads(*(torch.randn_like(head) for head in heads[:3]))
        whole = passes(network, part, parameters, x, by)
        if part != CRITIC:
            # The policy acts through its own trunk alone, and is compared in one pass with the critic.
            assert torch.equal(whole["output"], whole["policy"])
            assert torch.equal(whole["value"], whole["critic"])
        for members in ([0], [4], [1, 2, 4]):
            chosen = Heads(*(head[members].clone() for head in by[:3]))
            some = passes(network, part, parameters[members].clone(), x[members].clone(), chosen)
            for name, found in some.items():
                assert torch.equal(found, whole[name][members]), (name, inputs, outputs, rows, members)


@pytest.mark.broken_by(
    "an activation that rounds by position",
    "nets/stacked/activations.py",
    "return x * _sigmoid(x)",
    "return torch.nn.functional.silu(x)",
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_round_an_element_the_same_wherever_it_stands(activation):
    forward, backward, on_host = ACTIVATIONS[activation]
    x, slope = torch.randn(2, 300)

    def everything(part: slice) -> list[torch.Tensor]:
        before = x[part].clone()
        after = forward(before.clone())
        host = torch.from_numpy(on_host(before.clone().numpy()))
        return [after, backward(slope[part].clone(), before, after), host]

    whole = everything(slice(None))
    for start, count in itertools.product((0, 1, 3), range(1, 140)):
        part = slice(start, start + count)
        for found, of_all in zip(everything(part), whole, strict=True):
            assert torch.equal(found, of_all[part]), (start, count)


FAMILIES = [
    *(kind(width) for kind in (CategoricalFamily, GaussianFamily, BernoulliFamily) for width in (1, 3, 4)),
    *(MultiCategoricalFamily(sizes) for sizes in ((1,), (3, 2), (2, 5, 1, 3))),
]


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_distributions(family, rows, dtype):
    output, free = torch.randn(4, rows, family.output_width), torch.randn(4, 1, family.free_width)
    anchor_output, tangent = torch.randn(2, *output.shape)
    anchor_free, free_tangent = torch.randn(2, *free.shape)
    noise = family.noise((4, rows), torch.Generator().manual_seed(0))
    slopes = torch.randn(2, 4, rows)

    def everything(members):
        part, anchor = (
            family.distribution(*(leaf[members].to(dtype, copy=True) for leaf in leaves))
            for leaves in ((output, free), (anchor_output, anchor_free))
        )
        given = (array[members].numpy() for array in (output, free, noise))
        actions = torch.from_numpy(family.act(*given))
        taken, entropy = slopes[:, members].to(dtype).unbind(0)
        return [
            actions, part.log_prob(actions), part.entropy(), *part.pullback(actions, taken, entropy),
            part.kl(anchor), *part.pullback_kl_from(anchor, taken), *part.pullback_kl_to(anchor, taken),
            *part.fisher(tangent[members].to(dtype), free_tangent[members].to(dtype)),
        ]  # fmt: skip

    whole = everything([0, 1, 2, 3])
    for members in ([0], [3], [1, 2]):
        for part, of_all in zip(everything(members), whole, strict=True):
            assert torch.equal(part, of_all[members])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (1,), (5, 1), (64, 64), (256,)], ids=str)
def test_acting(hidden, activation):
    for inputs, outputs, rows in itertools.product((1, 4, 17), (1, 3), (1, 2, 8, 33)):
        family = GaussianFamily(outputs)
        network = MLP(
            Layout(inputs, hidden, outputs, outputs, activation), Encoder("box", inputs, normalize=True)
        )
        model = Model(network, family)
        moments = advance(no_moments(4, inputs), torch.randn(4, 50, inputs))
        snapshot = Snapshot(0.5 * torch.randn(4, network.layout.size), moments)
        observations = torch.randn(4, rows, inputs)
        noise = family.noise((4, rows), torch.Generator().manual_seed(0)).numpy()
        actions, output, _ = Actor(model, snapshot)(observations.numpy(), noise)
        in_torch = model.outputs(snapshot, observations).state
        np.testing.assert_allclose(output, in_torch, rtol=1e-5, atol=1e-5)
        for members in ([0], [3], [1, 2]):
            chosen = Snapshot(snapshot.parameters[members], Moments(*(leaf[members] for leaf in moments)))
            some_actions, some_output, _ = Actor(model, chosen)(observations[members].numpy(), noise[members])
            assert np.array_equal(some_actions, actions[members]), (inputs, outputs, rows, members)
            assert np.array_equal(some_output, output[members]), (inputs, outputs, rows, members)


@pytest.mark.parametrize("width", [1, 2, 17])
@pytest.mark.parametrize("rows", ROWS)
def test_moments(width, rows):
    before = advance(no_moments(4, width), torch.randn(4, 5, width))
    samples = 3.0 + torch.randn(4, rows, width)
    whole = advance(before, samples)
    for members in ([0], [3], [1, 2]):
        chosen = advance(Moments(*(leaf[members] for leaf in before)), samples[members].clone())
        for part, of_all in zip(chosen, whole, strict=True):
            assert torch.equal(part, of_all[members])
