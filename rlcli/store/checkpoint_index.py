"""Checkpoint index (checkpoints/index.json): which are kept, the last, the best, their checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rlcli.errors import StorageError
from rlcli.store.files import is_there, read_json, write_json
from rlcli.store.versions import migrated

VERSION = 2
FILE = "index.json"
CHECKSUM = "sha256"
Number = TypeVar("Number", int, float)


@dataclasses.dataclass(frozen=True)
class Kept:
    """One checkpoint file."""

    number: int
    """Checkpoints saved on schedule up to and including this one."""
    due: bool
    """Whether it was saved on schedule, not because the run ended there."""
    env_steps: int
    bytes: int
    sha256: str


@dataclasses.dataclass
class Index:
    """The checkpoints of a run, by the update after which they were saved.

    `course_best` leaves out an evaluation that was made only because the run ended: a resumed run does not
    have it.
    """

    saved: int = 0
    """Checkpoints saved on schedule since the run began, kept or not."""
    last: int | None = None
    best: int | None = None
    best_return: float | None = None
    """Evaluation return of the best."""
    course_best: int | None = None
    course_return: float | None = None
    kept: dict[int, Kept] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Index:
        """Reads the index of a checkpoints folder; empty if none was written yet.

        Raises:
            StorageError: it is damaged, or of a version this rlcli does not know.
        """
        path = folder / FILE
        if not is_there(path):
            return cls()
        content = migrated(path, read_json(path), VERSION)
        try:
            found = cls(
                saved=_whole(content["saved"]),
                last=_optional(_whole, content["last"]),
                best=_optional(_whole, content["best"]),
                best_return=_optional(_number, content["best_return"]),
                course_best=_optional(_whole, content["course_best"]),
                course_return=_optional(_number, content["course_return"]),
                kept={_update(name): _kept(about) for name, about in content["kept"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{path} is damaged: {error}.") from error
        if content.pop(CHECKSUM, None) != checksum(content):
            raise StorageError(f"{path} is damaged: its content does not match its checksum.")
        return found

    def write(self, folder: Path) -> None:
        """Replaces the file, whole or not at all."""
        content = {"version": VERSION, **dataclasses.asdict(self)}
        # Numbers of updates become text in JSON; the checksum is of what will be read.
        content["kept"] = {str(update): about for update, about in content["kept"].items()}
        write_json(folder / FILE, content | {CHECKSUM: checksum(content)})

    def set_best(self, update: int, best_return: float, on_schedule: bool) -> None:
        """Makes a checkpoint the best; with `on_schedule` also the best of the course."""
        self.best, self.best_return = update, best_return
        if on_schedule:
            self.course_best, self.course_return = update, best_return

    def set_last(self, update: int) -> None:
        """Makes a checkpoint the last."""
        self.last = update

    def count_scheduled(self) -> None:
        """Counts a checkpoint that was saved on schedule."""
        self.saved += 1

    def drop(self, every: int) -> list[int]:
        """Removes checkpoints that need not be kept; their updates, whose files are to be deleted.

        Kept are the last two, the best, and every `every`-th on schedule. One that was saved only because the
        run ended is deleted as soon as there is a later one: a resumed run keeps what an uninterrupted keeps.
        """
        updates = sorted(self.kept)
        if not updates:
            return []
        due = [update for update in updates if self.kept[update].due]
        kept = {updates[-1], self.best, self.course_best, *due[-1:], *([] if due else updates[-2:])}
        if self.kept[updates[-1]].due:
            kept |= set(due[-2:])
        if every:
            kept |= {update for update in due if self.kept[update].number % every == 0}
        dropped = [update for update in updates if update not in kept]
        for update in dropped:
            del self.kept[update]
        return dropped


def checksum(content: dict[str, Any]) -> str:
    """Checksum of a JSON object, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _kept(about: dict[str, Any]) -> Kept:
    digest, due = about["sha256"], about["due"]
    if not isinstance(digest, str):
        raise TypeError(f"{digest!r} is not a checksum")
    if type(due) is not bool:
        raise TypeError(f"{due!r} is neither true nor false")
    return Kept(_whole(about["number"]), due, _whole(about["env_steps"]), _whole(about["bytes"]), digest)


def _update(name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", name):
        raise TypeError(f"{name!r} is not the number of an update")
    return int(name)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _optional(read: Callable[[Any], Number], value: Any) -> Number | None:
    return None if value is None else read(value)
