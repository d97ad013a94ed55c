"""Programs that use an export in a process of their own, without rlcli."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def ran(program: str, *arguments: Path) -> str:
    """Output of a program of Python's, which ended well."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment, cwd=Path("/"), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
