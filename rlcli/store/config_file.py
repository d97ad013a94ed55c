"""Resolved config of a run: config.yaml, and the checks that it is the one the run trained with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rlcli.config import schema
from rlcli.config.plain_yaml import read_mapping
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten, from_yaml, leaves
from rlcli.errors import StorageError
from rlcli.store.files import read_text
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.manifest import Manifest
from rlcli.store.versions import refusal

FILE = "config.yaml"


def read_config(run_dir: Path) -> RunConfig:
    """The resolved config of a run.

    Raises:
        StorageError, UserError: it is missing, damaged, of another version, or invalid.
    """
    path = run_dir / FILE
    if (run_dir / MANIFEST).exists():
        _check_version(path, Manifest.read(run_dir))
    return from_yaml(read_text(path), str(path))


def read_trained_config(run_dir: Path, manifest: Manifest) -> tuple[RunConfig, str]:
    """The config with which a run trained last, and the checksum of its file.

    Raises:
        StorageError, UserError: as `read_config`, or it was changed by hand.
    """
    path = run_dir / FILE
    _check_version(path, manifest)
    text = read_text(path)
    resumes, recorded = manifest.content["resumes"], manifest.content["config_sha256"]
    found = hashlib.sha256(text.encode()).hexdigest()
    # A kill between manifest.json and config.yaml leaves the config from before the resume.
    known = {recorded, resumes[-1]["config_before"] if resumes else recorded}
    if recorded is not None and found not in known:
        raise StorageError(
            f"{path} is not the config this run trained with: it is damaged, or was changed by hand. "
            "Settings of a resumed run are changed with overrides."
        )
    return from_yaml(text, str(path)), found


def absent_keys(run_dir: Path) -> dict[str, Any]:
    """Keys added to the schema since a run's config was written, with the values assumed for them."""
    path = run_dir / FILE
    there = {name for name, _ in leaves(read_mapping(read_text(path), str(path)))}
    return {name: value for name, value in flatten(read_config(run_dir)).items() if name not in there}


def _check_version(path: Path, manifest: Manifest) -> None:
    """Raises `StorageError` if a config was written by another version of the schema."""
    written = manifest.content["config_version"]
    if written != schema.VERSION:
        raise StorageError(refusal(path, written, (schema.VERSION,)))
