"""In what two runs differ: what they were told, what they ran on, what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.config.schema import KEYS, Effect
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
"""What another machine and other code do to a run's numbers."""


class Differing(NamedTuple):
    """One thing that is not the same in two runs; None where one has it not."""

    name: str
    left: Any
    right: Any
    effect: Effect


@dataclass(frozen=True)
class Differences:
    """Everything in which two runs differ."""

    told: list[Differing]
    """Config, overrides, packages, machine, code."""
    comparison: Comparison | None
    """By the digests; None when they cannot be compared."""
    reason: str | None
    """Why they cannot."""
    figures: tuple[dict[str, float], dict[str, float]]
    """The last row of each."""

    @property
    def same(self) -> bool:
        """Whether every update that both have digests of is the same, and there is one."""
        found = self.comparison
        return found is not None and found.difference is None and found.updates > 0


def differences(left: Path, right: Path) -> Differences:
    """Compares two run directories.

    Raises:
        UserError, StorageError: a config or a manifest cannot be read, or its digests are damaged.
    """
    told = [*_settings(left, right), *changed_since(surroundings(left), surroundings(right))]
    comparison, reason = _compared(left, right)
    return Differences(told, comparison, reason, (last_row(left), last_row(right)))


def surroundings(run_dir: Path) -> dict[str, Any]:
    """What a run had around it: packages, machine and code, by name.

    Raises:
        StorageError: the manifest or code.diff cannot be read.
    """
    manifest = Manifest.read(run_dir).content
    return {**manifest["packages"], **manifest["machine"], **_code(run_dir, manifest["code"])}


def changed_since(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Differing]:
    """In what two surroundings differ."""
    return list(_of(recorded, now, {**PACKAGES, **MACHINE, **CODE}))


def _settings(left: Path, right: Path) -> Iterator[Differing]:
    """Differences of the configs, and of what was typed."""
    effects = {name: key.declaration.effect for name, key in KEYS.items()}
    yield from _of(flatten(read_config(left)), flatten(read_config(right)), effects)
    typed, other = ({"overrides": Manifest.read(run_dir).content["overrides"]} for run_dir in (left, right))
    yield from _of(typed, other, {"overrides": "nothing"})


def _of(
    left: Mapping[str, Any], right: Mapping[str, Any], effects: Mapping[str, Effect]
) -> Iterator[Differing]:
    """Entries that differ; a package or a part of a machine that is not known here may affect results."""
    for name in dict.fromkeys([*left, *right]):
        if left.get(name) != right.get(name):
            yield Differing(name, left.get(name), right.get(name), effects.get(name, "maybe"))


def _code(run_dir: Path, code: Mapping[str, Any]) -> dict[str, Any]:
    """The code a run ran: its commit, and the digest of what was changed since."""
    changes = "too many to be kept" if code["dirty"] else "none"
    if code["diff"] is not None:
        changes = hashlib.sha256(read_bytes(run_dir / DIFF, LARGEST_DIFF)).hexdigest()[:12]
    return {"commit": code["commit"], "uncommitted changes": changes}


def _compared(left: Path, right: Path) -> tuple[Comparison | None, str | None]:
    """The comparison of the digests, or why there is none."""
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
