"""digests.txt: one line an update, each digest over the one before, the policy and what the update measured.

Two runs are the same up to the first line that differs. Time and evaluation are left out: neither changes
what follows.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from rlcli.backends.session import Policy, Row
from rlcli.learner.state import named_leaves
from rlcli.runs.files import LineFile, storage_error, write_atomically

FILE = "digests.txt"
LEFT_OUT = ("time/", "eval/")
SIZE = 16
"""Bytes of a digest."""


class Digests:
    """The chain of one run, written as it grows; opened again, it goes on after the line of `after`."""

    def __init__(self, run_dir: Path, after: int = 0) -> None:
        path = run_dir / FILE
        self._lines = LineFile(path)
        self._last = ""
        if path.exists():
            kept = _lines_to(path, after)
            write_atomically(path, "".join(kept).encode())
            self._last = kept[-1].split()[-1] if kept else ""

    def add(self, row: Row, policy: Policy) -> None:
        """Writes the digest of an update, from its row and the policy it made.

        Raises:
            StorageError: it cannot be written.
        """
        figures = {name: value for name, value in row.items() if not name.startswith(LEFT_OUT)}
        digest = hashlib.blake2b(self._last.encode(), digest_size=SIZE)
        digest.update(json.dumps(figures, sort_keys=True).encode())
        for name, leaf in named_leaves(policy.snapshot).items():
            digest.update(f"{name} {leaf.dtype} {tuple(leaf.shape)}".encode())
            digest.update(leaf.cpu().contiguous().numpy().tobytes())
        self._last = digest.hexdigest()
        self._lines.write(f"{row['update']} {self._last}")

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()


def _lines_to(path: Path, update: int) -> list[str]:
    """The whole lines up to that of an update."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        raise storage_error(path, error) from error
    whole = [line for line in lines if re.match(r"[0-9]{1,18} \S+.*\n", line)]
    return [line for line in whole if int(line.split()[0]) <= update]
