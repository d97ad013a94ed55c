"""Digests of a run (digests.txt): one line per update, a digest per quantity, and a chain digest.

    # rlcli digests 2: update parameters optimiser normaliser collector metrics chain
    1 5f0c... 88ae... 03b1... 41d7... 9c2e... 70f4...

A chain digest hashes the previous chain digest and the line it ends, so the last one covers all lines, and a
line that was changed afterwards is found. Figures of time and evaluation are left out: training does not
depend on them.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from rlcli.backends.session import Array, Row
from rlcli.errors import StorageError
from rlcli.store.files import LineFile, is_there, open_plain, write_atomically
from rlcli.store.versions import refusal

VERSION = 2
FILE = "digests.txt"
QUANTITIES = ("parameters", "optimiser", "normaliser", "collector", "metrics")
HEADER = f"# rlcli digests {VERSION}: update {' '.join(QUANTITIES)} chain"
LEFT_OUT = ("time/", "actors/", "eval/", "final")
"""Prefixes of figures that may differ between equal updates."""

QUANTITY_OF = {
    "train.policy.parameters": "parameters",
    "train.queue.parameters": "parameters",
    "train.optimiser": "optimiser",
    "train.coefficient": "optimiser",
    "train.rate": "optimiser",
    "train.update": "optimiser",
    "train.policy.moments": "normaliser",
    "train.queue.moments": "normaliser",
    "train.reward_moments": "normaliser",
    "train.discounted": "normaliser",
    "train.phases": "collector",
    "train.kept": "collector",
    "collector": "collector",
}
"""Name or prefix of a state's tensors -> the quantity whose digest covers them."""

CHARACTERS = 32
"""Hexadecimal characters of a digest."""
LONGEST_LINE = 4096
LINES = {
    version: re.compile(rb"((0|[1-9][0-9]{0,17})(?: [0-9a-f]{32}){%d}) ([0-9a-f]{32})\n" % quantities)
    for version, quantities in ((1, 0), (VERSION, len(QUANTITIES)))
}
"""By version: the line up to its chain digest, its update, the chain digest."""


class Line(NamedTuple):
    """The digests of one update."""

    update: int
    quantities: tuple[str, ...]
    """One digest for each of QUANTITIES; empty in version 1."""
    chain: str


class Difference(NamedTuple):
    """The first update at which two runs differ."""

    update: int
    quantities: tuple[str, ...]
    """Quantities that differ; empty if the digests do not distinguish them."""


class Comparison(NamedTuple):
    """Comparison of the digests of two runs."""

    updates: int
    """Number of equal updates, of those that both have digests of."""
    last: int | None
    """The last of them."""
    difference: Difference | None

    @property
    def digests(self) -> int:
        """Number of equal digests."""
        return self.updates * len(QUANTITIES)


class Digests:
    """Writer of a run's digests."""

    def __init__(self, run_dir: Path, after: int = 0, every: int = 1) -> None:
        """Opens the file to continue after update `after`.

        Lines up to that update which a run with this `digest.every` has are kept.

        Raises:
            StorageError: the file is damaged, of another version, or cannot be replaced.
        """
        path = run_dir / FILE
        self._last = ""
        self._begun = is_there(path)
        if self._begun:
            _check_newest(path, version(run_dir))
            content = bytearray(f"{HEADER}\n".encode())
            for update, text in _texts(run_dir):
                if update <= after and every and update % every == 0:
                    content += text
                    self._last = text[-CHARACTERS - 1 : -1].decode()
            write_atomically(path, content)
        self._lines = LineFile(path)

    def add(self, row: Row, state: Mapping[str, Array]) -> Line:
        """Writes the digests of an update, from its row and the state after it.

        Raises:
            StorageError: they cannot be written.
        """
        line = _chained(self._last, row["update"], _digests(row, state))
        if not self._begun:
            self._lines.write(HEADER)
            self._begun = True
        self._lines.write(_written(line))
        self._last = line.chain
        return line

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()


def read_lines(run_dir: Path) -> Iterator[Line]:
    """The lines of a run's digests, one by one; a torn last one is left out.

    Raises:
        StorageError: the file is missing, of an unknown version, or a line is not the one that was written.
    """
    for _, text in _texts(run_dir):
        update, *digests, chain = text.decode().split()
        yield Line(int(update), tuple(digests), chain)


def check_digests(run_dir: Path) -> None:
    """Checks that a run's digests, if there are any, are undamaged and can be continued.

    Raises:
        StorageError: as `read_lines`, or they are of an older version.
    """
    path = run_dir / FILE
    if is_there(path):
        for _ in _texts(run_dir):
            pass
        _check_newest(path, version(run_dir))


def _check_newest(path: Path, found: int | str) -> None:
    """Raises `StorageError` if digests are not of the newest version."""
    if found != VERSION:
        raise StorageError(refusal(path, found, (VERSION,)))


def _texts(run_dir: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a run's digests as bytes, each with its update; see `read_lines`."""
    path = run_dir / FILE
    found = version(run_dir)
    if found not in (1, VERSION):
        raise StorageError(refusal(path, found, (1, VERSION)))
    pattern, chained = LINES[int(found)], found != 1
    last, chain = 0, b""
    with open_plain(path) as file:
        header = [file.readline(LONGEST_LINE)] if chained else []
        for number, text in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), len(header) + 1):
            if not text.endswith(b"\n") and len(text) < LONGEST_LINE:
                return  # torn by a crash
            read = pattern.fullmatch(text)
            # Version 1 has no chain to check: only the order of the updates.
            if read is None or int(read[2]) <= last or (chained and _chain(chain, read[1]) != read[3]):
                raise StorageError(f"{path} is damaged: line {number} is not what was written.")
            last, chain = int(read[2]), read[3]
            yield last, text


def last_line(run_dir: Path) -> Line | None:
    """The last line of a file that this process writes; None before the first."""
    if not is_there(run_dir / FILE):
        return None
    with open_plain(run_dir / FILE) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
        return _read(file.readlines()[-1])


def version(run_dir: Path) -> int | str:
    """The version of a run's digests; the beginning of the file if it has none.

    Raises:
        StorageError: the file is missing or cannot be read.
    """
    with open_plain(run_dir / FILE) as file:
        first = file.readline(LONGEST_LINE).decode(errors="replace")
    if not first.endswith("\n"):
        return VERSION  # nothing yet, or torn within the header
    if re.fullmatch(r"[0-9]+ [0-9a-f]{32}\n", first):
        return 1
    known = re.match(r"# rlcli digests ([0-9]{1,9}):", first)
    return int(known[1]) if known else first.strip()[:40]


def compare(left: Iterable[Line], right: Iterable[Line]) -> Comparison:
    """Compares two runs at the updates that both have digests of, up to the first difference."""
    updates, last = 0, None
    for one, other in _of_both(iter(left), iter(right)):
        difference = differing(one, other)
        if difference is not None:
            return Comparison(updates, last, difference)
        updates, last = updates + 1, one.update
    return Comparison(updates, last, None)


def differing(one: Line, other: Line) -> Difference | None:
    """The difference between two lines of the same update; None if they are equal.

    Chain digests also depend on which updates have digests, so they are compared only in version 1.
    """
    if not one.quantities or not other.quantities:
        return None if one.chain == other.chain else Difference(one.update, ())
    named = zip(QUANTITIES, one.quantities, other.quantities, strict=True)
    found = tuple(name for name, mine, theirs in named if mine != theirs)
    return Difference(one.update, found) if found else None


def _of_both(left: Iterator[Line], right: Iterator[Line]) -> Iterator[tuple[Line, Line]]:
    """Pairs of lines of the same update."""
    one, other = next(left, None), next(right, None)
    while one is not None and other is not None:
        if one.update == other.update:
            yield one, other
        before = one.update
        if one.update <= other.update:
            one = next(left, None)
        if other.update <= before:
            other = next(right, None)


def _digests(row: Row, state: Mapping[str, Array]) -> tuple[str, ...]:
    """One digest per quantity."""
    pieces: dict[str, list[bytes | memoryview]] = {name: [] for name in QUANTITIES}
    for name, array in state.items():
        if array.size:
            heading, quantity = _heading(name, array.dtype.str, array.shape)
            pieces[quantity] += (heading, array.data)
    pieces["metrics"].append(_packed(row))
    return tuple(hashlib.sha256(b"".join(parts)).hexdigest()[:CHARACTERS] for parts in pieces.values())


def _packed(row: Row) -> bytes:
    """The figures of a row that are digested, sorted by name: the names, then all numbers as float64."""
    names: list[str] = []
    numbers: list[float] = []
    for name in _digested(tuple(row)):
        value = row[name]
        if isinstance(value, list):
            names.append(f"{name} {len(value)};")
            numbers += value
        else:
            names.append(name + " 1;")
            numbers.append(value)
    return "".join(names or ";").encode() + struct.pack(f"<{len(numbers)}d", *numbers)


@lru_cache(maxsize=64)  # rows of a run have the same figures most of the time
def _digested(names: tuple[str, ...]) -> tuple[str, ...]:
    """The figures of a row that are digested, sorted."""
    return tuple(name for name in sorted(names) if not name.startswith(LEFT_OUT))


@lru_cache(maxsize=1024)
def _heading(name: str, dtype: str, shape: tuple[int, ...]) -> tuple[bytes, str]:
    """The bytes hashed before an array, and the quantity it belongs to."""
    return f"{name} {dtype} {shape};".encode(), quantity_of(name)


def quantity_of(name: str) -> str:
    """The quantity that a tensor of a state belongs to.

    Raises:
        LookupError: none; a new tensor of the state needs an entry in QUANTITY_OF.
    """
    for beginning, quantity in QUANTITY_OF.items():
        if f"{name}.".startswith(f"{beginning}."):
            return quantity
    raise LookupError(f"{name} belongs to no quantity of the digests")


def _chained(before: str, update: int, quantities: tuple[str, ...]) -> Line:
    """The line of an update; `before` is the chain digest of the line before."""
    ended = " ".join((str(update), *quantities)).encode()
    return Line(update, quantities, _chain(before.encode(), ended).decode())


def _chain(before: bytes, ended: bytes) -> bytes:
    """The chain digest at the end of a line, from the previous one and the rest of the line."""
    return hashlib.sha256(before + b" " + ended).hexdigest()[:CHARACTERS].encode()


def _written(line: Line) -> str:
    return " ".join((str(line.update), *line.quantities, line.chain))


def _read(text: bytes) -> Line | None:
    """Parses a line; None if it is not one."""
    if LINES[VERSION].fullmatch(text) is None:
        return None
    update, *digests, chain = text.decode().split()
    return Line(int(update), tuple(digests), chain)
