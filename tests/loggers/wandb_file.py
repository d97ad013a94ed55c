"""Reads the file of an offline W&B run back: LevelDB blocks of protocol buffers after a header of 7 bytes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32 * 1024, 7
FULL, LAST = 1, 4


def finished(run_dir: Path, patience: float = 20.0) -> list[Any]:
    """All records of a run directory's W&B run, whose last ones are written shortly after it was finished."""
    (path,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    return records_to_the_end(path, patience)


def records_to_the_end(path: Path, patience: float = 20.0) -> list[Any]:
    """All records of one file, as `finished`."""
    given_up = time.monotonic() + patience
    while True:
        found = records(path)
        if of_type(found, "exit"):
            return found
        assert time.monotonic() < given_up, f"{path} was never finished"
        time.sleep(0.01)


def records(path: Path) -> list[Any]:
    """The records that are whole; W&B's process may still be writing."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    found, parts, at = [], b"", HEADER
    while at + HEADER <= len(content):
        room = BLOCK - at % BLOCK
        if room < HEADER:
            at += room
            continue
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]
        if at + HEADER + length > len(content):
            break  # this part is still being written
        parts += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def rows(found: list[Any]) -> list[dict[str, Any]]:
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]


def of_type(found: list[Any], kind: str) -> list[Any]:
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]
