"""Numbers as text in C: character by character those of Python's repr."""

from __future__ import annotations

import math
import random
import struct

import pytest
import torch

from rlcli.kernels.texts import texts
from tests.kernels.instruction_sets import same_on_each

LIMITS = [
    0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 1e15,
    1e16, 1e22, 1e23, 9999999999999998.0, 123456789012345680.0, 1e-4, 9.999e-5, 0.1, 1 / 3, -100.0,
    9007199254740993.0, 2.0**-1022,
]  # fmt: skip


def of_bits(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def drawn(count: int) -> list[float]:
    draw = random.Random(0)
    found = [of_bits(draw.getrandbits(64)) for _ in range(count)]
    found += [draw.random() * 10.0 ** draw.randint(-8, 20) for _ in range(count)]
    found += [float(draw.randint(0, 10 ** draw.randint(1, 18))) for _ in range(count)]
    return found + [round(draw.random(), draw.randint(1, 6)) for _ in range(count)]


@pytest.mark.broken_by(
    "kernels: powers of ten rounded down",
    "kernels/texts.py",
    "return -(-top // bottom)",
    "return top // bottom",
    case="powers",
)
@pytest.mark.parametrize(
    "values",
    [LIMITS, [s * b**k for b in (2.0, 10.0) for k in range(-320, 308) for s in (1, -3)], drawn(20_000)],
    ids=["limits", "powers", "drawn"],
)
def test_texts_are_those_of_repr(values):
    assert texts(values) == [repr(value) for value in values]


def test_no_numbers():
    assert texts([]) == []


def test_every_instruction_set_has_them():
    values = drawn(500)
    same_on_each(lambda: [torch.tensor([ord(letter) for letter in " ".join(texts(values))])])
