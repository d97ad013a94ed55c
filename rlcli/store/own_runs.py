"""Runs made on this machine by this user: the modules that they name need no `--import` again.

A record of them is kept in the user's state directory, `$XDG_STATE_HOME/rlcli/own_runs` (default
~/.local/state), one line per run and module. A line is a checksum over the machine, the user, the run's id,
its folder, its config file, and the files from which the module was imported. So a run that was copied, moved
or altered is not found, nor one whose module would now come from elsewhere. What a run directory says about
itself is never believed. Without a state directory that can be written to, nothing is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.errors import StorageError
from rlcli.store import modules
from rlcli.store.files import is_there, read_bytes
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.manifest import Manifest

FILE = "own_runs"
CONFIG = "config.yaml"
CONFIGS = (CONFIG, "base.yaml")
"""Config of a run, and of a sweep's search."""
LARGEST = 2**26
"""Bytes of the record that are read, from its end; a line has about 150."""
MACHINE = Path("/etc/machine-id")


def remember(run_dir: Path, config: RunConfig, run_id: str | None = None, file: str = CONFIG) -> None:
    """Records a run that is made here, or a job without an id; `file` is where its config is written.

    One that names no modules needs no record.
    """
    _append(run_dir, {file: to_yaml(config).encode()}, run_id, _named(config, run_dir))


def renew(run_dir: Path, config: RunConfig, file: str = CONFIG) -> None:
    """Records a run again whose config is about to be replaced, if it is remembered as it is now."""
    names = remembered(run_dir, _named(config, run_dir))
    _append(run_dir, {file: to_yaml(config).encode()}, _id(run_dir), names)


def remembered(run_dir: Path, names: Sequence[str]) -> list[str]:
    """Those of the modules that a run of this user names, with which it was made on this machine."""
    if not names:
        return []
    try:
        configs = {name: read_bytes(run_dir / name) for name in CONFIGS if is_there(run_dir / name)}
    except StorageError:
        return []
    known = _recorded()
    ids = dict.fromkeys((_id(run_dir), None))  # a sweep records its jobs before they have an id
    return [
        name for name in names if any(_checksum(run_dir, configs, run_id, name) in known for run_id in ids)
    ]


def to_import(run_dir: Path, config: RunConfig) -> list[str]:
    """The modules that a run names and that the user has to name too, with `--import`."""
    names = _named(config, run_dir)
    known = remembered(run_dir, names)
    return [name for name in names if name not in known]


def _named(config: RunConfig, run_dir: Path) -> list[str]:
    """The modules that a config names; none if there are too many to look for, which is refused elsewhere."""
    few = len(modules.candidates(config)) <= modules.MOST
    return modules.named(config, run_dir) if few else []


def _append(run_dir: Path, configs: Mapping[str, bytes], run_id: str | None, names: Sequence[str]) -> None:
    sums = [_checksum(run_dir, configs, run_id, name) for name in names]
    place = json.dumps([run_id, str(run_dir.absolute())])
    lines = "".join(f"{one} {place}\n" for one in sums if one is not None)
    if not lines:
        return
    with contextlib.suppress(OSError), _opened(os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
        if file is not None:
            file.write(lines.encode())


def _recorded() -> frozenset[str]:
    """The checksums of all remembered runs."""
    with contextlib.suppress(OSError), _opened(os.O_RDONLY) as file:
        if file is not None:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LARGEST))
            return frozenset(line[:64].decode("ascii", "replace") for line in file.read().splitlines())
    return frozenset()


@contextlib.contextmanager
def _opened(flags: int) -> Iterator[BinaryIO | None]:
    """The record; None if there is no folder for it, or if another user could have written it."""
    folder = _state_dir()
    if folder is None:
        yield None
        return
    if flags & os.O_CREAT:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / FILE, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "rb" if flags == os.O_RDONLY else "ab") as file:
        found = os.fstat(handle)
        own = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        yield file if own and stat.S_ISREG(found.st_mode) else None


def _state_dir() -> Path | None:
    """The folder of rlcli in the user's state directory; None if the user has none."""
    given = os.environ.get("XDG_STATE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "rlcli"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".local" / "state" / "rlcli" if home.is_absolute() else None


def _checksum(run_dir: Path, configs: Mapping[str, bytes], run_id: str | None, module: str) -> str | None:
    """The checksum of a run and a module of it; None if the module is not found."""
    files = modules.files(module)
    if files is None:
        return None
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in configs.items()}
    about = [_machine(), os.geteuid(), run_id, str(run_dir.resolve()), digests, module, files]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _id(run_dir: Path) -> str | None:
    """The id of a run; None if it has not started."""
    if not is_there(run_dir / MANIFEST):
        return None
    try:
        return str(Manifest.read(run_dir).content["id"])
    except StorageError:
        return None


def _machine() -> str:
    try:
        return MACHINE.read_text(encoding="ascii").strip() or platform.node()
    except (OSError, ValueError):
        return platform.node()
