"""How a verb ends: expected failures as a message and an exit code, others with a traceback on file."""

from __future__ import annotations

import errno
import tempfile
import traceback
from typing import Any

import typer
from typer.core import TyperCommand

from rlcli.cli.output import say
from rlcli.errors import EXIT_CRASH, EXIT_SIGINT, EXIT_STORAGE, RlcliError, UserError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""Errors of a storage that takes nothing more."""


class Verb(TyperCommand):
    """A command whose errors are messages and exit codes, never tracebacks on the terminal."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; raises `typer.Exit` with the code it ends with."""
        try:
            super().invoke(ctx)
        except typer.Exit:
            raise
        except RlcliError as error:
            report(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(EXIT_SIGINT) from None
        except OSError as error:
            if error.errno not in FULL:
                raise typer.Exit(_crash(error)) from None
            say(f"Error: {error.strerror}: nothing more can be written.")
            raise typer.Exit(EXIT_STORAGE) from None
        except Exception as error:
            if hasattr(error, "format_message"):  # Typer's own usage errors, which it shows itself
                raise
            raise typer.Exit(_crash(error)) from None


def report(error: RlcliError) -> None:
    """An expected failure on stderr: every fault on a line of its own, then what to try."""
    if not isinstance(error, UserError):
        say(f"Error: {error}")
        return
    for fault in error.faults:
        say(f"Error: {fault}")
    if error.hint:
        say(error.hint)


def _crash(error: Exception) -> int:
    """A defect of ours: the traceback goes to a file that the message names."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="rlcli-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        traceback.print_exception(error, file=log)
    say(
        f"Error: unexpected {type(error).__name__}: {error}\n"
        f"This is a defect of rlcli; its traceback is in {log.name}"
    )
    return EXIT_CRASH
