"""Which results depend on the processor: `python scripts/cpu_dependence.py`, writes docs/results.

Every operation whose result enters a run's digests is computed in new processes, in which torch, MKL, numpy,
the C library and the kernels are told to leave out instructions that this processor has. A digest that differs
from that of a process without restrictions is a result that depends on the processor. What does not differ
here may still on processors of another maker; what does, does.
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
    """The digest of every operation, in this process."""
    from cpu_operations import OPERATIONS

    torch.set_num_threads(1)
    found = {operation.name: digest(operation.run()) for operation in OPERATIONS}
    return found | {f"{each.name} in C": digest(each.in_c()) for each in OPERATIONS if each.in_c}


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


def report(plain: dict[str, str], restricted: dict[str, list[dict[str, str]]]) -> str:
    """The page."""
    from cpu_operations import OPERATIONS

    def varies(name: str) -> str:
        found = [what for what, each in restricted.items() if any(one[name] != plain[name] for one in each)]
        return ", ".join(found) if found else "no"

    lines = [
        "# What depends on the processor",
        "",
        "By `python scripts/cpu_dependence.py`: each operation was computed again with torch, MKL, numpy, the C",
        "library (libm), oneDNN or the kernels restricted to fewer of the processor's instructions. *Varies with*",
        "names what changed any bit of its results; *in C* says the same of the kernel that stands for it, and",
        "is empty where this script knows none. What does not vary here was tried on one processor alone.",
        "",
        "Training with kernels in C promises equal digests on every processor for what is computed by kernels.",
        "It is not promised for: " + ", ".join(each.name for each in OPERATIONS if not each.promised) + ".",
    ]
    for group in dict.fromkeys(each.group for each in OPERATIONS):
        lines += ["", f"## {group.capitalize()}", "", "| | where | varies with | in C |", "|---|---|---|---|"]
        for each in OPERATIONS:
            if each.group == group:
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
