"""Videos of the runs of a report: `<run>/videos/*.mp4`, embedded up to a size limit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from rlcli.analysis.report.provenance import text
from rlcli.analysis.selection import Run
from rlcli.errors import StorageError
from rlcli.plain import check_folder
from rlcli.store.files import read_bytes

FOLDER = "videos"
MP4 = b"ftyp"
"""Bytes 4 to 8 of an MP4 file."""


@dataclass(frozen=True)
class Video:
    """One video of a page."""

    run: int
    """Number of its run."""
    name: str
    content: str
    """Base64."""


def videos(runs: Sequence[Run], largest: int) -> tuple[list[Video], list[str]]:
    """Videos of at most `largest` bytes together, and a sentence on each that is left out.

    Each run's first video comes before any run's second.
    """
    if largest == 0:
        return [], []
    found, faults = [], []
    for number, run in enumerate(runs):
        try:
            there = check_folder(run.dir / FOLDER)
            paths = sorted((run.dir / FOLDER).glob("*.mp4")) if there else []
        except (StorageError, OSError) as error:
            faults.append(f"Videos are left out: {error}")
            continue
        found += [(place, number, path) for place, path in enumerate(paths)]
    kept = []
    for _, number, path in sorted(found):
        try:
            content = read_bytes(path, largest)
        except StorageError as error:
            faults.append(f"A video is left out, --videos is the limit of their size together: {error}")
            continue
        if content[4:8] != MP4:
            faults.append(f"{path} is left out: it is not an MP4 file.")
        elif len(content) > largest:
            faults.append(f"{path} is left out: --videos is the limit of the videos' size together.")
        else:
            largest -= len(content)
            kept.append(Video(number, text(path.name), base64.b64encode(content).decode()))
    return sorted(kept, key=lambda video: video.run), [text(fault) for fault in faults]
