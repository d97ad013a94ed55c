"""Entry point of the `rlcli` command: runs a verb, or answers a shell that asks for completions."""

from __future__ import annotations

import contextlib
import os
import sys

COMPLETE = "_RLCLI_COMPLETE"
"""The variable a shell sets when it asks for completions."""
COLLECT_EVERY = 100_000
"""New objects between two searches for garbage; with Python's 700 imports take a fifth longer."""


def main() -> None:
    """Run the command line in `sys.argv`; ends the process.

    Ctrl-C ends it without a traceback at any time, also while modules are imported.
    """
    try:
        _main()
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the module of streams may not be imported yet
            os.write(2, b"Interrupted.\n")
        sys.exit(130)  # rlcli.errors.EXIT_SIGINT, which may not be either


def _main() -> None:
    """See `main`."""
    import faulthandler
    import gc

    gc.set_threshold(COLLECT_EVERY)

    from rlcli.cli.app import app
    from rlcli.cli.output import exit_code, reason, say
    from rlcli.errors import EXIT_STORAGE
    from rlcli.streams import prepare

    prepare()
    faulthandler.enable(2, all_threads=False)  # where an environment crashes in C, its lines are shown
    asked = os.environ.get(COMPLETE, "")
    if asked.startswith("complete_"):
        from rlcli.cli.complete import answer

        sys.exit(answer(asked.removeprefix("complete_"), os.environ))
    try:
        app(prog_name="rlcli")
    except OSError as error:  # of --install-completion: those of verbs are theirs
        say(f"Error: {error.filename or 'a file'} cannot be written: {reason(error)}.")
        sys.exit(EXIT_STORAGE)
    except SystemExit as end:
        sys.exit(exit_code(end.code))
