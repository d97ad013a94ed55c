"""Profile of a run (profile.json): the seconds of each part of the training of its last process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.errors import StorageError
from rlcli.store.files import is_there, read_json, write_json

FILE = "profile.json"
PARTS = (
    "environment", "acting", "estimates", "gradient steps", "health", "evaluation", "loggers", "digests",
    "checkpoints", "other",
)  # fmt: skip
"""Parts of the time, in the order in which an update goes through them."""
WAITING = "waiting for actors"
"""What there is in the place of environment and acting where actors collect meanwhile."""


class Profiled(NamedTuple):
    """What a profile says."""

    runs: int
    """Number of runs that trained together."""
    updates: int
    total: float
    """Seconds from the first update to the end."""
    seconds: Mapping[str, float]
    """Seconds of each of PARTS; of WAITING too where there are actors."""


def write_profile(run_dir: Path, profile: Profiled) -> None:
    """Writes profile.json.

    Raises:
        StorageError: the disk is full, or refuses.
    """
    write_json(run_dir / FILE, profile._asdict())


def read_profile(run_dir: Path) -> Profiled | None:
    """The profile of the process that trained a run last; None if there is none.

    Raises:
        StorageError: it is damaged.
    """
    path = run_dir / FILE
    if not is_there(path):
        return None
    content = read_json(path)
    seconds: Any = content.get("seconds")
    names = [WAITING, *PARTS] if isinstance(seconds, dict) and WAITING in seconds else PARTS
    known = isinstance(seconds, dict) and all(type(seconds.get(name)) in (int, float) for name in names)
    types: dict[str, tuple[type, ...]] = {"runs": (int,), "updates": (int,), "total": (int, float)}
    if not known or any(type(content.get(name)) not in types[name] for name in types):
        raise StorageError(f"{path} is damaged: it is not what rlcli writes.")
    return Profiled(
        content["runs"], content["updates"], content["total"], {name: seconds[name] for name in names}
    )
