"""Fresh parameters from C: orthogonality, gains, uniform over all orthogonal matrices."""

from __future__ import annotations

import math

import pytest
import torch

from rlcli.kernels.initialise import initial, orthogonal, uniform
from rlcli.kernels.library import available
from rlcli.nets.stacked.layout import Initialisation, Layout

SHAPES = [(4, 64), (64, 64), (64, 2), (1, 7), (7, 1), (1, 1), (300, 17), (16, 16)]


@pytest.mark.parametrize("gain", [1.0, 2**0.5, 0.01])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_shorter_side_is_orthonormal_times_the_gain(shape, gain):
    matrix = orthogonal(3, 5, shape, gain).double()
    short = matrix if shape[0] <= shape[1] else matrix.T
    product = short @ short.T / gain**2
    torch.testing.assert_close(product, torch.eye(len(short), dtype=torch.float64), rtol=0, atol=4e-7)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_matrix_is_q_of_normal_numbers_with_a_positive_diagonal_of_r(shape):
    """As torch.nn.init.orthogonal_ has it: the same numbers give the same matrix."""
    count = shape[0] * shape[1]
    normal = torch.special.ndtri(_uniform(11, 4, count).double())
    columns = normal.view(min(shape), max(shape)).T
    q, r = torch.linalg.qr(columns)
    wanted = q * r.diagonal().sign()
    found = orthogonal(11, 4, shape, 1.0)
    torch.testing.assert_close(found if shape[0] >= shape[1] else found.T, wanted.float(), rtol=0, atol=2e-6)


def _uniform(seed, first, count):
    """Elements of a stream: (x + 1)/2 of what lies between -1 and 1, to single precision."""
    return (uniform(seed, first, (count,), 1.0).double() + 1) / 2


def test_orthogonal_matrices_are_uniform_over_all():
    """Moments of Haar's measure: of an element 0, 1/n, 3/(n (n + 2)); of the trace 0 and 1."""
    n, count = 4, 4000
    drawn = torch.stack([orthogonal(seed, 0, (n, n), 1.0) for seed in range(count)]).double()
    error = 5 / math.sqrt(count)
    assert drawn.mean(0).abs().max() < error * n**-0.5
    assert ((drawn**2).mean(0) * n - 1).abs().max() < 1.5 * error
    assert ((drawn**4).mean(0) * n * (n + 2) / 3 - 1).abs().max() < 3 * error
    trace = drawn.diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(float(trace.mean())) < error
    assert abs(float((trace**2).mean()) - 1) < 2 * error
    determinant = torch.linalg.det(drawn)
    assert abs(float(determinant.mean())) < error


def test_uniform_numbers_fill_their_interval():
    drawn = uniform(2, 0, (200, 500), 0.25).double()
    assert drawn.abs().max() <= 0.25
    assert drawn.abs().max() > 0.2499
    assert abs(float(drawn.mean())) < 5 * 0.25 / math.sqrt(3e5)
    assert abs(float((drawn**2).mean()) * 48 - 1) < 0.02


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bits_are_those_of_every_instruction_set(shape):
    for make in (lambda isa: orthogonal(9, 3, shape, 0.5, isa), lambda isa: uniform(9, 3, shape, 0.5, isa)):
        made = [make(isa) for isa in available()]
        assert all(torch.equal(made[0], other) for other in made)


@pytest.mark.parametrize("shared", [False, True])
def test_every_parameter_is_drawn_by_its_role(shared):
    layout = Layout(5, (32, 16), 3, 3, shared=shared)
    parts = layout.unflatten(initial(layout, Initialisation(policy_gain=0.5, log_std=-0.7), 4)[None])
    for name, gain in (("trunk.0", 2**0.5), ("trunk.1", 2**0.5), ("policy", 0.5), ("value", 1.0)):
        weight, bias = parts[f"{name}.weight"][0], parts[f"{name}.bias"][0]
        assert (bias == 0).all()
        for matrix in weight.flatten(0, -3) if weight.ndim > 2 else weight[None]:
            short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
            torch.testing.assert_close(short @ short.T, gain**2 * torch.eye(len(short)), rtol=0, atol=1e-5)
    assert (parts["policy.free"] == -0.7).all()
    if not shared:
        actor, critic = parts["trunk.1.weight"][0]
        assert not torch.allclose(actor, critic, atol=0.01)


def test_uniform_parameters_are_bounded_by_the_root_of_their_inputs():
    layout = Layout(5, (32, 16), 3, 0)
    parameters = initial(layout, Initialisation(orthogonal=False), 4)
    parts = layout.unflatten(parameters[None])
    for name, inputs in (("trunk.0", 5), ("trunk.1", 32), ("policy", 16), ("value", 16)):
        for leaf in ("weight", "bias"):
            part = parts[f"{name}.{leaf}"].abs()
            assert 0.5 * inputs**-0.5 < part.max() <= inputs**-0.5 or part.numel() < 4
    assert len(parameters.unique()) == layout.size
    assert torch.equal(parameters, initial(layout, Initialisation(orthogonal=False), 4))
    assert not torch.equal(parameters, initial(layout, Initialisation(orthogonal=False), 5))
