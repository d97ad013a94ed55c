"""Table of a profile: where the time of a run went, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlcli.cli.output import result, table
from rlcli.text import counted

if TYPE_CHECKING:
    from rlcli.store.profile import Profiled


def print_profile(profile: Profiled) -> None:
    """Print the seconds of each part, its share, and its milliseconds per update."""
    together = f" of {profile.runs} runs together" if profile.runs > 1 else ""
    updates = f"{counted(profile.updates, 'update')}{together}"
    result(f"Where the time went, {profile.total:.1f} s for {updates}:")
    rows = [
        (name, f"{seconds:.2f}", _share(seconds, profile.total), _per_update(seconds, profile.updates))
        for name, seconds in (*profile.seconds.items(), ("total", profile.total))
    ]
    headings = ("part", "seconds", "share", "ms/update")
    table(headings, rows, right=headings[1:])


def _share(seconds: float, total: float) -> str:
    return f"{seconds / total:.1%}" if total else "-"


def _per_update(seconds: float, updates: int) -> str:
    return f"{1e3 * seconds / updates:.3f}" if updates else "-"
