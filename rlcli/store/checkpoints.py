"""Checkpoints of a run: which are written and kept, and which one a run resumes from.

A kill between any two steps of saving loses nothing. The steps: metrics.jsonl and digests.txt reach the disk;
the checkpoint is written under another name, reaches the disk and is renamed; index.json is replaced in the
same way; files that are no longer kept are deleted; manifest.json is replaced. After a kill there is at worst
a whole checkpoint that the index does not list, whose own checksum validates it, a file too many, or a
leftover `*.new`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlcli.backends.session import Checkpoint
from rlcli.errors import StorageError, UserError
from rlcli.store.checkpoint_file import About, pack, unpack
from rlcli.store.checkpoint_index import FILE, Index, Kept
from rlcli.store.files import (
    check_file,
    check_folder,
    is_there,
    make_folder,
    read_bytes,
    storage_error,
    write_atomically,
)
from rlcli.store.rows import NOTHING, Span

LARGEST = 2**33
"""Bytes of the largest checkpoint that is read if the caller gives no limit."""
UNQUESTIONED = 2**26
"""Bytes up to which the caller's limit is not computed."""
Which = Literal["last", "best"] | int


@dataclass(frozen=True)
class Recovered:
    """The newest whole checkpoint of a run, and what was found on the way to it."""

    checkpoint: Checkpoint
    about: About
    index: Index
    """The index as it was when that checkpoint was saved."""
    faults: list[str]
    """Damage found, one sentence each."""


class Checkpoints:
    """The `checkpoints/` folder of one run."""

    def __init__(self, run_dir: Path, keep: int = 0, largest: Callable[[], int] = lambda: LARGEST) -> None:
        """`largest` computes the size limit in bytes of this run's checkpoints; called if one is large."""
        self.dir = run_dir / "checkpoints"
        check_folder(self.dir)
        self._keep = keep
        self._largest = largest

    def save(
        self,
        checkpoint: Checkpoint,
        env_steps: int,
        best_return: float | None = None,
        *,
        due: bool = True,
        final: bool = False,
        owed: bool = False,
        replace: bool = False,
        rows: Span = NOTHING,
    ) -> Path:
        """Writes a checkpoint and deletes those no longer kept; with `best_return` it becomes the best.

        `due`: it is saved on schedule, not because the run ends here; `final`: the evaluation that makes it
        the best was made because the run ends here; `owed`: its evaluation was interrupted; `replace`: a
        checkpoint of this update is replaced. `rows` is the span of metrics.jsonl so far.

        Raises:
            StorageError: it could not be written; the earlier ones are untouched.
        """
        index, update = Index.read(self.dir), checkpoint.update
        there = index.kept.get(update)
        on_schedule = best_return is not None and not final
        due = due or on_schedule or (there is not None and there.due)
        if best_return is not None:
            index.set_best(update, best_return, on_schedule)
        if due and not (there is not None and there.due):
            index.count_scheduled()
        if replace or there is None or on_schedule or due != there.due:
            about = About(
                update, env_steps, index.saved, due, index.course_best, index.course_return, owed, *rows
            )
            index.kept[update] = self._write(pack(checkpoint, about), about, replaced=there is not None)
        index.set_last(update)
        dropped = index.drop(self._keep)
        # Written before the files go: a crash in between leaves a file too many, never one too few.
        index.write(self.dir)
        self._delete(self._path(other) for other in dropped)
        return self._path(update)

    def load(self, which: Which = "last") -> Checkpoint:
        """A kept checkpoint, checked against the index.

        Raises:
            UserError: there is none of that name.
            StorageError: it is damaged.
        """
        index = Index.read(self.dir)
        self._check_listed(index.kept)
        update = which if isinstance(which, int) else {"last": index.last, "best": index.best}[which]
        if update is None or update not in index.kept:
            updates = ", ".join(map(str, sorted(index.kept)))
            there = f"Kept: {updates}." if updates else "None was saved yet."
            raise UserError(f"There is no checkpoint {which!r} in {self.dir.parent}. {there}")
        try:
            return self._read(update, index.kept[update])[0]
        except StorageError as error:
            others = ", ".join(str(other) for other in sorted(index.kept) if other != update)
            raise StorageError(f"{error} {f'Kept besides: {others}.' if others else ''}".strip()) from error

    def recover(self) -> Recovered | None:
        """The newest whole checkpoint, with an index for it; None if none was ever saved. Changes nothing.

        Raises:
            StorageError: there are checkpoints, and all are damaged.
        """
        faults: list[str] = []
        try:
            index = Index.read(self.dir)
            if not index.kept and self._updates():
                faults.append(f"{self.dir / FILE} is missing: each checkpoint has its own checksum.")
        except StorageError as error:
            faults.append(f"{error} Each checkpoint has its own checksum.")
            index = Index()
        for update in sorted({*self._updates(), *index.kept}, reverse=True):
            try:
                checkpoint, about = self._read(update, index.kept.get(update))
            except StorageError as error:
                faults.append(f"{error} The one before it is used.")
                continue
            return Recovered(checkpoint, about, self._as_of(about, index), faults)
        if index.kept or self._updates():
            raise StorageError(" ".join(faults).replace(" The one before it is used.", ""))
        return None

    def adopt(self, index: Index) -> None:
        """Writes a recovered index to the folder and removes checkpoints that it does not list."""
        index.write(self.dir)
        listed = {self._path(update) for update in index.kept}
        ours = [self._path(update) for update in self._updates()]
        half = [path.with_name(f"{path.name}.new") for path in (*ours, *listed, self.dir / FILE)]
        half += [path for path in self.dir.glob("*.safetensors.new") if _number(path.name) is not None]
        self._delete(path for path in (*ours, *half) if path not in listed)

    @property
    def updates(self) -> list[int]:
        """Updates whose checkpoints are kept.

        Raises:
            StorageError: the index is damaged, or missing although there are checkpoints.
        """
        kept = Index.read(self.dir).kept
        self._check_listed(kept)
        return sorted(kept)

    @property
    def best_return(self) -> float | None:
        """The evaluation return of the best checkpoint."""
        return Index.read(self.dir).best_return

    def _check_listed(self, kept: Mapping[int, Kept]) -> None:
        """Raises `StorageError` where there are checkpoints, and the index lists none."""
        if not kept and any(self.dir.glob("*.safetensors")):
            raise StorageError(
                f"{self.dir / FILE} is missing: without it no checkpoint can be trusted; "
                "`rlcli resume` makes it again."
            )

    def _write(self, content: bytes, about: About, replaced: bool) -> Kept:
        """Writes a file; the entry of one that is replaced leaves the index first, else it looked damaged."""
        make_folder(self.dir)
        if replaced:
            without = Index.read(self.dir)
            del without.kept[about.update]
            without.write(self.dir)
        write_atomically(self._path(about.update), content)
        digest = hashlib.sha256(content).hexdigest()
        return Kept(about.number, about.due, about.env_steps, len(content), digest)

    def _read(self, update: int, kept: Kept | None) -> tuple[Checkpoint, About]:
        """The checkpoint in a file; `kept` is its entry in the index, None if it has none."""
        path = self._path(update)
        check_file(path)
        if is_there(path) and path.lstat().st_size > UNQUESTIONED:
            possible = self._largest()
            if path.lstat().st_size > possible:
                raise StorageError(
                    f"{path} is damaged: it has {path.lstat().st_size:,} bytes, and a checkpoint of this run "
                    f"at most {possible:,}."
                )
        content = read_bytes(path, largest=LARGEST if kept is None else kept.bytes)
        if kept is not None and len(content) < kept.bytes:
            raise StorageError(f"{path} is damaged: it has {len(content)} of its {kept.bytes} bytes.")
        if kept is not None and hashlib.sha256(content).hexdigest() != kept.sha256:
            raise StorageError(f"{path} is damaged: its checksum is not the one in {FILE}.")
        checkpoint, about = unpack(content, path)
        if about.update != update:
            raise StorageError(f"{path} is the checkpoint of update {about.update}, not of {update}.")
        return checkpoint, about

    def _as_of(self, about: About, index: Index) -> Index:
        """The index at the time a checkpoint was saved, without what has been damaged or lost since."""
        kept: dict[int, Kept] = {}
        for update in self._updates():
            if update > about.update:
                continue
            if update in index.kept and update != about.update:
                kept[update] = index.kept[update]
                continue
            with contextlib.suppress(StorageError):
                own = self._read(update, None)[1]
                content = read_bytes(self._path(update), LARGEST)
                digest = hashlib.sha256(content).hexdigest()
                kept[update] = Kept(own.number, own.due, own.env_steps, len(content), digest)
        best = about.best if about.best in kept else None
        found = Index(
            saved=about.number, last=about.update, best=best, best_return=about.best_return,
            course_best=best, course_return=about.best_return, kept=kept,
        )  # fmt: skip
        found.drop(self._keep)  # a kill may have prevented their removal
        return found

    def _updates(self) -> list[int]:
        """Updates of the checkpoint files that exist."""
        found = (_number(path.name) for path in self.dir.glob("*.safetensors"))
        return sorted(update for update in found if update is not None)

    def _delete(self, paths: Iterator[Path]) -> None:
        for path in list(paths):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(path, error) from error

    def _path(self, update: int) -> Path:
        return self.dir / f"{update}.safetensors"


def _number(name: str) -> int | None:
    """The update in the name of a checkpoint file; None if it is no such name."""
    stem = name.partition(".")[0]
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None
