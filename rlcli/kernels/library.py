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
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.errors import UserError, unknown
from rlcli.kernels.build import LIBRARY, SOURCE, digest, instruction_sets

FORCED = "RLCLI_KERNEL_ISA"
"""Environment variable that names the instruction set to use, for tests."""
LEVELS = {"avx512": 2, "avx2": 1}
"""What `rlcli_level` must give at least; every other instruction set runs on any processor of its kind."""

Function = Callable[..., Any]


class Loaded(NamedTuple):
    """The library, or why there is none."""

    handle: ctypes.CDLL | None
    problem: str | None


@cache
def load(path: Path = LIBRARY) -> Loaded:
    """Loads the library. One that was not built from the sources beside it counts as missing."""
    if not path.exists():
        return Loaded(None, f"no library was built: {path} does not exist")
    try:
        found = ctypes.CDLL(str(path))
        made_from = found.rlcli_sources
    except (OSError, AttributeError) as error:
        return Loaded(None, f"the library cannot be loaded: {error}")
    made_from.restype = ctypes.c_char_p
    if SOURCE.is_dir() and made_from() != digest().encode():
        return Loaded(None, f"the library is older than its sources: {path}")
    return Loaded(found, None)


def library() -> ctypes.CDLL | None:
    """The library; None where none can be used."""
    return load().handle


def problem() -> str | None:
    """Why there is no library; None where there is one."""
    return load().problem


def remedy() -> str:
    """The command that builds the library."""
    checkout = Path(__file__).parents[2]
    makes = (checkout / "Makefile").is_file() and (checkout / "pyproject.toml").is_file()
    return f"make -C {checkout} install" if makes else "python -m rlcli.kernels.build"


def available() -> tuple[str, ...]:
    """The instruction sets that this processor runs, widest first; none without a library."""
    found = library()
    return () if found is None else _runs(found)


@cache
def _runs(found: ctypes.CDLL) -> tuple[str, ...]:
    level = found.rlcli_level()
    return tuple(name for name in _built(found) if LEVELS.get(name, 0) <= level)


def _built(found: ctypes.CDLL) -> list[str]:
    """The instruction sets in a library."""
    return [name for name in instruction_sets(platform.machine()) if hasattr(found, f"rlcli_version_{name}")]


def instruction_set() -> str | None:
    """The one in use: the widest, or the one that RLCLI_KERNEL_ISA names; None without a library.

    Raises:
        UserError: RLCLI_KERNEL_ISA names none that this processor runs.
    """
    names, forced = available(), os.environ.get(FORCED)
    if not names:
        return None
    if not forced:
        return names[0]
    if forced in names:
        return forced
    known = instruction_sets(platform.machine())
    if forced in known:
        text = f"{FORCED}={forced}: this processor does not run it. Choose from: {', '.join(names)}."
    else:
        text = f"{FORCED}: " + unknown("instruction set", forced, names)
    raise UserError(text, hint=f"Without {FORCED} the widest is used, {names[0]}; results are the same.")


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
