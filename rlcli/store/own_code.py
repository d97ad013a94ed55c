"""Files of the user's own code that a run uses: recorded with their checksums, and compared later.

Those of modules that the config imports, of the module in the environment's id, and of its wrappers. Nothing
is imported to find them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlcli.config.extensions import used
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.wrappers import modules_named
from rlcli.store import modules

SHOWN = 8
"""Digits of a checksum in messages."""


def recorded(config: RunConfig) -> list[dict[str, str]]:
    """Module, file and sha256 of each file; a file below the current folder is given from there."""
    found: dict[tuple[str, Path], None] = {}
    for module in _modules(config):
        places = modules.files(module) or []
        found |= {(module, Path(place)): None for place in (places[-1] if places else [])}
    for addition in used(flatten(config)):
        found |= {(addition.module, Path(file).resolve()): None for file in addition.files}
    return [
        {"module": module, "file": _short(path), "sha256": digest}
        for module, path in found
        if (digest := _sha256(path)) is not None
    ]


def changes(before: Sequence[Any], config: RunConfig) -> Iterator[str]:
    """What has changed since `before` was recorded, as sentences without their end."""
    now = {(one["module"], Path(one["file"]).name): one for one in recorded(config)}
    for one in before:
        key = one["module"], Path(one["file"]).name
        other = now.pop(key, None)
        if other is None:
            yield f"{one['file']} of the module {one['module']} is not there any more"
        elif other["sha256"] != one["sha256"]:
            old, new = (found["sha256"][:SHOWN] for found in (one, other))
            yield f"{other['file']} has changed since (sha256 {old}... -> {new}...)"
    if before:
        yield from (f"{other['file']} is new in the module {other['module']}" for other in now.values())


def is_recorded(content: Any) -> bool:
    """Whether a manifest's entry is what `recorded` gives."""
    names = {"module", "file", "sha256"}
    return all(
        isinstance(one, dict) and names <= one.keys() and all(isinstance(one[name], str) for name in names)
        for one in content
    )


def _modules(config: RunConfig) -> list[str]:
    module, separator, _ = config.env.id.rpartition(":")
    named = [*([module] if separator else ()), *modules_named(config.env.wrappers), *config.imports]
    return list(dict.fromkeys(named))


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:
        return None


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
