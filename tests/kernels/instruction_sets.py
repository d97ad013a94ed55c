"""Results of a kernel on every instruction set of this machine, which must be the same to the last bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from unittest import mock

from torch import Tensor

from rlcli.kernels.library import FORCED, available, function


def same_on_each(call: Callable[[], Iterable[Tensor]]) -> tuple[Tensor, ...]:
    """What `call` returns, after comparing it between all instruction sets."""
    found = []
    for name in available():
        with mock.patch.dict(os.environ, {FORCED: name}):
            function.cache_clear()
            found.append(tuple(call()))
    function.cache_clear()
    for name, other in zip(available(), found, strict=True):
        for mine, first in zip(other, found[0], strict=True):
            assert same_bits(mine, first), name
    return found[0]


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are of one kind and equal bit by bit; any NaN is any other."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if not left.is_floating_point():
        return left.equal(right)
    either = (left.isnan() & right.isnan()) | ((left == right) & (left.signbit() == right.signbit()))
    return bool(either.all())
