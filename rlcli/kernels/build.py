"""Build of the library of kernels: an object file per instruction set, linked into one shared library.

The compiler is the system's, else that of the ziglang wheel. The build backend runs this before anything of
rlcli is installed, so it imports the standard library alone.

    python -m rlcli.kernels.build           builds the library if it is missing or older than its sources
    python -m rlcli.kernels.build --needs   prints the packages that a build needs: nothing or ziglang
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).with_name("source")
LIBRARY = Path(__file__).with_name("kernels.so")

FLAGS = (
    "-std=gnu11", "-O3", "-g0", "-fPIC", "-fvisibility=hidden",
    # Only what is written as a fused multiply-add is one; the last two change no value.
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
X86: dict[str, tuple[str, ...]] = {
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
    "plain": (),
}
ARM: dict[str, tuple[str, ...]] = {"neon": ()}

NAMES = ("cc", "gcc", "clang")
"""Compilers that are looked for on PATH."""
WHEEL = "ziglang>=0.17"
"""The compiler that pip can install."""
ZIG = ("-m", "ziglang", "cc", "-mcpu=baseline")
"""Its arguments to Python; without the last it compiles for the processor it runs on."""
PREBUILT = "RLCLI_KERNELS"
"""Environment variable with the path of a library built elsewhere from the same sources: it is copied."""
MARK = b"rlcli kernels "
"""What stands in a library before the digest of its sources."""


class BuildError(Exception):
    """The library cannot be built here; the text says why, in one sentence."""


def instruction_sets(machine: str) -> dict[str, tuple[str, ...]]:
    """The instruction sets built for a machine, widest first, with the compiler's flags for each."""
    if machine in ("x86_64", "AMD64"):
        return X86
    return ARM if machine in ("aarch64", "arm64") else {"plain": ()}


def compilers() -> Iterator[tuple[str, ...]]:
    """The commands of the C compilers there are: the system's, then that of the ziglang wheel."""
    yield from ((found,) for name in NAMES if (found := shutil.which(name)))
    if importlib.util.find_spec("ziglang") is not None:
        yield (sys.executable, *ZIG)


def needs() -> list[str]:
    """Packages to install before a build: none where there is a compiler, or a library."""
    return [] if PREBUILT in os.environ or next(compilers(), None) else [WHEEL]


def digest() -> str:
    """Checksum of the sources and of the flags they are compiled with."""
    found = hashlib.sha256(repr((FLAGS, X86, ARM)).encode())
    for path in sorted(SOURCE.iterdir()):
        if path.suffix in (".c", ".h"):
            found.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return found.hexdigest()[:32]


def is_current(library: Path = LIBRARY) -> bool:
    """Whether there is a library, of these sources."""
    try:
        return MARK + digest().encode() in library.read_bytes()
    except OSError:
        return False


def build(target: Path = LIBRARY) -> None:
    """Compiles every instruction set and replaces `target` at once, by the first compiler that can.

    Processes that use the old library keep it.

    Raises:
        BuildError: no compiler can, or RLCLI_KERNELS names no library of these sources.
        OSError: `target` cannot be written.
    """
    if given := os.environ.get(PREBUILT):
        if not is_current(Path(given)):
            raise BuildError(f"{PREBUILT}={given} is not a library built from these sources")
        _replace(target, Path(given))
        return
    reasons = []
    for compiler in compilers():
        try:
            compile_with(compiler, target)
        except subprocess.CalledProcessError as error:
            reasons.append(f"{Path(error.cmd[0]).name}: {_last_line(error.stderr)}")
        else:
            return
    if reasons:
        raise BuildError(f"a C compiler failed ({'; '.join(reasons)})")
    raise BuildError("there is no C compiler (cc, gcc or clang), and the package ziglang is not installed")


def compile_with(
    compiler: Sequence[str],
    target: Path,
    *,
    flags: Sequence[str] = (),
    sets: Mapping[str, Sequence[str]] | None = None,
    kernels: Path | None = None,
) -> None:
    """Compiles kernels.c, or `kernels`, once per instruction set, by default this machine's, and links them.

    Raises:
        subprocess.CalledProcessError: the compiler failed; its `stderr` says why.
        OSError: `target` cannot be written.
    """
    sets = instruction_sets(platform.machine()) if sets is None else sets
    kernels = SOURCE / "kernels.c" if kernels is None else kernels
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        include = ("-I", str(SOURCE), f'-DSOURCES="{digest()}"')
        jobs = [[*include, str(SOURCE / "dispatch.c"), "-o", str(folder / "dispatch.o")]]
        jobs += [
            [*include, *extra, f"-DISA={isa}", str(kernels), "-o", str(folder / f"{isa}.o")]
            for isa, extra in sets.items()
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda job: _run([*compiler, *FLAGS, *flags, "-c", *job], folder), jobs))
        linked = folder / "linked.so"
        objects = [job[-1] for job in jobs]
        _run([*compiler, "-shared", *flags, *objects, "-o", str(linked), "-lm"], folder)
        _replace(target, linked)


def _run(command: Sequence[str], cache: Path) -> None:
    """Runs a compiler; what zig builds for itself goes to the folder `cache`."""
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache), **os.environ}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)


def _replace(target: Path, made: Path) -> None:
    """Puts a file in the place of another, so that there is never a part of one."""
    beside = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copyfile(made, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _last_line(text: str) -> str:
    """The line of a compiler's messages that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "without a message")


def notice(error: Exception) -> str:
    """What a person reads who installs rlcli where the library cannot be built."""
    return (
        f"rlcli has no kernels in C here and trains with torch, which is slower: {error}. Once there is a "
        "compiler (pip install ziglang is one): python -m rlcli.kernels.build"
    )


def main() -> int:
    """Builds the library where that is due; the exit code is 1 where it cannot be built."""
    if sys.argv[1:] == ["--needs"]:
        print(*needs())  # noqa: T201
    elif not is_current():
        try:
            build()
        except (BuildError, OSError) as error:
            print(notice(error), file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
