"""`rlcli reproduce`: trains a run again and compares it with its digests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson, Imports, Quiet, Run
from rlcli.cli.output import count, emit, result, result_is_kept, say, table
from rlcli.streams import err, out
from rlcli.text import counted

if TYPE_CHECKING:
    from rlcli.runs.reproduce import Plan, Reproduction


def reproduce(
    context: typer.Context,
    run: Run,
    until: Annotated[
        int | None,
        typer.Option("--until", min=1, metavar="N", help="Stop after update N; default: the last."),
    ] = None,
    checkout: Annotated[
        bool,
        typer.Option(
            "--checkout",
            help="Run the code of the recorded commit and code.diff, in a temporary git worktree. This "
            "executes code.diff: only for runs of people you trust.",
        ),
    ] = False,
    imports: Imports = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a run again and compare, update by update.

    Everything is read from the run's directory, which is not changed. The new run is saved beside your
    others as <name>-reproduction. It stops at the first update that differs, and reports in which quantity,
    and what has changed in packages, machine and code since.

    Exit code: 0 identical, 1 different.

    Examples:
      rlcli reproduce last
      rlcli reproduce last --until 20
      rlcli reproduce runs/my-run --checkout
    """
    quiet = quiet or bool((context.obj or {}).get("quiet"))

    from rlcli.store.directory import runs_root

    found = named_run(run, quiet=quiet)
    if checkout:
        from rlcli.runs.checkout import run_recorded_code

        words = _again(found, until, imports or [], quiet=quiet, as_json=as_json)
        raise typer.Exit(run_recorded_code(found, words, runs_root(), say, out().descriptor))

    from rlcli.runs.reproduce import plan
    from rlcli.runs.reproduce import reproduce as run_again
    from rlcli.store.directory import new_reproduction_dir
    from rlcli.sweeps.preflight import check

    planned = plan(found, until, imports or ())
    check(planned.config)
    into = new_reproduction_dir(found, runs_root())
    if not quiet:
        for note in planned.notes:
            say(note)
        say(f"Training {_updates(planned.config.updates)} again in {into}")
    show = err().isatty() and not quiet
    outcome = run_again(planned, into, _progress if show else lambda update, of: None)
    if show:
        err().write("\r\x1b[K")
    result_is_kept()
    if as_json:
        emit(_row(planned, outcome))
    else:
        _print(outcome)
    if not outcome.identical:
        raise typer.Exit(outcome.result.exit_code or 1)


def _progress(update: int, of: int) -> None:
    err().write(f"\r{count(update)} of {count(of)} updates are the same")
    err().flush()


def _print(outcome: Reproduction) -> None:
    """Print the outcome as text."""
    found, ended = outcome.comparison, outcome.result
    if outcome.identical:
        result(f"identical: {_updates(found.updates)}, {count(found.digests)} digests")
    elif found.difference is not None:
        where = ", ".join(found.difference.quantities)
        result(f"different: the runs differ first at update {found.difference.update}, in {where}")
        if found.updates:
            result(f"{_equal(found.updates)} before it")
        if outcome.provenance:
            rows = [(one.name, _text(one.left), _text(one.right)) for one in outcome.provenance]
            table(("changed since", "recorded", "here"), rows)
        else:
            result("Packages, machine and code are as recorded.")
    else:
        result(f"{ended.status}: {_equal(found.updates)} before it ended: {ended.message}")
    result(f"Saved to {ended.dir}")


def _updates(amount: int) -> str:
    return counted(amount, "update")


def _equal(updates: int) -> str:
    if updates < 2:
        return f"{'1' if updates else 'no'} update is the same"
    return f"{count(updates)} updates are the same"


def _row(planned: Plan, outcome: Reproduction) -> dict[str, Any]:
    found = outcome.comparison
    return {
        "identical": outcome.identical,
        "updates": found.updates,
        "digests": found.digests,
        "until": outcome.until,
        "difference": None if found.difference is None else found.difference._asdict(),
        "surroundings": [
            {"name": one.name, "recorded": one.left, "here": one.right, "effect": one.effect}
            for one in outcome.provenance
        ],
        "notes": planned.notes,
        "run": str(planned.original),
        "dir": str(outcome.result.dir),
        "status": outcome.result.status,
        "message": outcome.result.message,
    }


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def _again(run_dir: Path, until: int | None, imports: list[str], *, quiet: bool, as_json: bool) -> list[str]:
    """The words of the same command without --checkout."""
    words = ["reproduce", str(run_dir.resolve())]
    words += [] if until is None else ["--until", str(until)]
    words += [word for module in imports for word in ("--import", module)]
    return words + ["--quiet"] * quiet + ["--json"] * as_json
