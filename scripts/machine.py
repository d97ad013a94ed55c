"""Description of machine, versions and commit, for tables of measurements."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
LIBRARIES = ("torch", "numpy", "gymnasium", "stable-baselines3", "sb3-contrib", "wandb", "hydra-core")


def processor() -> str:
    """The processor's name as the system gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def git(*words: str) -> str:
    """What a git command says about this checkout."""
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit() -> str:
    """The commit of this checkout, marked '+' when files differ from it; 'none' outside git."""
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def description() -> dict[str, str]:
    """Machine, system and versions, as words for a table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "machine": f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES},
        "rlcli": f"{importlib.metadata.version('rlcli')} ({commit()})",
    }


def table(*described: dict[str, str]) -> list[str]:
    """The lines of a markdown table of a `description`, or of several: each value once."""
    values: dict[str, dict[str, None]] = {}
    for one in described:
        for name, value in one.items():
            values.setdefault(name, {})[value] = None
    return [
        "| measured on | |",
        "|---|---|",
        *(f"| {name} | {', '.join(found)} |" for name, found in values.items()),
    ]
