"""`rlcli watch`: shows runs while other processes train them."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import emit, result, table
from rlcli.errors import EXIT_SIGTERM

if TYPE_CHECKING:
    from rlcli.analysis.watch.board import Board

LIVE, PIPED = 1.0, 10.0
"""Seconds between refreshes, on a terminal and elsewhere."""


def watch(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|SWEEP", help="Runs and sweeps: folders, ids, names, or last.", show_default=False
        ),
    ],
    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            min=0.1,
            metavar="SECONDS",
            help="Seconds between refreshes; default: 1, and 10 where there is no terminal.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch runs that other processes train; q or Ctrl-C ends it.

    Runs that need attention come first: those that failed, then those with alerts: rules of their own config
    that hold at the last row (rlcli explain alerts), and silence. Returns are drawn on one scale.

    Elsewhere than on a terminal it prints a line per look while a run trains, then a table. --json prints one
    object per run and look.

    Examples:
      rlcli watch last
      rlcli watch runs/my-sweep 73973d4e
      rlcli watch last --every 5
      rlcli watch last --json
    """
    from rlcli.analysis.watch.board import Board
    from rlcli.store.directory import runs_root
    from rlcli.streams import out

    board = Board(runs, runs_root())
    if not as_json and out().isatty() and _watch_live(board, every or LIVE):
        return
    try:
        _print(board, every or PIPED, as_json)
    except KeyboardInterrupt:
        return


def _print(board: Board, seconds: float, as_json: bool) -> None:
    """One line per look, and a table once no run trains."""
    from rlcli.analysis.watch.screen import plain_lines
    from rlcli.streams import out

    while out().error is None:
        if as_json:
            for run in board.runs.values():
                emit(_row(run))
        elif board.training or board.waiting_for_start:
            for line in plain_lines(board):
                result(line)
        out().flush()
        if not (board.training or board.waiting_for_start):
            break
        time.sleep(seconds)
        board.refresh()
    if not as_json:
        _table(board)


def _table(board: Board) -> None:
    from rlcli.analysis.watch.screen import plain_lines, rows

    headings, cells = rows(board)
    table(headings, cells, right=headings[2:], optional=4)
    for line in plain_lines(board):
        result(line)


def _row(run: Any) -> dict[str, Any]:
    return {
        "name": run.label, "dir": str(run.dir), "status": run.status, "message": run.message or None,
        "done": run.done, "alerts": [alert.text for alert in run.alerts], "figures": run.row,
    }  # fmt: skip


def _watch_live(board: Board, seconds: float) -> bool:
    """Draws on the terminal until a key ends it; False if the terminal cannot be drawn on."""
    from typing import TextIO, cast

    from rich.console import Console
    from rich.live import Live

    from rlcli.analysis.watch.keys import keyboard
    from rlcli.analysis.watch.screen import render
    from rlcli.streams import out

    console = Console(file=cast(TextIO, out()), highlight=False)
    if console.is_dumb_terminal:
        return False
    hint = f"q quits; refreshes every {seconds:g} s"

    def stop(*_: object) -> None:
        sys.exit(EXIT_SIGTERM)  # not typer.Exit, a RuntimeError, which a write in progress would drop

    before = signal.signal(signal.SIGTERM, stop)
    live = Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )
    try:
        with keyboard() as keys, live:
            while out().error is None:
                live.update(render(board, console, hint=hint), refresh=True)
                if keys.leaves(seconds):
                    break
                board.refresh()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    console.print(render(board, console))
    return True
