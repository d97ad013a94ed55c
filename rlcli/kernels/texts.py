"""Numbers as text in C: what `float.__repr__` gives, in a tenth of the time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from ctypes import byref, c_int64, c_void_p, create_string_buffer
from functools import cache

from rlcli.kernels import library

POWERS = range(-292, 325)
"""Powers of ten in the table of texts.h."""
TEXT_BYTES = 26
"""Of the longest text, and a blank."""


def texts(values: Iterable[float]) -> list[str]:
    """`float.__repr__` of every value; there must be a library."""
    given, length = array("d", values), c_int64(0)
    room = create_string_buffer(TEXT_BYTES * len(given) + 1)
    library.function("texts", c_int64, *(c_void_p,) * 4)(
        len(given), given.buffer_info()[0], _powers().buffer_info()[0], room, byref(length)
    )
    return room.raw[: length.value].decode("ascii").split()


@cache
def _powers() -> array[int]:
    """The table: 10^k times a power of two, rounded up to 128 bits, as two words each."""
    found: list[int] = []
    for power in POWERS:
        top, bottom = (10**power, 1) if power >= 0 else (1, 10**-power)
        shift = 127 - (top.bit_length() - bottom.bit_length())
        rounded = _divided(top, bottom, shift)
        if rounded >= 1 << 128:
            rounded = _divided(top, bottom, shift - 1)
        elif rounded < 1 << 127:
            rounded = _divided(top, bottom, shift + 1)
        found += divmod(rounded, 1 << 64)
    return array("Q", found)


def _divided(top: int, bottom: int, shift: int) -> int:
    """top 2^shift / bottom, rounded up."""
    top, bottom = (top << shift, bottom) if shift >= 0 else (top, bottom << -shift)
    return -(-top // bottom)
