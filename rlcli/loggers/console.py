"""Console logger: a live panel on a terminal, one line in a notebook, aligned plain lines everywhere else.

Panel and lines are on stderr.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO, cast

from rlcli.loggers.interface import Logger, RunInfo
from rlcli.loggers.notebook import NotebookLogger, in_notebook
from rlcli.streams import err


def console_logger(info: RunInfo, _: Callable[[str], None] = lambda _: None) -> Logger:
    """Panel on a terminal that can redraw and show its characters, a line that is written anew in a notebook.

    Plain lines for a pipe, a file or a log.
    """
    # Not Rich's check: with FORCE_COLOR it takes a pipe for a terminal, where a redrawn panel is garbage.
    if err().isatty():
        from rich.console import Console

        console = Console(file=cast(TextIO, err()))
        if not console.is_dumb_terminal and not console.options.ascii_only:
            from rlcli.loggers.panel import PanelLogger

            return PanelLogger(info, console)
    elif in_notebook():
        return NotebookLogger(info)
    from rlcli.loggers.lines import LineLogger

    return LineLogger(info, err())
