"""What training asks of its process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import rlcli

FAULTS = """
import resource, torch
from rlcli.backends.process import prepare

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

prepare(1)
assert torch.get_num_threads() == 1
size = 9 * 2**20  # 36 MiB: glibc comes to keep up to 32 of its own accord
for _ in range(12):
    torch.ones(size)
before = faults()
for _ in range(3):
    torch.ones(size)
print(faults() - before)
"""


@pytest.mark.broken_by(
    "freed memory goes back to the system",
    "backends/process.py",
    "if set_option is not None:",
    "if set_option is None:",
)
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep their own ways")
def test_memory_that_was_freed_is_not_asked_for_again():
    found = os.environ | {"PYTHONPATH": str(Path(rlcli.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], env=found, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1000  # all of it anew would be 4 bytes * 9 * 2**20 * 3 / 4096 = 27,648
