"""digests.txt: one line an update, each digest over the one before, the policy and what the update measured.

Two runs are the same up to the first line that differs. Time and evaluation are left out: neither changes
what follows.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rlcli.backends.session import Policy, Row
from rlcli.learner.state import named_leaves
from rlcli.runs.files import LineFile

FILE = "digests.txt"
LEFT_OUT = ("time/", "eval/")
SIZE = 16
"""Bytes of a digest."""


class Digests:
    """The chain of one run, written as it grows."""

    def __init__(self, run_dir: Path) -> None:
        self._lines = LineFile(run_dir / FILE)
        self._last = ""

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
