"""base.yaml: what a sweep with a sampler was begun with, by which its trials are composed and judged."""

from __future__ import annotations

from pathlib import Path

from rlcli.config.schema import RunConfig
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import StorageError, UserError
from rlcli.store.files import read_text, write_atomically
from rlcli.sweeps.objectives import search_fits

FILE = "base.yaml"


def write_base(directory: Path, base: RunConfig) -> None:
    """Keeps the settings in the sweep's directory."""
    write_atomically(directory / FILE, to_yaml(base).encode())


def read_base(directory: Path) -> RunConfig:
    """The settings of a sweep.

    Raises:
        StorageError: they are missing or damaged.
        UserError: Optuna is missing.
    """
    path = directory / FILE
    base = from_yaml(read_text(path), str(path))
    faults = [fault for fault in search_fits(base, {}) if "sweep.sampler" not in fault.keys]
    if base.sweep.sampler == "none" or faults:
        said = "; ".join(fault.text for fault in faults) or "it has no sampler"
        raise StorageError(f"{path} is damaged: {said}")
    missing = [fault.text for fault in search_fits(base, {})]
    if missing:
        raise UserError(*missing)
    return base
