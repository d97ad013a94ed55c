"""Draws for many seeds at once are numpy's, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlcli.envs.array.draws import FEW, in_numpy, uniform

LOW = np.array([-0.05, -np.pi, 0.0, 2.0, -1.0])
HIGH = np.array([0.05, np.pi, 1.0, 7.0, 1.0])


@pytest.mark.broken_by(
    "a draw's sum of halves without its carry",
    "envs/array/draws.py",
    " + (total < low[0])",
    "",
)
@pytest.mark.parametrize("draw", [in_numpy, uniform])
@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 5_000])
@pytest.mark.parametrize("width", [1, 2, 4, 5])
def test_uniform_draws_are_those_of_numpys_generators(draw: Any, count: int, width: int) -> None:
    edges = np.array([0, 1, 2**16, 2**31 - 1, 2**32 - 1])
    seeds = np.concatenate((edges, np.random.default_rng(count).integers(2**31, size=5_000)))[:count]
    low, high = LOW[:width], HIGH[:width]
    drawn = draw(seeds, low, high)
    assert drawn.shape == (width, count)
    for column, seed in enumerate(seeds.tolist()):
        assert drawn[:, column].tobytes() == np.random.default_rng(seed).uniform(low, high).tobytes()
