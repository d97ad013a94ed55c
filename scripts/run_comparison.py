"""Comparison of the numbers of two training runs: digests first, tensors and figures where digests differ.

Only public formats of a run directory are read (digests.txt, metrics.jsonl, checkpoints/*.safetensors), so
that runs of different revisions of rlcli can be compared. What only one side has is left out and named: a
figure, a tensor, a key, or a version of the digests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from safetensors.numpy import load_file

Array = npt.NDArray[Any]
LEFT_OUT = ("time/", "eval/", "final")
"""Beginnings of figures that may differ between equal runs."""
EVALUATION = "eval."
"""Beginning of the keys of evaluations, on which nothing that is compared depends."""
METRICS = "metrics"
"""The quantity of the digests that is the row of an update; all others are tensors."""
MISSING = object()


@dataclass
class Comparison:
    """What was found of one pair of runs."""

    updates: int = 0
    digests: int = 0
    """Digests found equal."""
    differences: list[str] = field(default_factory=list)
    """In order; empty where the runs are the same."""
    left_out: dict[str, None] = field(default_factory=dict)
    """What was not compared, by rule, each once and in order."""

    @property
    def figures_alone(self) -> bool:
        """Whether all that differs are figures: what was trained is the same to the last bit."""
        return bool(self.differences) and all(", figure " in text for text in self.differences)

    def note(self, text: str) -> None:
        """Remembers something that was left out."""
        self.left_out[text] = None


@dataclass(frozen=True)
class Digests:
    """digests.txt: the version in its header, and each update's digests by quantity."""

    version: str
    lines: Mapping[int, Mapping[str, str]]


def compare(left: Path, right: Path) -> Comparison:
    """Compares two run directories, `left` of the revision and `right` of this tree."""
    found = Comparison()
    for name in _only_one(_keys(left), _keys(right)):
        if not name.startswith(EVALUATION):
            found.note(f"key {name}")
    one, other = read_digests(left), read_digests(right)
    rows = read_rows(left), read_rows(right)
    if one.version != other.version:
        found.note(f"digests (versions {one.version} and {other.version}): tensors and figures are compared")
    for update in sorted({*one.lines, *other.lines}):
        if update not in one.lines or update not in other.lines:
            found.differences.append(f"update {update}: only one side has it")
            continue
        suspects = _suspects(found, one, other, update)
        if METRICS in suspects:
            found.differences += _figures(found, update, *(side.get(update, {}) for side in rows))
        tensors = [name for name in suspects if name != METRICS]
        if tensors:
            found.differences += _tensors(found, update, left, right, tensors)
        found.updates += 1
    return found


def _suspects(found: Comparison, one: Digests, other: Digests, update: int) -> list[str]:
    """Quantities whose digests are no proof that they are equal."""
    mine, theirs = one.lines[update], other.lines[update]
    if one.version != other.version:
        return list({**mine, **theirs})
    for name in _only_one(mine, theirs):
        found.note(f"quantity {name}")
    shared = [name for name in mine if name in theirs]
    differing = [name for name in shared if mine[name] != theirs[name]]
    found.digests += len(shared) - len(differing)
    return differing


def _figures(
    found: Comparison, update: int, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterator[str]:
    """Differences of the figures that both sides have."""
    for name in _only_one(left, right):
        found.note(f"figure {name}")
    for name in left:
        if name in right and left[name] != right[name]:
            yield f"update {update}, figure {name}: {left[name]} and {right[name]}"


def _tensors(found: Comparison, update: int, left: Path, right: Path, quantities: list[str]) -> Iterator[str]:
    """Differences of the tensors that both checkpoints of an update have; `quantities` differ by digest."""
    one, other = (_checkpoint(side, update) for side in (left, right))
    if one is None or other is None:
        yield f"update {update}, {', '.join(quantities)}: digests differ, and a side has no checkpoint of it"
        return
    for name in _only_one(one, other):
        found.note(f"tensor {name}")
    for name in one:
        if name in other and (said := _unlike(one[name], other[name])):
            yield f"update {update}, {', '.join(quantities)}, tensor {name}: {said}"


def _unlike(left: Array, right: Array) -> str:
    """In what two tensors differ; nothing where all their bits are the same."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return f"{left.shape} {left.dtype} and {right.shape} {right.dtype}"
    if left.tobytes() == right.tobytes():
        return ""
    differing = left != right
    furthest = np.abs(left.astype(np.float64) - right.astype(np.float64)).max()
    return f"{int(differing.sum())} of {left.size} elements differ, by {furthest:.3g} at most"


def read_digests(run_dir: Path) -> Digests:
    """The digests of a run, whatever their version and quantities."""
    header, *lines = (run_dir / "digests.txt").read_text().splitlines()
    title, _, columns = header.partition(":")
    names = columns.split()[1:-1]  # between the number of the update and the chain
    found = {}
    for line in lines:
        update, *digests = line.split()
        found[int(update)] = dict(zip(names, digests, strict=False))
    return Digests(title.rpartition(" ")[2], found)


def read_rows(run_dir: Path) -> dict[int, dict[str, Any]]:
    """The figures of a run that count, by update."""
    rows = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    return {
        row["update"]: {name: value for name, value in row.items() if not name.startswith(LEFT_OUT)}
        for row in rows
    }


def _checkpoint(run_dir: Path, update: int) -> dict[str, Array] | None:
    path = run_dir / "checkpoints" / f"{update}.safetensors"
    return load_file(path) if path.is_file() else None


def _keys(run_dir: Path) -> set[str]:
    return flat_keys(yaml.safe_load((run_dir / "config.yaml").read_text()))


def flat_keys(content: Any, prefix: str = "") -> set[str]:
    """The dotted names of a nested mapping's leaves."""
    if not isinstance(content, dict) or not content:
        return {prefix.rstrip(".")}
    return {name for key, value in content.items() for name in flat_keys(value, f"{prefix}{key}.")}


def _only_one(left: Any, right: Any) -> list[str]:
    return [name for name in sorted({*left, *right}) if (name in left) != (name in right)]
