"""Masked networks: what they give is what a network with the allowed outputs alone gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcli.maths.distribution import Distribution
from rlcli.maths.distributions import Categorical
from rlcli.maths.factored import MultiCategorical
from rlcli.maths.health import health
from rlcli.nets.masked import FLOOR, MaskedNetwork
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads, Network
from rlcli.nets.observations import Encoder, no_moments
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP
from tests.nets.modules import equivalent

KEPT = [0, 2, 3]
"""Of 5 choices; the sixth output of a network with an auxiliary head is a value."""
WIDE = {"rtol": 1e-12, "atol": 1e-14}


def network(outputs: int, mask: int, shared: bool = False) -> MLP:
    layout = Layout(3, (6, 4), outputs, 0, "tanh", shared)
    return MLP(layout, Encoder("box", 3, normalize=False, mask=mask))


class Pair(NamedTuple):
    """A masked network and one of the kept outputs alone, of the same weights."""

    masked: MaskedNetwork
    parameters: Tensor
    inputs: Tensor
    small: MLP
    its: Tensor


def pair(shared: bool = False, runs: int = 2, rows: int = 7) -> Pair:
    large, small = network(5, 5, shared), network(3, 0, shared)
    parameters = torch.randn(runs, large.layout.size, dtype=torch.float64)
    found, given = torch.empty(runs, small.layout.size).double(), large.layout.unflatten(parameters)
    for name, part in small.layout.unflatten(found).items():
        part.copy_(given[name][..., KEPT] if name in ("policy.weight", "policy.bias") else given[name])
    features = torch.randn(runs, rows, 3, dtype=torch.float64)
    mask = torch.zeros(runs, rows, 5, dtype=torch.float64)
    mask[..., KEPT] = 1.0
    return Pair(MaskedNetwork(large), parameters, torch.cat((features, mask), -1), small, found)


def kept(of: Pair, gradient: Tensor, part: str = ALL) -> Tensor:
    """A gradient of the large network as that of the small one; 0 for what is masked."""
    assert isinstance(of.masked.inner, MLP)
    layout = of.masked.inner.layout if part == ALL else of.masked.inner.layout.actor
    small = of.small.layout if part == ALL else of.small.layout.actor
    found, given = gradient.new_empty(len(gradient), small.size), layout.unflatten(gradient)
    for name, into in small.unflatten(found).items():
        masked = name in ("policy.weight", "policy.bias")
        into.copy_(given[name][..., KEPT] if masked else given[name])
        assert not masked or not given[name][..., [1, 4]].any()
    return found


@pytest.mark.broken_by(
    "gradients reach masked logits",
    "nets/masked.py",
    "return self._inner.vjp(by._replace(output=masked(by.output, self._allowed, 0.0)))",
    "return self._inner.vjp(by)",
    case="all-False",
)
@pytest.mark.broken_by(
    "masked logits move along a tangent",
    "nets/masked.py",
    "return moved._replace(output=masked(moved.output, self._allowed, 0.0))",
    "return moved",
    case="all-False",
)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("part", [ALL, ACTOR])
def test_outputs_and_derivatives_are_those_of_the_allowed_alone(part, shared):
    of = pair(shared)
    large = of.masked.linearise(of.parameters, of.inputs, part=part)
    small = of.small.linearise(
        of.its[:, of.small.parts[part]] if part == ALL else of.its, of.inputs[..., :3], part=part
    )
    torch.testing.assert_close(large.heads.output[..., KEPT], small.heads.output, **WIDE)
    torch.testing.assert_close(large.heads.value, small.heads.value, **WIDE)
    assert (large.heads.output[..., [1, 4]] == FLOOR).all()
    heads = of.masked.heads(of.parameters, of.inputs, part=part)
    torch.testing.assert_close(heads.output, large.heads.output, **WIDE)

    by = Heads(torch.randn(2, 7, 5).double(), heads.free, torch.randn_like(heads.value))
    its = by._replace(output=by.output[..., KEPT])
    torch.testing.assert_close(kept(of, large.vjp(by), part), small.vjp(its), **WIDE)

    tangent = torch.randn_like(of.parameters[:, of.masked.parts[part]])
    moved = large.jvp(tangent)
    layout = network(5, 5, shared).layout
    masked_out = (layout if part == ALL else layout.actor).unflatten(tangent)
    for name in ("policy.weight", "policy.bias"):
        masked_out[name][..., [1, 4]] = 0.0
    torch.testing.assert_close(moved.output[..., KEPT], small.jvp(kept(of, tangent, part)).output, **WIDE)
    assert not moved.output[..., [1, 4]].any()


def test_the_critic_never_sees_the_mask():
    for shared in (False, True):
        of = pair(shared)
        entering = of.masked.entering(of.parameters, of.inputs, CRITIC)
        wanted = of.small.entering(of.its, of.inputs[..., :3], CRITIC)
        torch.testing.assert_close(entering, wanted, **WIDE)
        found = of.masked.linearise(of.parameters, entering, part=CRITIC).heads.value
        torch.testing.assert_close(
            found, of.masked.heads(of.parameters, of.inputs, part=CRITIC).value, **WIDE
        )


def test_a_value_behind_the_logits_is_not_masked():
    large = network(5, 5).auxiliary
    masked: Network | None = MaskedNetwork(network(5, 5)).auxiliary
    assert masked is not None
    parameters = torch.randn(2, large.layout.size)
    inputs = torch.cat((torch.randn(2, 7, 3), torch.zeros(2, 7, 5)), -1)
    inputs[..., 3] = 1.0
    found, wanted = masked.heads(parameters, inputs).output, large.heads(parameters, inputs[..., :3]).output
    assert torch.equal(found[..., [0, 5]], wanted[..., [0, 5]])
    assert (found[..., 1:5] == FLOOR).all()


def test_acting_in_numpy_and_networks_of_modules_mask_the_same():
    of = pair()
    inner = of.masked.inner
    assert isinstance(inner, MLP)
    heads = of.masked.heads(of.parameters, of.inputs)
    on_host = of.masked.on_host(of.parameters)
    assert on_host is not None
    found, _ = on_host.head(of.inputs.numpy(), None)
    np.testing.assert_allclose(found, heads.output.numpy(), rtol=1e-12)
    assert on_host.head(of.inputs.float().numpy(), None)[0].min() == np.float32(FLOOR)
    module, places = equivalent(inner)
    as_module = MaskedNetwork(module).linearise(of.parameters[:, places], of.inputs)
    torch.testing.assert_close(as_module.heads.output, heads.output)
    by = Heads(torch.randn(2, 7, 5).double(), heads.free, heads.value)
    blocked = by._replace(output=torch.where(heads.output == FLOOR, by.output, 0.0), value=0.0 * by.value)
    assert as_module.vjp(by).any()
    assert not as_module.vjp(blocked).any()


def test_masks_are_not_whitened():
    encoder = Encoder("box", 2, normalize=True, mask=3)
    moments = no_moments(1, 2)._replace(mean=torch.tensor([[5.0, 5.0]]).double())
    raw = torch.tensor([[[6.0, 7.0, 1.0, 0.0, 1.0]]])
    wanted = torch.tensor([[[1.0, 2.0, 1.0, 0.0, 1.0]]])
    torch.testing.assert_close(encoder.encode(raw, moments), wanted)
    np.testing.assert_allclose(encoder.on_host(moments)(raw.numpy()), wanted.numpy(), rtol=1e-6)
    assert encoder.rows(raw).tolist() == [[[6.0, 7.0]]]


def logits(seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """[2, 9, 5] with masks, and the same of the 3 allowed alone."""
    drawn = 3.0 * torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    allowed = torch.zeros(5, dtype=torch.bool)
    allowed[KEPT] = True
    return torch.where(allowed, drawn, FLOOR).to(dtype), drawn[..., KEPT].to(dtype)


def categoricals(dtype: torch.dtype) -> list[tuple[Distribution, Distribution]]:
    """Two masked policies, each with that of the allowed choices."""
    return [(Categorical(large), Categorical(small)) for large, small in (logits(0, dtype), logits(1, dtype))]


def factored(dtype: torch.dtype) -> list[tuple[Distribution, Distribution]]:
    """Of two elements: 3 choices, one masked, and 2 of which one is."""
    return [
        (MultiCategorical(large, (3, 2)), MultiCategorical(small, (2, 1)))
        for large, small in (logits(0, dtype), logits(1, dtype))
    ]


FAMILIES = {"discrete": categoricals, "multidiscrete": factored}
ACTIONS = {
    "discrete": (torch.tensor(KEPT).repeat(6).view(2, 9), torch.arange(3).repeat(6).view(2, 9)),
    "multidiscrete": (
        torch.tensor([[0, 0], [2, 0], [2, 0]]).repeat(6, 1).view(2, 9, 2),
        torch.tensor([[0, 0], [1, 0], [1, 0]]).repeat(6, 1).view(2, 9, 2),
    ),
}


@pytest.mark.broken_by(
    "a floor that leaves masked actions possible",
    "nets/masked.py",
    "FLOOR = -(2.0**100)",
    "FLOOR = -(2.0**3)",
    case="dtype0-discrete",
)
@pytest.mark.broken_by(
    "masked logits of minus infinity",
    "nets/masked.py",
    "FLOOR = -(2.0**100)",
    'FLOOR = -float("inf")',
    case="dtype0-discrete",
)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["dtype0", "dtype1"])
def test_every_formula_is_that_of_the_renormalised_distribution(dtype, family):
    (one, its), (two, theirs) = FAMILIES[family](dtype)
    taken, chosen = ACTIONS[family]
    close = {"rtol": 1e-12, "atol": 1e-14} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}

    def same(found: Tensor | None, wanted: Tensor | None) -> None:
        if found is None or wanted is None:
            assert found is wanted
            return
        torch.testing.assert_close(found, wanted, **close)

    same(one.log_prob(taken), its.log_prob(chosen))
    same(one.entropy(), its.entropy())
    same(one.kl(two), its.kl(theirs))
    for found, wanted in zip(one.divergences(two), its.divergences(theirs), strict=True):
        same(found, wanted)
    weights = torch.linspace(-1.0, 2.0, 18, dtype=dtype).view(2, 9)
    gradients = [
        (one.pullback(taken, weights, weights.square()), its.pullback(chosen, weights, weights.square())),
        (one.pullback_kl_from(two, weights), its.pullback_kl_from(theirs, weights)),
        (one.pullback_kl_to(two, weights), its.pullback_kl_to(theirs, weights)),
    ]
    tangent = torch.randn(2, 9, 5, dtype=torch.float64).to(dtype)
    empty = torch.empty(2, 1, 0, dtype=dtype)
    gradients.append((one.fisher(tangent, empty), its.fisher(tangent[..., KEPT], empty)))
    for (found, _), (wanted, _) in gradients:
        same(found[..., KEPT], wanted)
        assert (found[..., [1, 4]] == 0.0).all()
    if dtype == torch.float64:
        log_ratio = two.log_prob(taken) - one.log_prob(taken)
        figures, others = health(one, two, log_ratio), health(its, theirs, log_ratio)
        for name, figure in figures.items():
            same(figure, others[name])


def test_a_state_with_one_action_left_has_no_entropy_and_no_gradient():
    alone = Categorical(torch.tensor([[[FLOOR, -3.0, FLOOR]]]))
    taken = torch.tensor([[1]])
    assert alone.log_prob(taken).item() == 0.0
    assert alone.entropy().item() == 0.0
    assert alone.kl(Categorical(torch.tensor([[[FLOOR, 9.0, FLOOR]]]))).item() == 0.0
    gradient, _ = alone.pullback(taken, torch.ones(1, 1), torch.ones(1, 1))
    assert (gradient == 0.0).all()
