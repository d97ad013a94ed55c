"""The config files there are: groups, choices, what each says of itself. Reads names and first lines only."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from rlcli.errors import UserError

GROUPS = ("algo", "env", "network", "sweep", "tuned", "experiment")
"""The groups of the defaults list in conf/train.yaml."""

SYNTHESISED = {"sweep": ("none",), "tuned": ("auto", "none"), "experiment": ("none",)}
"""Choices that need no file; `env` takes any id besides."""


def conf_root() -> Path:
    """The folder of the packaged configs: the package rlcli.conf, or conf/ of a checkout not installed."""
    spec = importlib.util.find_spec("rlcli.conf")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).parents[2] / "conf"


def roots(config_dir: str | None = None) -> list[Path]:
    """Folders searched for configs, the first to have a file winning.

    Raises:
        UserError: `config_dir` is no folder.
    """
    if config_dir is None:
        return [conf_root()]
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"--config-dir {config_dir}: there is no such folder.")
    return [folder, conf_root()]


def groups(config_dir: str | None = None) -> list[str]:
    """Every group: those of the defaults list, then those only `config_dir` has."""
    found = dict.fromkeys(GROUPS)
    for root in roots(config_dir):
        found.update(dict.fromkeys(sorted(path.name for path in root.iterdir() if _is_group(path))))
    return list(found)


def files(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """Choices of a group that have a file, by name (`ppo/CartPole-v1` in `tuned`)."""
    found: dict[str, Path] = {}
    for root in roots(config_dir):
        folder = root / group
        for path in sorted(folder.rglob("*.yaml")):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def choices(group: str, config_dir: str | None = None) -> list[str]:
    """Every choice of a group by name; of `env`, those with a file."""
    return [*SYNTHESISED.get(group, ()), *files(group, config_dir)]


def summary(path: Path) -> str:
    """The first comment line of a config that is not a package header."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                return ""
            if not line.startswith("# @"):
                return line.lstrip("# ").strip()
    return ""


def _is_group(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "_")) and any(path.rglob("*.yaml"))
