"""Moments, encoding and reward scaling in C against torch, on every instruction set, alone and stacked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rlcli.kernels import moments as kernels
from rlcli.learner import statistics
from rlcli.nets.observations import Encoder, Moments, advance, no_moments
from tests.kernels.instruction_sets import same_bits, same_on_each

SHAPES = [(1, 1024, 4), (5, 60, 3), (2, 1, 1), (1, 7, 17), (3, 9, 1), (2, 33, 40)]
KINDS = [torch.float32, torch.float64, torch.uint8]


def samples(shape: tuple[int, int, int], dtype: torch.dtype) -> torch.Tensor:
    spread = torch.linspace(0.1, 30.0, shape[-1])
    return (50.0 + torch.randn(shape) * spread).clamp(0.0, 255.0).to(dtype)


def row_of(moments: Moments, row: int) -> Moments:
    return Moments(*(leaf[row : row + 1] for leaf in moments))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", KINDS)
def test_moments_advance_as_in_torch(shape, dtype):
    runs, _, width = shape
    running = wanted = no_moments(runs, width)
    for _ in range(2):
        given = samples(shape, dtype)
        before = running
        running = Moments(*same_on_each(lambda before=before, given=given: kernels.advance(before, given)))
        wanted = advance(wanted, given)
        for mine, theirs in zip(running, wanted, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
        for row in range(runs):
            alone = kernels.advance(row_of(before, row), given[row : row + 1])
            assert all(map(same_bits, alone, row_of(running, row)))


def test_what_is_advanced_is_not_changed():
    before = no_moments(2, 3)
    kernels.advance(before, samples((2, 5, 3), torch.float32))
    assert all(map(torch.equal, before, no_moments(2, 3)))


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_odd_samples_stay_in_their_column(odd):
    given = samples((2, 20, 3), torch.float32)
    given[1, 11, 2] = odd
    found = same_on_each(lambda: kernels.advance(no_moments(2, 3), given))
    for mine, theirs in zip(found, advance(no_moments(2, 3), given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.broken_by(
    "kernels: choices and switches whitened",
    "kernels/moments.py",
    "return _whitened(rows, moments, encoder.measured)",
    "return _whitened(rows, moments, None)",
    case="dtype0-True-shape1",
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("dtype", KINDS)
def test_observations_are_whitened_as_in_torch(shape, measured, dtype):
    runs, _, width = shape
    mask = tuple(o % 3 != 1 for o in range(width)) if measured else None
    encoder, given = Encoder("box", width, normalize=True, measured=mask), samples(shape, dtype)
    moments = advance(no_moments(runs, width), samples(shape, torch.float32))
    [found] = same_on_each(lambda: [kernels.encode(encoder, given, moments)])
    assert same_bits(found, encoder.encode(given, moments))
    for row in range(runs):
        alone = kernels.encode(encoder, given[row : row + 1], row_of(moments, row))
        assert same_bits(alone, found[row : row + 1])


def test_observations_of_several_axes_and_odd_values():
    given = torch.randn(2, 5, 2, 3)
    given[1, 2, 1] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    for normalize in (False, True):
        encoder = Encoder("box", 6, normalize)
        [found] = same_on_each(lambda encoder=encoder: [kernels.encode(encoder, given, no_moments(2, 6))])
        assert same_bits(found, encoder.encode(given, no_moments(2, 6)))


@pytest.mark.parametrize("width", [1, 4, 33])
def test_discrete_observations_become_one_hot(width):
    encoder, given = Encoder("discrete", width, normalize=False), torch.randint(width, (3, 7))
    [found] = same_on_each(lambda: [kernels.encode(encoder, given, no_moments(3, width))])
    assert same_bits(found, encoder.encode(given, no_moments(3, width)))
    for outside in (-1, width):
        given[2, 4] = outside
        with pytest.raises(ValueError, match=rf"expected indices in \[0, {width}\)"):
            kernels.encode(encoder, given, no_moments(3, width))


@pytest.mark.parametrize(("clip", "scaled"), [(None, False), (1.5, False), (None, True)])
@pytest.mark.parametrize(("steps", "runs", "envs"), [(128, 1, 8), (3, 5, 1), (1, 1, 1)])
def test_rewards_are_scaled_as_in_torch(steps, runs, envs, clip, scaled):
    rewards = 50.0 * torch.randn(steps, runs, envs, dtype=torch.float64)
    rewards[0, 0, 0] = torch.nan
    moments = Moments(
        torch.ones(runs, dtype=torch.float64),
        torch.zeros(runs, 1, dtype=torch.float64),
        torch.linspace(0.5, 90.0, runs, dtype=torch.float64).unsqueeze(1),
    )
    config = SimpleNamespace(
        algo=SimpleNamespace(reward_clip=clip), env=SimpleNamespace(normalize_reward=scaled)
    )
    [found] = same_on_each(lambda: [kernels.scaled_rewards(config, moments, rewards)])
    wanted = statistics.scaled_rewards(config, moments, rewards)
    torch.testing.assert_close(found, wanted, rtol=2e-7, atol=0.0, equal_nan=True)


def test_arguments_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"mean: expected .* \[2, 4\]"):
        kernels.advance(no_moments(2, 3), torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match="samples: expected some"):
        kernels.advance(no_moments(2, 3), torch.zeros(2, 0, 3))
    encoder = Encoder("box", 3, normalize=True, measured=(True, False))
    with pytest.raises(ValueError, match="measured: expected"):
        kernels.encode(encoder, torch.zeros(2, 5, 3), no_moments(2, 3))
