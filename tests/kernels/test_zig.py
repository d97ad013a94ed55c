"""The compiler of the ziglang wheel gives the bits of the system's, and compiles for ARM: minutes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rlcli.kernels import build, library
from rlcli.kernels.elementary import NAMES, elementary
from rlcli.nets.stacked.activations import ACTIVATIONS
from tests.kernels.test_network import in_c
from tests.nets.mlps import mlp, parameters_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed"),
]


@pytest.fixture
def zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library as the wheel's compiler builds it, in the place of the other."""
    target = tmp_path / "kernels.so"
    build.compile_with((sys.executable, *build.ZIG), target)
    found = library.load(target)
    with monkeypatch.context() as patch:
        patch.setattr(library, "load", lambda: found)
        library.function.cache_clear()
        yield
    library.function.cache_clear()


def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """Bits of elementary functions and of networks, for each instruction set."""
    for isa in library.available():
        monkeypatch.setenv(library.FORCED, isa)
        library.function.cache_clear()
        values = np.random.default_rng(0).standard_normal(10_001)
        for name in NAMES:
            for dtype in (np.float32, np.float64):
                yield np.nan_to_num(elementary(name, (10 * values).astype(dtype))).tobytes()
        torch.manual_seed(0)
        for activation in ACTIVATIONS:
            net = in_c(mlp(9, (64, 5), 3, 3, activation, False))
            passes = net.linearise(parameters_of(net, 2).float(), torch.randn(2, 141, 9))
            yield b"".join(part.numpy().tobytes() for part in passes.heads[:3] if part is not None)
            yield passes.vjp(passes.heads).numpy().tobytes()


def test_both_compilers_give_the_same_bits(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = list(computed(monkeypatch))
    request.getfixturevalue("zig")
    theirs = list(computed(monkeypatch))
    assert len(ours) > 20
    assert ours == theirs


def test_the_sources_compile_for_arm(tmp_path: Path) -> None:
    target = tmp_path / "kernels.so"
    compiler = (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu")
    build.compile_with(compiler, target, sets=build.ARM)
    assert b"rlcli_version_neon" in target.read_bytes()
