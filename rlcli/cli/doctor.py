"""`rlcli doctor`: checks the installation and this machine, and shows what to do."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import emit, result
from rlcli.errors import EXIT_CRASH
from rlcli.streams import columns, out

if TYPE_CHECKING:
    from rlcli.sweeps.findings import Finding

LABEL = 11
"""Width of the column of topics."""
NARROWEST = 40
TO_DO = "-> "


def doctor(as_json: AsJson = False) -> None:
    """Check the installation and this machine.

    Shows versions, extras that are missing, the kernels in C, the GPU, the Weights & Biases login and where
    runs would be uploaded, where runs are saved, disk, memory and threads, and whether runs of a cohort
    have the same numbers as lone runs here. A line that begins with -> says what to do. The output belongs
    in a bug report. Nothing is saved, no server is contacted, and no key is shown. A few updates are
    trained in memory, which takes some seconds.

    Exit code 1 if something is broken, else 0.

    Examples:
      rlcli doctor
      rlcli doctor --json
    """
    from rlcli.sweeps.diagnosis import diagnose
    from rlcli.sweeps.findings import Status

    broken = []
    for finding in diagnose():
        if finding.status is Status.BROKEN:
            broken.append(finding.topic)
        if as_json:
            emit(_row(finding))
        else:
            _print(finding)
    if not as_json:
        result(f"Broken: {', '.join(broken)}." if broken else "Nothing is broken.")
    if broken:
        raise typer.Exit(EXIT_CRASH)


def _row(finding: Finding) -> dict[str, object]:
    return {
        "topic": finding.topic,
        "status": str(finding.status),
        "finding": finding.text,
        "advice": finding.advice,
        "facts": dict(finding.facts),
    }


def _print(finding: Finding) -> None:
    mark = "" if finding.status == "ok" else f"{finding.status}: "
    _line(finding.topic, f"{mark}{finding.text}")
    if finding.advice:
        _line("", finding.advice, TO_DO)
    out().flush()


def _line(label: str, text: str, before: str = "") -> None:
    """A label and its text, wrapped on a terminal and one line elsewhere."""
    start = f"{label:<{LABEL}} "
    if len(label) > LABEL:  # a line of its own
        result(label)
        start = " " * (LABEL + 1)
    if not out().isatty():
        result(start + before + text)
        return
    indent = " " * (LABEL + 1 + len(before))
    width = max(columns(), NARROWEST)
    result(textwrap.fill(text, width, initial_indent=start + before, subsequent_indent=indent))
