"""The commands that read a sweep, and what holds however they end."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Ended, Rlcli
from tests.cli.hostile.harm import (
    REFUSED,
    Harm,
    contents,
)

SWEEPS: dict[str, tuple[str, ...]] = {
    "show": ("show", "{sweep}"),
    "show --json": ("show", "{sweep}", "--json"),
    "resume": ("resume", "{sweep}"),
    "resume --retry": ("resume", "{sweep}", "--retry"),
    "runs": ("runs", "{sweep}"),
    "compare": ("compare", "{sweep}"),
    "plot": ("plot", "{sweep}"),
    "plot --slices": ("plot", "{sweep}", "--slices"),
    "watch": ("watch", "{sweep}"),
    "watch --json": ("watch", "{sweep}", "--json"),
    "sweep status": ("sweep", "status", "{sweep}"),
    "sweep status --json": ("sweep", "status", "{sweep}", "--json"),
    "sweep best": ("sweep", "best", "{sweep}"),
    "sweep best --json": ("sweep", "best", "{sweep}", "--json"),
}
SEARCHES = SWEEPS.keys() - {
    "runs", "show", "show --json", "compare", "plot", "plot --slices", "watch", "watch --json",
}  # fmt: skip
"""Those that read what a sampler left."""


def harmed(sweep: Path, harm: Harm, verb: str, workplace: Path, rlcli: Rlcli) -> Ended:
    """How a verb ends on a harmful sweep; whichever way, nothing of it is executed and no secret told."""
    harm(sweep)
    before = contents(workplace)
    ended = rlcli(*(word.format(sweep=sweep) for word in SWEEPS[verb]))
    assert "Traceback" not in ended.err
    assert "defect of rlcli" not in ended.err
    assert not list(workplace.rglob("pwned*")), "something in the directory was executed"
    if ended.code in REFUSED:
        assert contents(workplace) == before, "something was written"
        assert ended.err.startswith("Error: ")
        assert len(ended.err) < 4000
    for stream in (ended.out, ended.err):
        assert not set("\x1b\x07\x9b\x00\x08\r") & set(stream), "control characters reach the terminal"
        assert "hunter2" not in stream
    return ended
