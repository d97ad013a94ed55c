"""Files of a run directory have versions: an older one is read as if it were today's, a newer one refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.errors import StorageError

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""From the content of one version to that of the next."""


def migrated(
    path: Path, content: dict[str, Any], version: int, migrations: Mapping[int, Migration] | None = None
) -> dict[str, Any]:
    """The content of a file as the newest `version` has it; the file itself stays as it is.

    `migrations[v]` leads from version v to v + 1.

    Raises:
        StorageError: it has a version from which nothing leads here.
    """
    steps = migrations or {}
    found = content.get("version")
    if type(found) is not int or (found != version and found not in steps):
        raise StorageError(refusal(path, found, (*sorted(steps), version)))
    for step in range(found, version):
        content = steps[step](content)
    return content | {"version": version}


def refusal(path: Path, found: Any, known: Sequence[int]) -> str:
    """Why a file of version `found` is not read, and what to do."""
    reads = " and ".join(map(str, known))
    said = f"{path} has version {str(found)[:40]!r}; this rlcli reads {reads}."
    if type(found) is not int:
        return f"{said} No rlcli writes such a version: the file is damaged."
    if found > max(known):
        return f"{said} A newer rlcli wrote it: use that one, or a still newer one."
    return f"{said} An older rlcli wrote it: use the one of the commit in the run's manifest.json."
