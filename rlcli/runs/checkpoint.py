"""Checkpoints: the full state of one run in one safetensors file, and the index of those that are kept.

Nothing here is pickled: tensors by name, and JSON beside them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError, UserError
from rlcli.runs.files import read_json, storage_error, write_atomically, write_json

VERSION = 1
LAST_KEPT = 2
Which = Literal["last", "best"] | int


class Checkpoints:
    """The `checkpoints/` folder of one run."""

    def __init__(self, run_dir: Path, keep: int = 0) -> None:
        self.dir = run_dir / "checkpoints"
        self._keep = keep
        self._index_file = self.dir / "index.json"

    def save(self, checkpoint: Checkpoint, env_steps: int, best_return: float | None = None) -> Path:
        """Writes a checkpoint, drops those no longer kept; with `best_return` it becomes the best.

        Raises:
            StorageError: it could not be written; the earlier ones are untouched.
        """
        self.dir.mkdir(exist_ok=True)
        path = self._path(checkpoint.update)
        index = self._index()
        if str(checkpoint.update) not in index["kept"]:
            about = {"version": VERSION, "update": checkpoint.update, "env_steps": env_steps}
            content = save(checkpoint.tensors, metadata={"rlcli": json.dumps(about)})
            write_atomically(path, content)
            index["saved"] += 1
            index["kept"][str(checkpoint.update)] = {
                "number": index["saved"],
                "env_steps": env_steps,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        index["last"] = checkpoint.update
        if best_return is not None:
            index["best"], index["best_return"] = checkpoint.update, best_return
        dropped = self._dropped(index)
        for update in dropped:
            del index["kept"][update]
        write_json(self._index_file, index)
        for update in dropped:
            self._path(int(update)).unlink(missing_ok=True)
        return path

    def load(self, which: Which = "last") -> Checkpoint:
        """A kept checkpoint, checked against the index.

        Raises:
            UserError: there is none of that name.
            StorageError: it is damaged.
        """
        index = self._index()
        update = index.get(which) if isinstance(which, str) else which
        kept = sorted(int(name) for name in index["kept"])
        if update is None or update not in kept:
            there = f"Kept are the updates {', '.join(map(str, kept))}." if kept else "None was saved yet."
            raise UserError(f"There is no checkpoint {which!r} in {self.dir.parent}. {there}")
        path = self._path(update)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise storage_error(path, error) from error
        if hashlib.sha256(content).hexdigest() != index["kept"][str(update)].get("sha256"):
            raise StorageError(f"{path} is damaged: its checksum is not the one in {self._index_file.name}.")
        try:
            return Checkpoint(load(content), update)
        except SafetensorError as error:
            raise StorageError(f"{path} is damaged: {error}.") from error

    @property
    def best_return(self) -> float | None:
        """The evaluation return of the best checkpoint."""
        found = self._index().get("best_return")
        return None if found is None else float(found)

    def describe(self, update: int) -> dict[str, Any]:
        """The metadata inside a checkpoint file."""
        with safe_open(self._path(update), "pt") as file:
            return dict(json.loads(file.metadata()["rlcli"]))

    def _dropped(self, index: dict[str, Any]) -> list[str]:
        """Kept are the last two, the best, and every keep-th."""
        names = sorted(index["kept"], key=int)
        kept = set(names[-LAST_KEPT:]) | {str(index.get("best"))}
        if self._keep:
            kept |= {name for name in names if index["kept"][name]["number"] % self._keep == 0}
        return [name for name in names if name not in kept]

    def _index(self) -> dict[str, Any]:
        if not self._index_file.exists():
            return {"version": VERSION, "saved": 0, "last": None, "best": None, "best_return": None, "kept": {}}
        index = read_json(self._index_file)
        kept = index.get("kept")
        if not isinstance(kept, dict) or not all(
            name.isdecimal() and isinstance(about, dict) for name, about in kept.items()
        ):
            raise StorageError(f"{self._index_file} is damaged: it lists no checkpoints.")
        return index

    def _path(self, update: int) -> Path:
        return self.dir / f"{update}.safetensors"
