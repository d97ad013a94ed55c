"""Provenance of a run: package versions, platform, processor, and the commit of the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.config.declaration import Effect

DIFF = ("diff", "--no-ext-diff", "--no-color", "--binary", "HEAD")
PACKAGES: Mapping[str, Effect] = {
    "rlcli": "maybe", "torch": "maybe", "numpy": "maybe", "gymnasium": "maybe", "hydra-core": "nothing",
    "omegaconf": "nothing", "safetensors": "nothing", "stable-baselines3": "maybe", "sb3-contrib": "maybe",
    "wandb": "nothing", "typer": "nothing", "rich": "nothing", "box2d": "maybe", "mujoco": "maybe",
    "ale-py": "maybe", "envpool": "maybe",
}  # fmt: skip
"""Packages whose versions are recorded, with the effect of another version on a run's numbers."""


class Code(NamedTuple):
    """The commit from which rlcli runs; None and empty outside of a git checkout."""

    commit: str | None
    dirty: bool | None
    """Whether tracked files differ from the commit."""
    diff: bytes
    """The uncommitted changes."""


@cache
def packages() -> dict[str, str]:
    """Versions of the installed packages, by name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine(device: str) -> dict[str, Any]:
    """Python, platform, processor and accelerator."""
    import torch

    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": processor(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def code() -> Code:
    """The code of this process, as git reported it at the first call."""
    folder = checkout()
    # A virtual environment may be inside a checkout of another project.
    if git(folder, "ls-files", "--error-unmatch", "rlcli/__init__.py") is None:
        return Code(None, None, b"")
    commit, diff = git(folder, "rev-parse", "HEAD"), git(folder, *DIFF)
    if commit is None or diff is None:
        return Code(None, None, b"")
    return Code(commit.decode().strip(), bool(diff), diff)


def checkout() -> Path:
    """The folder with the code of this process, a git checkout or not."""
    return Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> bytes | None:
    """The output of git; None if it fails or is not installed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False, env=git_environment())
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def git_environment() -> dict[str, str]:
    """The process environment without variables that point git at another repository, as hooks set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


@cache
def processor() -> str:
    """The processor's name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
