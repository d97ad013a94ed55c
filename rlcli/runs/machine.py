"""What a run's numbers may depend on besides its config: packages, platform, processor, code."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "rlcli", "torch", "numpy", "gymnasium", "hydra-core", "omegaconf", "safetensors", "stable-baselines3",
    "wandb", "typer", "rich", "box2d", "mujoco", "ale-py", "envpool",
)  # fmt: skip
LARGEST_DIFF = 2**20
"""Bytes of uncommitted changes that are kept beside the manifest."""


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


def code() -> tuple[dict[str, Any], str]:
    """The commit rlcli runs from and its uncommitted changes; empty when it is not a git checkout."""
    folder = Path(__file__).resolve().parents[2]
    commit = _git(folder, "rev-parse", "HEAD").strip()
    tracked = _git(folder, "ls-files", "--error-unmatch", "rlcli/__init__.py")
    if not commit or not tracked:
        return {"commit": None, "dirty": None}, ""
    diff = _git(folder, "diff", "HEAD")
    return {"commit": commit, "dirty": bool(diff), "diff_kept": 0 < len(diff) <= LARGEST_DIFF}, diff


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
