"""Config groups: their names, the choices of each, and the summary line of a choice.

Only names of files and their first lines are read, so that help and completion need neither Hydra nor YAML.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from rlcli.config.extensions import ROWS
from rlcli.errors import StorageError, UserError
from rlcli.plain import open_linked

GROUPS = ("algo", "env", "network", "alerts", "sweep", "tuned", "experiment")
"""The groups of the defaults list in conf/train.yaml."""

SYNTHESISED = {"sweep": ("none",), "tuned": ("auto", "none"), "experiment": ("none",)}
"""Choices that need no file; `env` takes any id besides."""
MOST_ENTRIES = 20_000
"""Maximum number of files and folders below a group."""
DEEPEST = 6
"""Maximum depth of folders below a group."""
LONGEST_LINE = 1000
"""Maximum bytes of the comment that describes a config."""


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


def group_names(config_dir: str | None = None) -> list[str]:
    """Every group: those of the defaults list, then those only `config_dir` has."""
    found = dict.fromkeys(GROUPS)
    for root in roots(config_dir):
        found.update(dict.fromkeys(sorted(path.name for path in _folders(root) if _is_group(path))))
    return list(found)


def files(group: str, config_dir: str | None = None) -> dict[str, Path]:
    """Choices of a group that have a file, by name (`ppo/CartPole-v1` in `tuned`)."""
    found: dict[str, Path] = {}
    for root in roots(config_dir):
        folder = root / group
        for path in sorted(_yamls(folder)):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    return found


def choices(group: str, config_dir: str | None = None) -> list[str]:
    """Every choice of a group by name; of `env`, those with a file."""
    found = files(group, config_dir)
    return [*SYNTHESISED.get(group, ()), *found, *(name for name in ROWS.get(group, ()) if name not in found)]


def summary(path: Path) -> str:
    """The first comment line of a config that is not a package header."""
    try:
        with open_linked(path) as file:
            for line in iter(lambda: file.readline(LONGEST_LINE).decode(errors="replace"), ""):
                if not line.startswith("#"):
                    return ""
                if not line.startswith("# @"):
                    return line.lstrip("# ").strip()
    except StorageError:
        return ""
    return ""


def _is_group(path: Path) -> bool:
    return next(_yamls(path), None) is not None


def _folders(root: Path) -> Iterator[Path]:
    """Folders directly in a folder, hidden ones left out.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            found = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise UserError(f"{root}: {error.strerror or error}.") from None
    yield from (root / name for name in found if not name.startswith((".", "_")))


def _yamls(folder: Path, depth: int = 0, entries_read: list[int] | None = None) -> Iterator[Path]:
    """Files named *.yaml below a folder, links to folders left out.

    Raises:
        UserError: there are far too many files for a folder of configs.
    """
    entries_read = [0] if entries_read is None else entries_read
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                entries_read[0] += 1
                if entries_read[0] > MOST_ENTRIES:
                    raise UserError(f"{folder}: too many files for a folder of configs; is it the right one?")
                if entry.is_dir(follow_symlinks=False):
                    if depth < DEEPEST:
                        yield from _yamls(Path(entry.path), depth + 1, entries_read)
                elif entry.name.endswith(".yaml") and entry.is_file():
                    yield Path(entry.path)
    except OSError:
        return
