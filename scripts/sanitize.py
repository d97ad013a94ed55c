"""Tests of the kernels in C, compiled with the checks of AddressSanitizer and UndefinedBehaviorSanitizer.

    make sanitize

The library is built for the instruction sets plain and avx2 in a temporary folder, and tests/kernels run with
it. The first read or write outside of an array, and the first operation without a defined result, ends them
with its place in the sources.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rlcli.kernels.build import compile_with, instruction_sets

ROOT = Path(__file__).parents[1]
CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1")
WIDEST = "avx512"
"""Left out: it has the code of avx2 with other widths, and the checked build of it takes long."""
LIBRARY = "TESTED_KERNELS"
"""Environment variable by which tests/kernels take another library."""


def runtime(compiler: str) -> str:
    """The sanitizer's own library, which has to be loaded before Python."""
    asked = [compiler, "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).is_absolute():
        sys.exit(f"{compiler} has no libasan.so: install the sanitizers of gcc.")
    return found


def main() -> None:
    """Builds, tests, and exits with the code of pytest; the arguments are pytest's."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("gcc is needed.")
    sets = {name: flags for name, flags in instruction_sets(platform.machine()).items() if name != WIDEST}
    with tempfile.TemporaryDirectory(prefix="rlcli-sanitize-") as folder:
        library = Path(folder, "kernels.so")
        compile_with((compiler,), library, flags=CHECKS, sets=sets)
        checked = {
            LIBRARY: str(library),
            "LD_PRELOAD": runtime(compiler),
            # Python keeps what it allocates to its end.
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/kernels", *sys.argv[1:]]
        sys.exit(subprocess.run(tests, cwd=ROOT, env=os.environ | checked, check=False).returncode)


if __name__ == "__main__":
    main()
