"""`rlcli runs`: lists runs and sweeps, and removes them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import emit, result, say
from rlcli.cli.run_lines import Sort, lines, matching, seconds_of
from rlcli.cli.run_lines import older as older_than
from rlcli.errors import UserError, nearest, unknown

EXPLAINED = 5
"""Maximum number of damaged folders that are explained."""


def runs(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DIR]", help="A folder of runs, a sweep, or last: a sweep's runs. With --rm: RUN..."
        ),
    ] = None,
    algo: Annotated[
        str | None, typer.Option("--algo", metavar="NAME", help="Only runs of this algorithm.")
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", metavar="ID", help="Only runs on this environment.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only runs with this status.")
    ] = None,
    older: Annotated[
        str | None,
        typer.Option("--older", metavar="AGE", help="Only runs that ended longer ago: 90m, 12h, 30d, 2w."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, metavar="N", help="Only the N runs or sweeps started last.")
    ] = None,
    sort: Annotated[
        Sort | None,
        typer.Option(
            "--sort",
            metavar="FIELD",
            help="Order of the lines, the highest last: started (the default), name, status, algo, env, "
            "steps or return.",
        ),
    ] = None,
    rm: Annotated[
        bool, typer.Option("--rm", help="Remove the runs and sweeps named, or those that the filters choose.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --rm: do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --rm: also runs that train, and parents of forks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List runs with their results and settings, or remove some.

    The settings are those that differ from the default. A sweep is one line, with the median return of its
    runs; `rlcli runs SWEEP` lists them one by one. Reproductions are marked with the id of the original.
    Damaged folders are listed too, and explained.

    Filters take several values with commas, and `*` for any characters. With --json, --last counts a sweep as
    one and prints all of its runs.

    --rm shows what would be removed and how much disk it takes, and asks. A sweep is removed whole. Only what
    rlcli writes is removed: a folder that holds anything else stays, and links are not followed. Runs that
    train, and parents of forks that stay, are refused unless --force is given. A removal that was interrupted
    can be repeated.

    Examples:
      rlcli runs
      rlcli runs --algo ppo,trpo --status finished --sort return
      rlcli runs --env 'Cart*' --last 5
      rlcli runs last
      rlcli runs --json
      rlcli runs --rm 73973d4e runs/my-sweep
      rlcli runs --older 30d --status failed,interrupted --rm --yes
    """
    from rlcli.store.directory import LISTED, list_runs, runs_root

    _check_status(status, LISTED)
    _check_flags(folders or [], rm=rm, yes=yes, force=force)
    age = None if older is None else seconds_of(older)
    root = runs_root() if rm else _folder(folders[0] if folders else None, runs_root())
    found = list_runs(root)

    def matched(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        among = matching(runs, algo=algo, env=env, status=status)
        return among if age is None else older_than(among, age)

    wanted = {"algo": algo, "env": env, "status": status, "older": older}
    if rm:
        filters = any(value is not None for value in (*wanted.values(), last))
        code = _remove(
            folders or [], root, found, matched, last, filters, yes=yes, force=force, as_json=as_json
        )
        if code:
            raise typer.Exit(code)
        return
    chosen = lines(matched(found), root.name, last, sort)
    members = [run for line in chosen for run in line.members]
    if as_json:
        for run in members:
            emit(run)
        return
    if not found:
        result(f"No runs in {root}. Make one: rlcli train")
        return
    if not chosen:
        result(_nothing_matches(root, found, wanted))
        return

    from rlcli.cli.run_table import print_table

    print_table(chosen)
    for field, text in {"algo": algo, "env": env}.items():
        _name_unmatched(field, text, found)
    _explain_faults(members)


def _check_flags(folders: Sequence[str], *, rm: bool, yes: bool, force: bool) -> None:
    """Raises `UserError` where flags or arguments have a meaning with --rm alone."""
    given = [flag for flag, value in (("--yes", yes), ("--force", force)) if value]
    if given and not rm:
        raise UserError(f"{' and '.join(given)}: only with --rm.")
    if len(folders) > 1 and not rm:
        raise UserError(f"One folder is listed at a time, not {len(folders)}; with --rm give any number.")


def _remove(
    names: Sequence[str],
    root: Path,
    found: Sequence[Mapping[str, Any]],
    matched: Callable[[Sequence[Mapping[str, Any]]], list[Mapping[str, Any]]],
    last: int | None,
    filters: bool,
    *,
    yes: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Removes the runs and sweeps that are named, or that the filters choose, or of those named these."""
    from rlcli.cli.removing import doomed_by_filter, doomed_by_name, remove_runs

    if not names and not filters:
        raise UserError(
            "--rm: name runs or sweeps, or choose some with --status, --older, --algo, --env or --last."
        )
    doomed = doomed_by_name(names, root) if names else []
    if filters:
        within = [run for one in doomed for run in one.members] if names else found
        chosen = [run for line in lines(matched(within), root.name, last, None) for run in line.members]
        doomed, parts = doomed_by_filter(chosen, within, root)
        for text in parts:
            say(text)
        if not doomed:
            raise UserError("No run or whole sweep matches: nothing was removed.")
    return remove_runs(doomed, found, yes=yes, force=force, as_json=as_json, filtered=bool(filters))


def _check_status(given: str | None, known: Sequence[str]) -> None:
    """Raises `UserError` where a status is none that a run can have."""
    choices = [] if given is None else given.split(",")
    faults = [unknown("status", one, known) for one in choices if "*" not in one and one not in known]
    if faults:
        raise UserError(*faults)


def _folder(given: str | None, root: Path) -> Path:
    """Folder to list: the one given, or that of the sweep of that name.

    Raises:
        UserError: there is no such folder.
    """
    from rlcli.config.names import LAST
    from rlcli.store.directory import find_sweep

    if given is None:
        return root
    sweep = find_sweep(given, root) if given == LAST else None
    if sweep is not None:
        return sweep
    for folder in (Path(given).expanduser(), root / given):
        if folder.is_dir():
            return folder
    if given == LAST:
        raise UserError(
            f"The latest in {root} is a run, not a sweep.", hint="Show it: rlcli show last; all: rlcli runs"
        )
    raise UserError(
        f"There is no folder {given}, nor a sweep of that name in {root}.{_alike(given, _sweeps(root))}",
        hint="All runs: rlcli runs",
    )


def _nothing_matches(root: Path, found: Sequence[Mapping[str, Any]], wanted: Mapping[str, str | None]) -> str:
    """Sentence that no run matches, with the values that there are."""
    asked = {field: text for field, text in wanted.items() if text is not None}
    texts = ", ".join(
        f"an age above {text}" if field == "older" else f"{field} {text}" for field, text in asked.items()
    )
    known = {field: _values(field, found) for field in asked if field != "older"}
    there = "; ".join(f"{field} {', '.join(values)}" for field, values in known.items())
    alike = "".join(
        _alike(one, values)
        for field, values in known.items()
        for one in asked[field].split(",")
        if one not in values
    )
    return f"No run in {root} has {texts}.{alike}{f' There are: {there}.' if there else ''}"


def _values(field: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values of a field that runs have."""
    return sorted({str(run[field]) for run in found if run[field] is not None})


def _alike(word: str, known: Sequence[str]) -> str:
    """Question whether a known name was meant; empty where none is similar."""
    similar = nearest(word, known)
    return f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""


def _sweeps(root: Path) -> list[str]:
    """What `rlcli runs` takes besides folders elsewhere: `last`, and the names of sweeps."""
    from rlcli.config.names import LAST
    from rlcli.store.directory import SWEEP

    return [LAST, *(path.parent.name for path in sorted(root.glob(f"*/{SWEEP}")))]


def _name_unmatched(field: str, wanted: str | None, found: Sequence[Mapping[str, Any]]) -> None:
    """Say which of several wanted values no run has: the others' runs are listed without a sign of it."""
    missing = [one for one in (wanted or "").split(",") if one and not matching(found, **{field: one})]
    if missing:
        values = _values(field, found)
        alike = "".join(_alike(one, values) for one in missing)
        say(f"No run has {field} {', '.join(missing)}.{alike} There are: {', '.join(values)}.")


def _explain_faults(members: Sequence[Mapping[str, Any]]) -> None:
    """Print what is wrong with damaged and unstarted runs, and what to do."""
    faulty = [run for run in members if run["status"] in ("damaged", "not begun")]
    for run in faulty[:EXPLAINED]:
        if run["status"] == "damaged":
            say(
                f"{run['dir']}: {run['message']} Restore the file from a copy, or remove the run: "
                f"rlcli runs --rm --force {shlex.quote(str(run['dir']))}"
            )
        else:
            say(f"{run['dir']}: {run['message']}.")
    if len(faulty) > EXPLAINED:
        say(f"{len(faulty) - EXPLAINED} more: rlcli runs --status 'damaged,not begun' --json")
