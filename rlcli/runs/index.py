"""checkpoints/index.json: which checkpoints are kept, which is the last and the best, and their checksums."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rlcli.errors import StorageError
from rlcli.runs.files import read_json, write_json
from rlcli.runs.versions import migrated

VERSION = 1
FILE = "index.json"
Number = TypeVar("Number", int, float)


@dataclasses.dataclass(frozen=True)
class Kept:
    """One checkpoint file."""

    number: int
    """How many checkpoints the run had saved with this one."""
    env_steps: int
    bytes: int
    sha256: str


@dataclasses.dataclass
class Index:
    """The checkpoints of a run, by the update after which they were saved."""

    saved: int = 0
    """Checkpoints saved since the run began, kept or not."""
    last: int | None = None
    best: int | None = None
    best_return: float | None = None
    """Evaluation return of the best."""
    kept: dict[int, Kept] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index of a checkpoints folder, an empty one if none was written yet.

        Raises:
            StorageError: it is damaged, or of a version this rlcli does not know.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        content = migrated(path, read_json(path), VERSION)
        try:
            return cls(
                saved=_whole(content["saved"]),
                last=_optional(_whole, content["last"]),
                best=_optional(_whole, content["best"]),
                best_return=_optional(_number, content["best_return"]),
                kept={_update(name): _kept(about) for name, about in content["kept"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{path} is damaged: {error}.") from error

    def write(self, folder: Path) -> None:
        """Replaces the file, whole or not at all."""
        content = {"version": VERSION, **dataclasses.asdict(self)}
        write_json(folder / FILE, content)


def _kept(about: dict[str, Any]) -> Kept:
    digest = about["sha256"]
    if not isinstance(digest, str):
        raise TypeError(f"{digest!r} is no checksum")
    return Kept(_whole(about["number"]), _whole(about["env_steps"]), _whole(about["bytes"]), digest)


def _update(name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", name):
        raise TypeError(f"{name!r} is no number of an update")
    return int(name)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _optional(read: Callable[[Any], Number], value: Any) -> Number | None:
    return None if value is None else read(value)
