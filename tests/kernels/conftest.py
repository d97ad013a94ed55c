"""The library of kernels that tests call, and its instruction sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from rlcli.kernels import build, library

OTHER = "TESTED_KERNELS"
"""Environment variable with the path of another library to test, as `make sanitize` sets it."""

if OTHER in os.environ:
    original, tested = library.load, Path(os.environ[OTHER])
    library.load = lambda path=build.LIBRARY: original(tested if path == build.LIBRARY else path)  # type: ignore[assignment]


@pytest.fixture(params=library.available() or ["none"])
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set that this processor runs."""
    return str(request.param)


@pytest.fixture(autouse=True)
def kernels() -> None:
    """Tests here need the library: without a compiler they are skipped, else they say what to do."""
    found = library.problem()
    if found is None:
        return
    if next(build.compilers(), None) is None:
        pytest.skip(found)
    pytest.fail(f"{found}. Build it: {library.remedy()}")


@pytest.fixture(autouse=True)
def drawn_alike() -> None:
    """The numbers that a test draws are the same whichever tests ran before it."""
    torch.manual_seed(0)
