"""Error handling of verbs: a message and an exit code for expected failures, a traceback file for others."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from rlcli.cli.choices import explain
from rlcli.cli.help import FittingHelp
from rlcli.cli.output import say
from rlcli.envs import probe_clock
from rlcli.errors import EXIT_CRASH, EXIT_SIGINT, EXIT_STORAGE, RlcliError, UserError
from rlcli.streams import prints_apart
from rlcli.text import described, message_of, trace

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
"""Errors of a disk that cannot be written to any more."""


class Verb(FittingHelp, TyperCommand):
    """A command whose errors are messages and exit codes, never tracebacks on the terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a setting written as a flag is named as the setting it is.

        What is mistyped is named with the nearest match, and a missing value with what is expected.
        """
        args = self._completed(args)
        typed = tuple(args)  # parsing empties the list
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            flag = getattr(error, "option_name", "")
            takes_settings = any(option.name == "overrides" for option in self.params)
            unclear = getattr(error, "possibilities", None)
            if flag.startswith("--") and not unclear and takes_settings and hasattr(error, "message"):
                error.message += _as_setting(flag, typed)
            explain(error, self)
            raise

    def _completed(self, args: list[str]) -> list[str]:
        """The arguments with a 1 after each flag whose number, `[N]` in its help, was left out."""
        flags = {flag for option in self.params if option.metavar == "[N]" for flag in option.opts}
        return [
            word
            for place, given in enumerate(args)
            for word in ((given, "1") if given in flags and not _is_number(args[place + 1 :]) else (given,))
        ]

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; raises `typer.Exit` with the code it ends with."""
        with prints_apart():
            self._invoke(ctx)

    def _invoke(self, ctx: Any) -> None:
        try:
            code = self._code(ctx)
        except SystemExit as error:
            if error.code:
                raise
            raise typer.Exit(_crash(error)) from None  # rlcli never exits a verb this way
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
        if code:
            raise typer.Exit(code)

    def _code(self, ctx: Any) -> int:
        for flag, given in (ctx.obj or {}).items():
            if given and flag in ctx.params:
                ctx.params[flag] = True
        if ctx.params.get("as_json") and "quiet" in ctx.params:
            ctx.params["quiet"] = True
        quiet = any(given.get(flag) for given in (ctx.params, ctx.obj or {}) for flag in ("quiet", "as_json"))
        try:
            with probe_clock.shown(not quiet):
                super().invoke(ctx)
        except typer.Exit as ended:
            return ended.exit_code
        return 0


def _is_number(words: Sequence[str]) -> bool:
    """Whether the first of some words is a whole number."""
    return bool(words) and words[0].isdecimal()


def _as_setting(flag: str, args: Sequence[str]) -> str:
    """End of a message: how a setting is written that was given as a flag, such as `--seed 1`."""
    from rlcli.config.overrides import parse_command

    place = next(place for place, word in enumerate(args) if word.partition("=")[0] == flag)
    _, given, value = args[place].partition("=")
    if not given:
        value = "".join(args[place + 1 : place + 2])
    if not value or value.startswith("-") or "=" in value:
        return ". Settings are written key=value, without dashes."
    override = f"{flag.lstrip('-').replace('-', '_')}={value}"
    faults = parse_command([override]).faults
    meant = faults[0].text if faults else f"Write {override}."
    return f". Settings are written key=value, without dashes. {meant}"


def report(error: RlcliError) -> None:
    """Print an expected failure on stderr: every fault on a line of its own, then what to try."""
    if not isinstance(error, UserError):
        say(f"Error: {message_of(error)}")
        return
    for fault in error.faults:
        say(f"Error: {fault}")
    if error.hint:
        say(error.hint)


def _crash(error: BaseException) -> int:
    """Report a defect: the traceback goes to a file that the message names."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="rlcli-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write(trace(error) + "\n")
    say(f"Error: unexpected {described(error)}\nThis is a defect of rlcli; its traceback is in {log.name}")
    return EXIT_CRASH
