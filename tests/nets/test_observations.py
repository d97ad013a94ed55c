"""Running moments against the moments of all data at once; what a network is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlcli.nets.observations import CLIP, Encoder, Moments, advance, no_moments


def moments_of(samples: torch.Tensor) -> Moments:
    data = samples.double().numpy()
    mean = data.mean(1)
    variance = ((data - mean[:, None]) ** 2).mean(1)
    return Moments(
        torch.full((len(data),), data.shape[1], dtype=torch.float64),
        torch.from_numpy(mean),
        torch.from_numpy(variance),
    )


@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("sizes", [[1], [7], [128, 128], [1, 1, 50, 3]])
def test_advancing_is_the_moments_of_everything_seen(sizes, shift):
    parts = [shift + torch.randn(2, size, 3) * torch.tensor([1.0, 10.0, 0.1]) for size in sizes]
    running = no_moments(2, 3)
    for part in parts:
        running = advance(running, part)
    for found, wanted in zip(running, moments_of(torch.cat(parts, 1)), strict=True):
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_moments_of_a_constant():
    running = advance(advance(no_moments(1, 1), torch.full((1, 5, 1), 3.0)), torch.full((1, 5, 1), 3.0))
    assert [leaf.item() for leaf in running] == [10.0, 3.0, 0.0]


def test_discrete_observations_become_one_hot():
    encoder = Encoder("discrete", 4, normalize=False)
    found = encoder.encode(torch.tensor([[0, 3, 1]]), no_moments(1, 4))
    assert found.tolist() == [[[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]]
    assert found.dtype == torch.float32


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3)])
@pytest.mark.parametrize("normalize", [False, True])
def test_boxes_of_any_shape_become_rows(shape, normalize):
    width = int(np.prod(shape))
    observations = torch.randn(2, 5, *shape)
    found = Encoder("box", width, normalize).encode(observations, no_moments(2, width))
    assert found.shape == (2, 5, width)
    torch.testing.assert_close(found, observations.reshape(2, 5, width))


def test_observations_are_whitened_by_the_moments_given():
    samples = 5.0 + 3.0 * torch.randn(2, 400, 3)
    moments = advance(no_moments(2, 3), samples)
    found = Encoder("box", 3, normalize=True).encode(samples, moments)
    assert found.dtype == torch.float32
    assert found.mean(1).abs().max() < 1e-5
    assert ((found * found).mean(1) - 1).abs().max() < 1e-4
    assert torch.equal(Encoder("box", 3, normalize=False).encode(samples, moments), samples)


def test_every_run_is_whitened_by_its_own_moments_and_clipped():
    moments = Moments(
        torch.ones(2), torch.tensor([[0.0], [100.0]]).double(), torch.tensor([[1.0], [4.0]]).double()
    )
    found = Encoder("box", 1, normalize=True).encode(torch.tensor([[[3.0], [104.0]]] * 2), moments)
    assert found.flatten().tolist() == pytest.approx([3.0, CLIP, -CLIP, 2.0])


def test_choices_and_switches_are_not_whitened():
    samples = 5.0 + 3.0 * torch.randn(2, 400, 3)
    moments = advance(no_moments(2, 3), samples)
    everything = Encoder("dict", 3, normalize=True).encode(samples, moments)
    some = Encoder("dict", 3, normalize=True, measured=(False, True, False))
    for mixed in (some.encode(samples, moments), torch.from_numpy(some.on_host(moments)(samples.numpy()))):
        assert torch.equal(mixed[..., 1], everything[..., 1])
        assert torch.equal(mixed[..., ::2], samples[..., ::2].clamp(-CLIP, CLIP))
        assert not torch.equal(mixed[..., 0], everything[..., 0])


def test_a_constant_observation_stays_finite():
    moments = advance(no_moments(1, 1), torch.full((1, 5, 1), 3.0))
    found = Encoder("box", 1, normalize=True).encode(torch.tensor([[[3.0], [3.1]]]), moments)
    assert found.flatten().tolist() == [0.0, CLIP]
