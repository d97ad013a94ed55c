"""Extras of rlcli, `pip install 'rlcli[NAME]'`: the command that installs one where rlcli runs from."""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

OF_REQUIREMENT: Mapping[str, str] = {
    "gymnasium[box2d]": "box2d",
    "gymnasium[mujoco]": "mujoco",
    "ale-py": "atari",
}
"""Requirement of environments -> the extra that has it."""


def install_command(requirement: str) -> str:
    """The command that installs a requirement: that of its extra, if it has one."""
    extra = OF_REQUIREMENT.get(requirement)
    return f'pip install "{requirement}"' if extra is None else extra_command(extra)


def extra_command(extra: str) -> str:
    """The command that installs an extra.

    From a checkout with the environment that make made, that of make, which keeps to the pins; from another
    checkout the editable install; from an installed wheel the name of the package.
    """
    root = Path(__file__).resolve().parents[1]
    if not _is_checkout(root):
        return f"pip install 'rlcli[{extra}]'"
    here = root == Path.cwd()
    if Path(sys.prefix).resolve() == root / ".venv" and (root / "Makefile").is_file():
        folder = "" if here else f" -C {shlex.quote(str(root))}"
        return f"make{folder} install EXTRAS={extra}"
    target = f"{'.' if here else root}[{extra}]"
    return f"pip install -e {shlex.quote(target)}"


def _is_checkout(root: Path) -> bool:
    """Whether a folder is one with rlcli's own pyproject.toml."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(project.get("name") == "rlcli")
