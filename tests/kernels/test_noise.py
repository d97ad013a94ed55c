"""Philox against published vectors; noise against the distributions it is drawn from."""

from __future__ import annotations

import math
from ctypes import c_int64, c_void_p

import numpy as np
import pytest
import torch

from rlcli.kernels.library import available, function
from rlcli.kernels.noise import KINDS, noise

VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
"""Counter, key, result: of Random123, which is by the authors of Philox."""
DISTRIBUTIONS = {
    "gumbel": lambda x: np.exp(-np.exp(-x)),
    "normal": lambda x: 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
}
MOMENTS = {"gumbel": (0.5772157, math.pi**2 / 6), "normal": (0.0, 1.0), "logistic": (0.0, math.pi**2 / 3)}
MOST = 23.0
"""No draw of 32 bits is beyond."""


def words(text):
    """Hexadecimal words as numbers."""
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("isa", available())
def test_philox_has_the_published_results(isa):
    counters, keys, wanted = (
        np.array([words(vector[part]) for vector in VECTORS], np.uint32) for part in range(3)
    )
    found = np.zeros_like(wanted)
    call = function("philox", c_int64, *(c_void_p,) * 3, isa=isa)
    call(len(VECTORS), counters.ctypes.data, keys.ctypes.data, found.ctypes.data)
    assert (found == wanted).all()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_its_distribution(kind):
    x = noise(kind, [7], 1000, 200).flatten().double().numpy()
    mean, variance = MOMENTS[kind]
    error = math.sqrt(variance / len(x))
    assert abs(x.mean() - mean) < 4 * error
    assert abs(x.var() / variance - 1) < 4 * math.sqrt(6 / len(x))
    assert np.abs(x).max() < MOST
    ordered = np.sort(x[:50_000])
    places = np.arange(1, len(ordered) + 1) / len(ordered)
    distance = np.abs(DISTRIBUTIONS[kind](ordered) - places).max()
    # Kolmogorov and Smirnov: more in one of a thousand.
    assert distance * math.sqrt(len(ordered)) < 1.95


def test_normal_noise_is_normal_in_the_tails():
    x = noise("normal", [3], 4000, 1000).flatten()
    for bound in (3.0, 4.0, 4.5):
        share = math.erfc(bound / math.sqrt(2))
        found = float((x.abs() > bound).double().mean())
        assert abs(found - share) < 5 * math.sqrt(share / len(x))


def test_streams_and_their_elements_are_independent():
    x = torch.stack([noise("normal", [seed], 100, 500).flatten() for seed in (0, 1, 2, 2**62, 2**32)])
    correlations = torch.corrcoef(x) - torch.eye(len(x))
    assert correlations.abs().max() < 4.5 / math.sqrt(x.shape[1])
    for lag in (1, 2, 3, 4, 128):
        assert abs(float((x[:, lag:] * x[:, :-lag]).mean())) < 4.5 / math.sqrt(x.numel())


@pytest.mark.parametrize("kind", KINDS)
def test_noise_of_a_run_depends_on_its_seed_and_place_alone(kind):
    seeds = [5, 2**63 - 1, 0, 6, 1]
    for steps, count in ((3, 1), (7, 6), (70, 33), (1, 300), (0, 4), (4, 0)):
        together = [noise(kind, seeds, steps, count, isa) for isa in available()]
        assert together[0].shape == (steps, 5, count)
        assert all(torch.equal(together[0], other) for other in together)
        for row, seed in enumerate(seeds):
            alone = noise(kind, [seed], 1, steps * count)
            assert torch.equal(alone.flatten(), together[0][:, row].flatten())
    assert not torch.equal(noise(kind, [5], 3, 3), noise(kind, [6], 3, 3))


@pytest.mark.parametrize(
    ("seeds", "steps", "count"), [([-1], 1, 1), ([2**64], 1, 1), ([1], -1, 1), ([1], 1, -1)]
)
def test_noise_that_cannot_be_is_refused(seeds, steps, count):
    with pytest.raises(ValueError, match="no noise"):
        noise("normal", seeds, steps, count)
