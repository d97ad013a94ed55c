"""Whether this machine's library of matrix products rounds a product alike alone and in a batch.

MKL looks at where each result lies in memory on some processors: of odd sizes, results of a batch lie
otherwise than alone. A cohort is probed for that when it starts, and trains one by one there.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from _pytest.mark.structures import ParameterSet


def alike() -> bool:
    """For products of odd sizes, of which results do not lie at multiples of 16 bytes."""
    draw = torch.Generator().manual_seed(0)
    for rows, inner, outputs in itertools.product((3, 11, 33), (2, 5, 8, 18), (3, 5, 7)):
        x, weight = (torch.randn(1, *shape, generator=draw) for shape in ((rows, inner), (inner, outputs)))
        batch = torch.bmm(x.repeat(3, 1, 1), weight.repeat(3, 1, 1))
        if not all(torch.equal(one, torch.bmm(x, weight)[0]) for one in batch):
            return False
    return True


def shapes(named: dict[str, Any]) -> list[ParameterSet]:
    """Cases of shapes of cohorts by name; odd sizes are left out where they round otherwise together."""
    odd = pytest.mark.skipif(not alike(), reason="products of odd sizes round by where they lie here")
    return [
        pytest.param(shape, id=name, marks=[odd] * ("odd sizes" in name)) for name, shape in named.items()
    ]
