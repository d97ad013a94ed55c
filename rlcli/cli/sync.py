"""`rlcli sync`: uploads recorded runs to Weights & Biases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rlcli.cli.options import AsJson, Quiet
from rlcli.cli.output import count, emit, result, say, table
from rlcli.cli.verb import report
from rlcli.errors import RlcliError, StorageError, UserError
from rlcli.streams import err

if TYPE_CHECKING:
    from rlcli.loggers.wandb_account import Account
    from rlcli.runs.upload import Planned

Item = TypeVar("Item")
Result = TypeVar("Result")

NOT_BEGUN = ("waiting", "not begun")


def sync(
    context: typer.Context,
    references: Annotated[
        list[str],
        typer.Argument(metavar="RUN|SWEEP", help="Folders, prefixes of ids, or last.", show_default=False),
    ],
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="W&B project; default: wandb.project.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="NAME", help="W&B team or user; default: wandb.entity.")
    ] = None,
    wandb_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Id of the W&B run, for a single run.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be uploaded; nothing is sent.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Upload runs to Weights & Biases, or those of a sweep.

    Uploaded are the rows of metrics.jsonl that the server lacks, so the command can be repeated: after a lost
    connection it continues, and of a run that trains it uploads the rows so far. Nothing in the run's folder
    is changed. Damaged rows are named and left out.

    Also of a run that was killed and resumed, W&B then has each update once. Where it holds other rows than
    the record, the run is refused with its name; --id uploads it as another W&B run.

    Exit code: 0 all uploaded, 1 the connection was lost, 2 or 4 some could not be uploaded.

    Examples:
      rlcli sync last
      rlcli sync runs/my-sweep --project clipping --entity my-team
      rlcli sync 73973d4e runs/my-run --dry-run
    """
    quiet = quiet or bool((context.obj or {}).get("quiet"))
    folders = _folders(references)
    if wandb_id is not None and len(folders) != 1:
        raise UserError(f"--id is for one run, not {len(folders)}.")

    from rlcli.loggers.wandb import available
    from rlcli.runs.upload import plan

    if missing := available():
        raise UserError(missing)
    planned, failed = _each(folders, lambda folder: plan(folder, project, entity, wandb_id))
    for one in planned:
        for fault in one.record.faults:
            say(f"Warning: {one.dir}: {fault}.")
    if dry_run:
        _show(planned, as_json)
    elif planned:
        failed = _upload(planned, quiet, as_json) or failed
    if failed:
        raise typer.Exit(failed)


def _folders(references: Sequence[str]) -> list[Path]:
    """Run directories of the runs and sweeps named, each once.

    Raises:
        UserError: one means nothing, or a sweep without runs.
    """
    from rlcli.store.directory import find_run, find_sweep, list_runs, runs_root

    found: dict[Path, Path] = {}
    for reference in references:
        sweep = find_sweep(reference, runs_root())
        if sweep is None:
            members = [find_run(reference, runs_root())]
        else:
            members = [Path(run["dir"]) for run in list_runs(sweep) if run["status"] not in NOT_BEGUN]
            if not members:
                raise UserError(f"{sweep}: none of its runs has started.")
        found |= {member.resolve(): member for member in members if member.resolve() not in found}
    return list(found.values())


def _each(items: Sequence[Item], action: Callable[[Item], Result]) -> tuple[list[Result], int]:
    """Results of an action; of several items those that fail are reported, and the exit code is returned."""
    results, code = [], 0
    for item in items:
        try:
            results.append(action(item))
        except (UserError, StorageError) as error:
            if len(items) == 1:
                raise
            report(error)
            code = error.exit_code
    return results, code


def _account(planned: Planned) -> Account:
    """The account that the upload goes to."""
    from rlcli.loggers.wandb_account import account

    return account(dataclasses.replace(planned.info.config.wandb, mode="online"))


def _target(planned: Planned, found: Account) -> str:
    entity = found.entity or "the default entity of the account"
    return f"{found.server}, {entity}/{found.project}, {planned.wandb_id}"


def _show(planned: Sequence[Planned], as_json: bool) -> None:
    """Print what would be uploaded, at most: what the server has already is not known here."""
    rows = [(one, _account(one)) for one in planned]
    if as_json:
        for one, found in rows:
            emit(_row(one) | {"server": found.server, "entity": found.entity, "project": found.project})
        return
    table(
        ("run", "status", "rows", "to"),
        [(str(one.dir), one.status, count(one.record.rows), _target(one, found)) for one, found in rows],
        right=("rows",),
    )
    if rows and not all(found.logged_in for _, found in rows):
        say("Nobody is logged in to W&B. To upload: wandb login")


def _upload(planned: Sequence[Planned], quiet: bool, as_json: bool) -> int:
    """Uploads runs one after another; returns the exit code.

    Raises:
        UserError: nobody is logged in.
        UploadError: the connection was lost.
    """
    from rlcli.loggers.wandb_upload import uploads

    found = _account(planned[0])
    if not found.logged_in:
        why = f": {found.problem}" if found.problem else ""
        raise UserError(
            f"Nobody is logged in to W&B's server {found.server}{why}.",
            hint="Log in: wandb login, or set WANDB_API_KEY; then run the same command again.",
        )

    done, shows = 0, err().isatty() and not quiet

    def one(run: Planned) -> None:
        nonlocal done
        if not quiet:
            say(f"{run.dir}: {count(run.record.rows)} rows to {_target(run, _account(run))}")
        try:
            uploaded = run.begin(folder, _progress if shows else lambda sent, of: None)
        finally:
            if shows:
                err().write("\r\x1b[K")
        done += 1
        if as_json:
            emit(_row(run) | dataclasses.asdict(uploaded))
            return
        known = f"; {count(uploaded.known)} were there" if uploaded.known else ""
        running = "; it is being trained, these are its rows so far" if run.status == "running" else ""
        result(f"{run.dir}: {count(uploaded.sent)} rows uploaded{known}{running}. {uploaded.url}")

    with uploads() as folder:
        try:
            _, code = _each(planned, one)
        except RlcliError:
            if done:
                say(f"{done} of {len(planned)} runs are uploaded.")
            raise
    return code


def _progress(sent: int, of: int) -> None:
    text = f"{count(sent)} of {count(of)} rows" if sent < of else "waiting for W&B's server"
    err().write(f"\r\x1b[K{text}")
    err().flush()


def _row(planned: Planned) -> dict[str, Any]:
    return {
        "id": planned.info.id,
        "dir": str(planned.dir),
        "status": planned.status,
        "rows": planned.record.rows,
        "last_update": planned.record.last,
        "faults": list(planned.record.faults),
        "wandb_id": planned.wandb_id,
    }
