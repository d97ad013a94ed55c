"""How the C sources become one shared library: an object file per instruction set, by whatever compiler there is.

Run by the build backend, before anything of rlcli is installed: it imports the standard library alone.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("source")
LIBRARY = Path(__file__).with_name("kernels.so")

FLAGS = (
    "-std=gnu11", "-O3", "-fPIC", "-fvisibility=hidden",
    # Only what is written as a fused multiply-add is one; the last two change no value.
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
X86 = {
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
    "plain": (),
}
ARM = {"neon": ()}


def instruction_sets(machine: str) -> dict[str, tuple[str, ...]]:
    """The instruction sets built for a machine, widest first, with the compiler's flags for each."""
    if machine in ("x86_64", "AMD64"):
        return X86
    return ARM if machine in ("aarch64", "arm64") else {"plain": ()}


def compiler() -> tuple[str, ...] | None:
    """The command of a C compiler: the system's, else that of the ziglang wheel; None: there is none."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    return None


def build(target: Path = LIBRARY, flags: Sequence[str] = ()) -> None:
    """Compiles every instruction set and links them into `target`.

    Raises:
        OSError, subprocess.CalledProcessError: there is no compiler, or it failed.
    """
    command = compiler()
    if command is None:
        raise FileNotFoundError("no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        objects = [str(Path(folder, "dispatch.o"))]
        _run([*command, *FLAGS, *flags, "-c", str(SOURCE / "dispatch.c"), "-o", objects[0]])
        for name, extra in instruction_sets(platform.machine()).items():
            objects.append(str(Path(folder, f"{name}.o")))
            source = str(SOURCE / "kernels.c")
            _run([*command, *FLAGS, *extra, *flags, f"-DISA={name}", "-c", source, "-o", objects[-1]])
        made = Path(folder, target.name)
        _run([*command, "-shared", *flags, *objects, "-o", str(made), "-lm"])
        shutil.copy(made, target)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    build()
