"""`rlcli report`: one HTML page of runs and sweeps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rlcli.cli.options import AsJson, Quiet
from rlcli.cli.out_file import check_out
from rlcli.cli.output import emit, result, say
from rlcli.text import counted, visible

FILE = Path("report.html")
VIDEOS = 10
"""Megabytes of videos that are embedded at most."""


def report(
    context: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|SWEEP",
            help="Runs' folders, prefixes of their ids, sweeps, or last.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")] = Path(
        "report.html"
    ),
    videos: Annotated[
        int, typer.Option("--videos", min=0, metavar="MB", help="Embed videos of at most this size together.")
    ] = VIDEOS,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a report of runs: one HTML file that needs nothing else.

    It has learning curves with bands over seeds, the health of every algorithm on one scale with alerts, the
    importance of settings, a table of runs, what differs in config, provenance, the commands that repeat
    each run, and the videos in its videos/ folder. It opens in any browser, without a network, and executes
    nothing that came from a run directory.

    Runs that are damaged, or partly so, are named on stderr and on the page. An earlier report is replaced;
    any other file is not.

    Examples:
      rlcli report last
      rlcli report runs/my-sweep --out sweep.html
      rlcli report 73973d4e 5e02 --videos 50
    """
    from rlcli.analysis.report.content import report as made
    from rlcli.analysis.report.page import check_library, check_target, write
    from rlcli.analysis.selection import select
    from rlcli.store.directory import runs_root

    quiet = quiet or bool((context.obj or {}).get("quiet"))
    check_library()
    check_out(out)
    check_target(out)
    selection = select(runs, runs_root())
    if not quiet:
        say(f"Reading {counted(len(selection.runs), 'run')}")
    found = made(selection, _command(runs, out, videos), videos * 10**6)
    for fault in found.faults:
        say(fault)
    size = write(found, out)
    if as_json:
        emit({"file": str(out), "bytes": size, "runs": len(found.content["runs"]), "faults": found.faults})
    else:
        result(f"Saved to {out} ({size / 10**6:.1f} MB)")


def _command(runs: list[str], out: Path, videos: int) -> str | None:
    """This command, as a shell reads it; None where it has characters that control a terminal."""
    words = ["rlcli", "report", *runs]
    words += ["--out", str(out)] if out != FILE else []
    words += ["--videos", str(videos)] if videos != VIDEOS else []
    line = shlex.join(words)
    return line if visible(line) == line and "\n" not in line else None
