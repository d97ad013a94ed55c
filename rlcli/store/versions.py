"""Versions of files in a run directory: older ones are migrated in memory, newer ones are refused.

docs/run_directory.md lists every version and what is done with it.
"""

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
    """The content of a file in the format of the newest `version`; the file itself is not changed.

    `migrations[v]` migrates from version v to v + 1.

    Raises:
        StorageError: there is no migration from its version.
    """
    steps = migrations or {}
    found = content.get("version")
    if type(found) is not int or (found != version and found not in steps):
        raise StorageError(refusal(path, found, (*sorted(steps), version)))
    for step in range(found, version):
        content = steps[step](content)
    return content | {"version": version}


def refusal(path: Path, found: Any, known: Sequence[int]) -> str:
    """The message that a file of version `found` is not read, and what to do."""
    reads = " and ".join(map(str, known))
    text = f"{path} has version {str(found)[:40]!r}; this rlcli reads {reads}."
    if type(found) is not int:
        return f"{text} No rlcli writes such a version: the file is damaged."
    if found > max(known):
        return f"{text} A newer rlcli wrote it: use that one, or a still newer one."
    return f"{text} An older rlcli wrote it: use the one of the commit in the run's manifest.json."
