"""Which results depend on the processor: `python scripts/cpu_dependence.py` writes docs/results.

Every operation whose result enters a run's digests is computed in new processes, in which torch, MKL, numpy,
the C library and the kernels are told to leave out instructions that this processor has. A digest that is
another than that of a process without restrictions is of a result that depends on the processor. What does
not differ here may still differ on processors of another maker.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import machine

TARGET = machine.RESULTS / "cpu_dependence.md"
VARIANTS = {
    "torch": ({"ATEN_CPU_CAPABILITY": "avx2"}, {"ATEN_CPU_CAPABILITY": "default"}),
    "MKL": ({"MKL_ENABLE_INSTRUCTIONS": "AVX2"}, {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
    "numpy": (
        {"NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX512_SPR AVX512_ICL X86_V4 X86_V3"},
    ),
    "libm": ({"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"},),
    "oneDNN": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    "kernels": ({"RLCLI_KERNEL_ISA": "avx2"}, {"RLCLI_KERNEL_ISA": "plain"}),
}
"""By what is restricted: environments, the wider instructions first."""


RUN = "run "
"""Beginning of the name of a result that is a whole run's."""


def digest(values: object) -> str:
    """Of all the bits of tensors and arrays; all NaN are one."""
    found = hashlib.sha256()
    for value in values:  # type: ignore[attr-defined]
        array = np.array(value.numpy() if isinstance(value, torch.Tensor) else value)
        if array.dtype.kind == "f":
            array[np.isnan(array)] = np.nan
        found.update(array.tobytes())
    return found.hexdigest()


def computed() -> dict[str, str]:
    """The digest of every operation and run, in this process."""
    from cpu_operations import OPERATIONS
    from cpu_runs import digests

    torch.set_num_threads(1)
    found = {operation.name: digest(operation.run()) for operation in OPERATIONS}
    found |= {f"{each.name} in C": digest(each.in_c()) for each in OPERATIONS if each.in_c}
    for name, quantities in digests():
        found |= {f"{RUN}{name}: {quantity}": value for quantity, value in quantities.items()}
    return found


def under(environment: dict[str, str]) -> dict[str, str]:
    """The digests of a process with these variables."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), "--digests"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def differing(run: str, plain: dict[str, str], others: list[dict[str, str]]) -> str:
    """The quantities of a run whose digests differ in any of the other processes."""
    names = [name for name in plain if name.startswith(f"{run}: ")]
    found = [name for name in names if any(other.get(name) != plain[name] for other in others)]
    return ", ".join(name.rpartition(": ")[2] for name in found) or "-"


INTRODUCTION = """# What depends on the processor

By `python scripts/cpu_dependence.py`: each operation was computed again with torch, MKL, numpy, the C library
(libm), oneDNN or the kernels restricted to fewer of the processor's instructions. *Varies with* names what
changed any bit of its results; *in C* says the same of the kernel that stands for it, and is empty where this
script knows none. One processor was tried: "no" is what was found there, not a promise of these libraries.

Whole runs, four updates each, are those of `scripts/same_numbers.py`; in brackets what they train with where
compute.kernel is auto. Named are the digests that differ.

The order of torch's sums is the same under all its restrictions on this processor, but it depends on shapes:
a sum over the gradient steps of several runs is rounded otherwise than that of one run alone.
"""
"""The page's beginning."""


def report(plain: dict[str, str], restricted: dict[str, list[dict[str, str]]]) -> str:
    """The page."""
    from cpu_operations import GROUPS, OPERATIONS

    def varies(name: str) -> str:
        found = [what for what, each in restricted.items() if any(one[name] != plain[name] for one in each)]
        return ", ".join(found) if found else "no"

    left_out = ", ".join(each.name for each in OPERATIONS if not each.promised)
    lines = [
        INTRODUCTION,
        f"Not covered by the promise of equal digests on every processor, with kernels too: {left_out}.",
    ]
    lines += [
        "",
        "## Whole runs",
        "",
        "| | " + " | ".join(restricted) + " |",
        "|---" * (len(restricted) + 1) + "|",
    ]
    runs = dict.fromkeys(name.split(": ")[0] for name in plain if name.startswith(RUN))
    for run in runs:
        cells = [differing(run, plain, each) for each in restricted.values()]
        lines.append(f"| {run.removeprefix(RUN)} | " + " | ".join(cells) + " |")
    for group, operations in GROUPS.items():
        lines += ["", f"## {group}", "", "| | where | varies with | in C |", "|---|---|---|---|"]
        for each in operations:
            in_c = varies(f"{each.name} in C") if each.in_c else ""
            where = f"`{each.where}`" if each.where else ""
            lines.append(f"| {each.name} | {where} | {varies(each.name)} | {in_c} |")
    return "\n".join([*lines, "", *machine.table(machine.description())]) + "\n"


def main() -> None:
    """Writes the page, or this process's digests to standard output."""
    if sys.argv[1:] == ["--digests"]:
        print(json.dumps(computed()))
        return
    restricted = {what: [under(each) for each in tried] for what, tried in VARIANTS.items()}
    TARGET.write_text(report(under({}), restricted))


if __name__ == "__main__":
    main()
