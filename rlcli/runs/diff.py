"""Differences between two runs: settings, packages, machine, code, and results by their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.config.declaration import Effect
from rlcli.config.schema.keys import KEYS
from rlcli.config.serialise import flatten
from rlcli.store import digests
from rlcli.store.config_file import read_config
from rlcli.store.digests import Comparison, read_lines
from rlcli.store.files import read_bytes
from rlcli.store.manifest import DIFF, LARGEST_DIFF, Manifest
from rlcli.store.provenance import PACKAGES
from rlcli.store.rows import last_row

MACHINE: Mapping[str, Effect] = {
    "python": "maybe", "platform": "maybe", "cpu": "maybe", "gpu": "maybe", "torch_cpu_capability": "maybe",
}  # fmt: skip
CODE: Mapping[str, Effect] = {"commit": "maybe", "uncommitted changes": "maybe"}
"""The effect of another machine and of other code on a run's numbers."""


class Differing(NamedTuple):
    """One setting or version that differs between two runs; None if a run does not have it."""

    name: str
    left: Any
    right: Any
    effect: Effect


@dataclass(frozen=True)
class Differences:
    """All differences between two runs."""

    settings: list[Differing]
    """Config, overrides, packages, machine, code."""
    comparison: Comparison | None
    """Of the digests; None if they cannot be compared."""
    reason: str | None
    """Why they cannot be compared."""
    figures: tuple[dict[str, float], dict[str, float]]
    """The last row of metrics.jsonl of each."""

    @property
    def same(self) -> bool:
        """Whether all updates that both have digests of are equal, and there is at least one."""
        found = self.comparison
        return found is not None and found.difference is None and found.updates > 0


def differences(left: Path, right: Path) -> Differences:
    """Compares two run directories.

    Raises:
        UserError, StorageError: a config or a manifest cannot be read, or its digests are damaged.
    """
    settings = [*_settings(left, right), *provenance_changes(provenance(left), provenance(right))]
    comparison, reason = _compared(left, right)
    return Differences(settings, comparison, reason, (last_row(left), last_row(right)))


def provenance(run_dir: Path) -> dict[str, Any]:
    """Packages, machine and code with which a run was trained, by name.

    Raises:
        StorageError: the manifest or code.diff cannot be read.
    """
    manifest = Manifest.read(run_dir).content
    return {**manifest["packages"], **manifest["machine"], **_code(run_dir, manifest["code"])}


def provenance_changes(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Differing]:
    """Differences between two results of `provenance`."""
    return list(_differing(recorded, now, {**PACKAGES, **MACHINE, **CODE}))


def _settings(left: Path, right: Path) -> Iterator[Differing]:
    """Differences between the configs, and between the typed overrides."""
    effects = {name: key.declaration.effect for name, key in KEYS.items()}
    yield from _differing(flatten(read_config(left)), flatten(read_config(right)), effects)
    yield from _differing(_parent(left), _parent(right), {"fork of": "results"})
    typed, other = ({"overrides": Manifest.read(run_dir).content["overrides"]} for run_dir in (left, right))
    yield from _differing(typed, other, {"overrides": "nothing"})


def _parent(run_dir: Path) -> dict[str, Any]:
    """Of a fork, its parent with the start of the digest of what was taken."""
    parent = Manifest.read(run_dir).content["parent"]
    if parent is None:
        return {}
    return {"fork of": f"{parent['id']} at update {parent['update']}, {parent['digest'][:8]}"}


def _differing(
    left: Mapping[str, Any], right: Mapping[str, Any], effects: Mapping[str, Effect]
) -> Iterator[Differing]:
    """Entries that differ; packages and machine properties unknown here may affect results."""
    for name in dict.fromkeys([*left, *right]):
        if left.get(name) != right.get(name):
            yield Differing(name, left.get(name), right.get(name), effects.get(name, "maybe"))


def _code(run_dir: Path, code: Mapping[str, Any]) -> dict[str, Any]:
    """The code of a run: its commit, and a digest of its uncommitted changes."""
    changes = "too many to be kept" if code["dirty"] else "none"
    if code["diff"] is not None:
        changes = hashlib.sha256(read_bytes(run_dir / DIFF, LARGEST_DIFF)).hexdigest()[:12]
    return {"commit": code["commit"], "uncommitted changes": changes}


def _compared(left: Path, right: Path) -> tuple[Comparison | None, str | None]:
    """The comparison of the digests, or the reason why there is none."""
    for run_dir in (left, right):
        if not (run_dir / digests.FILE).is_file():
            return None, f"{run_dir} has no digests"
    versions = [digests.version(run_dir) for run_dir in (left, right)]
    comparison = digests.compare(read_lines(left), read_lines(right))
    if versions[0] != versions[1]:
        return (
            None,
            f"digests of version {versions[0]} cannot be compared with those of version {versions[1]}",
        )
    if comparison.updates == 0 and comparison.difference is None:
        return None, "there is no update that both have digests of"
    return comparison, None
