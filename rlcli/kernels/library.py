"""The shared library of kernels, and the instruction set of it that this processor runs.

Results do not depend on the instruction set. Arguments are checked by the modules that call; this one knows
names and types alone.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from functools import cache
from typing import Any

from rlcli.kernels.build import LIBRARY, instruction_sets

FORCED = "RLCLI_KERNEL_ISA"
"""Environment variable that names the instruction set to use, for tests."""

Function = Callable[..., Any]


@cache
def library() -> ctypes.CDLL | None:
    """The library; None where none was built for this machine."""
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None


def available() -> tuple[str, ...]:
    """The instruction sets that this processor runs, widest first; none without a library."""
    found = library()
    if found is None:
        return ()
    names = tuple(instruction_sets(platform.machine()))
    return names[2 - found.rlcli_level() :] if "avx512" in names else names


def instruction_set() -> str | None:
    """The one in use: the widest, or the one that RLCLI_KERNEL_ISA names; None without a library."""
    names, forced = available(), os.environ.get(FORCED)
    if forced is not None and forced in names:
        return forced
    return names[0] if names else None


@cache
def function(name: str, *types: Any, isa: str | None = None, result: Any = None) -> Function:
    """The function `name`, whose arguments have these ctypes types.

    It returns nothing, or with `result` a number that is 0 unless there was no memory: then it raises.
    """
    found = library()
    assert found is not None
    call = getattr(found, f"rlcli_{name}_{isa or instruction_set()}")
    call.argtypes, call.restype = types, result
    if result is not None:
        call.errcheck = _enough
    return call  # type: ignore[no-any-return]


def _enough(failed: int, *_: Any) -> None:
    if failed:
        raise MemoryError("no memory for a kernel's intermediate results")


def version() -> int:
    """The version of the numbers: raised whenever any kernel gives other bits."""
    found = library()
    assert found is not None
    return int(getattr(found, f"rlcli_version_{instruction_set()}")())
