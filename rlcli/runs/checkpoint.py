"""Checkpoints: the full state of one run in one safetensors file, and which of them are kept.

Nothing here is pickled: tensors by name, and JSON beside them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load, save

from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError, UserError
from rlcli.runs.files import read_bytes, storage_error, write_atomically
from rlcli.runs.index import FILE, Index, Kept
from rlcli.runs.versions import migrated

VERSION = 1
LAST_KEPT = 2
Which = Literal["last", "best"] | int


class Checkpoints:
    """The `checkpoints/` folder of one run."""

    def __init__(self, run_dir: Path, keep: int = 0) -> None:
        self.dir = run_dir / "checkpoints"
        if self.dir.is_symlink():
            raise StorageError(f"{self.dir} is a link; what lies in a run directory may not lead out of it.")
        self._keep = keep

    def save(self, checkpoint: Checkpoint, env_steps: int, best_return: float | None = None) -> Path:
        """Writes a checkpoint, drops those no longer kept; with `best_return` it becomes the best.

        Raises:
            StorageError: it could not be written; the earlier ones are untouched.
        """
        index, path = Index.read(self.dir), self._path(checkpoint.update)
        if checkpoint.update not in index.kept:
            content = _packed(checkpoint, env_steps)
            self._make_folder()
            write_atomically(path, content)
            index.saved += 1
            digest = hashlib.sha256(content).hexdigest()
            index.kept[checkpoint.update] = Kept(index.saved, env_steps, len(content), digest)
        index.last = checkpoint.update
        if best_return is not None:
            index.best, index.best_return = checkpoint.update, best_return
        dropped = self._dropped(index)
        for update in dropped:
            del index.kept[update]
        # Written before the files go: a crash in between leaves a file too many, never one too few.
        index.write(self.dir)
        self._delete(dropped)
        return path

    def load(self, which: Which = "last") -> Checkpoint:
        """A kept checkpoint, checked against the index.

        Raises:
            UserError: there is none of that name.
            StorageError: it is damaged.
        """
        index = Index.read(self.dir)
        if not index.kept and any(self.dir.glob("*.safetensors")):
            raise StorageError(f"{self.dir / FILE} is missing: without it no checkpoint can be trusted.")
        update = which if isinstance(which, int) else {"last": index.last, "best": index.best}[which]
        if update is None or update not in index.kept:
            updates = ", ".join(map(str, sorted(index.kept)))
            there = f"Kept are the updates {updates}." if updates else "None was saved yet."
            raise UserError(f"There is no checkpoint {which!r} in {self.dir.parent}. {there}")
        try:
            return _unpacked(self._path(update), update, index.kept[update])
        except StorageError as error:
            others = ", ".join(str(other) for other in sorted(index.kept) if other != update)
            raise StorageError(f"{error} {f'Kept besides: {others}.' if others else ''}".strip()) from error

    @property
    def best_return(self) -> float | None:
        """The evaluation return of the best checkpoint."""
        return Index.read(self.dir).best_return

    def _dropped(self, index: Index) -> list[int]:
        """Kept are the last two, the best, and every keep-th."""
        updates = sorted(index.kept)
        kept = {*updates[-LAST_KEPT:], index.best}
        if self._keep:
            kept |= {update for update in updates if index.kept[update].number % self._keep == 0}
        return [update for update in updates if update not in kept]

    def _make_folder(self) -> None:
        try:
            self.dir.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(self.dir, error) from error

    def _delete(self, updates: list[int]) -> None:
        for update in updates:
            path = self._path(update)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(path, error) from error

    def _path(self, update: int) -> Path:
        return self.dir / f"{update}.safetensors"


def _packed(checkpoint: Checkpoint, env_steps: int) -> bytes:
    about = {"version": VERSION, "update": checkpoint.update, "env_steps": env_steps}
    return save(checkpoint.tensors, metadata={"rlcli": json.dumps(about)})


def _unpacked(path: Path, update: int, kept: Kept) -> Checkpoint:
    """The checkpoint in a file that the index describes as `kept`."""
    content = read_bytes(path, largest=kept.bytes)
    if len(content) < kept.bytes:
        raise StorageError(f"{path} is damaged: it has {len(content)} of its {kept.bytes} bytes.")
    if hashlib.sha256(content).hexdigest() != kept.sha256:
        raise StorageError(f"{path} is damaged: its checksum is not the one in {FILE}.")
    try:
        tensors, about = load(content), _metadata(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: {error}.") from error
    about = migrated(path, about, VERSION)
    if about.get("update") != update:
        raise StorageError(f"{path} is the checkpoint of update {about.get('update')!r}, not of {update}.")
    return Checkpoint(tensors, update)


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON in the header of a safetensors file, whose length its first eight bytes are."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(json.loads(header["__metadata__"]["rlcli"]))
