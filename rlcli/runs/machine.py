"""What a run's numbers may depend on besides its config: packages, platform, processor, code."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

DIFF = ("diff", "--no-ext-diff", "--no-color", "--binary", "HEAD")
PACKAGES = (
    "rlcli", "torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "safetensors", "stable-baselines3",
    "wandb", "typer", "rich", "box2d", "mujoco", "ale-py", "envpool",
)  # fmt: skip


class Code(NamedTuple):
    """The commit rlcli runs from; all None when it is not a git checkout."""

    commit: str | None
    dirty: bool | None
    """Whether tracked files differ from the commit."""
    diff: bytes
    """How they do."""


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that are installed, by name."""
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
        "cpu": _processor(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def code() -> Code:
    """The code of this process, as git knew it when first asked."""
    folder = Path(__file__).resolve().parents[2]
    # An environment's site-packages may lie in a checkout of something else.
    if _git(folder, "ls-files", "--error-unmatch", "rlcli/__init__.py") is None:
        return Code(None, None, b"")
    commit, diff = _git(folder, "rev-parse", "HEAD"), _git(folder, *DIFF)
    if commit is None or diff is None:
        return Code(None, None, b"")
    return Code(commit.decode().strip(), bool(diff), diff)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None when it fails or is not there."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
