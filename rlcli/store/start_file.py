"""What a fork begins from (start.safetensors): tensors taken from its parent, and which run that is.

The file is written before the run starts, so that a fork depends on nothing outside its directory: it is
resumed, reproduced and forked from its own. manifest.json repeats who the parent is, with the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from rlcli.backends.session import Initial
from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError
from rlcli.store.checkpoint_file import checked, largest_checkpoint, signed
from rlcli.store.files import is_there, read_bytes, write_atomically
from rlcli.store.manifest import Manifest
from rlcli.store.parent import Parent, is_parent

FILE = "start.safetensors"
VERSION = 1
UNQUESTIONED = 2**26
"""Bytes up to which no limit is computed from the config."""


@dataclass(frozen=True)
class Beginning:
    """What a fork begins from."""

    tensors: Initial
    parent: Parent


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors with their names, shapes and types."""
    return hashlib.sha256(save(dict(sorted(tensors.items())))).hexdigest()


def write_beginning(run_dir: Path, beginning: Beginning) -> None:
    """Writes the file.

    Raises:
        StorageError: it cannot be written.
    """
    content = signed(beginning.tensors, {"version": VERSION, "parent": beginning.parent.row()})
    write_atomically(run_dir / FILE, content)


def read_beginning(run_dir: Path, config: RunConfig) -> Beginning | None:
    """What the new run in a directory begins from; None if it is no fork.

    Raises:
        StorageError: the file is damaged.
    """
    path = run_dir / FILE
    if not is_there(path):
        return None
    tensors, header = checked(read_bytes(path, _limit(path, config)), path, VERSION)
    about = header.get("parent")
    if about is None or not is_parent(about):
        raise StorageError(f"{path} is damaged: wrong values of parent.")
    parent = Parent.of(about)
    if parent.digest != digest_of(tensors):
        raise StorageError(f"{path} is damaged: its tensors do not match their digest.")
    return Beginning(tensors, parent)


def recorded_beginning(run_dir: Path, config: RunConfig, manifest: Manifest) -> Beginning | None:
    """What a run that has started began from; None if it is no fork.

    Raises:
        StorageError: the file is missing or damaged, or not the one that the manifest records.
    """
    recorded = manifest.content["parent"]
    if recorded is None:
        return None
    found = read_beginning(run_dir, config)
    if found is None:
        raise StorageError(f"{run_dir / FILE} is missing: the run is a fork, and began from it.")
    if found.parent.row() != recorded:
        raise StorageError(
            f"{run_dir / FILE} is not what the run began from: manifest.json records another parent."
        )
    return found


def _limit(path: Path, config: RunConfig) -> int:
    """Maximum bytes of the file of a run with this config."""
    return UNQUESTIONED if path.lstat().st_size <= UNQUESTIONED else largest_checkpoint(config)
