"""Runs named on the command line, by verbs that take no sweep."""

from __future__ import annotations

from pathlib import Path

from rlcli.cli.output import say


def named_run(reference: str, *, quiet: bool = False) -> Path:
    """The run that an argument means; a message says which, where `last` means a sweep.

    Raises:
        UserError: there is none, or several.
    """
    from rlcli.config.names import LAST
    from rlcli.store.directory import find_run, find_sweep, runs_root

    found = find_run(reference, runs_root())
    sweep = find_sweep(reference, runs_root()) if reference == LAST and not quiet else None
    if sweep is None:
        return found
    if found.parent == sweep:
        say(f"last is the sweep {sweep}; this takes its run started last: {found.name}")
    else:
        say(f"last is the sweep {sweep}, of which no run has started; this takes {found}")
    return found
