"""`rlcli runs`: lists runs."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import count, emit, number, result, table
from rlcli.errors import UserError

HEADINGS = ("id", "status", "algo", "env", "seed", "steps", "return", "started")


def runs(
    directory: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="Where they lie: runs/, or a sweep's folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List runs.

    The jobs of a sweep are one line; `rlcli runs runs/SWEEP` lists them one by one.

    Examples:
      rlcli runs
      rlcli runs --json
    """
    from rlcli.store.directory import list_runs, runs_root

    root = _folder(directory, runs_root())
    found = list_runs(root)
    if as_json:
        for run in found:
            emit(run)
        return
    if not found:
        result(f"No runs in {root}. Make one: rlcli train")
        return
    table(HEADINGS, [_row(members) for members in _folded(found, root.name)], right=("steps", "return"))


def _folder(given: str | None, root: Path) -> Path:
    """Folder to list: the one given, or that of the sweep of that name.

    Raises:
        UserError: there is no such folder.
    """
    if given is None:
        return root
    for folder in (Path(given).expanduser(), root / given):
        if folder.is_dir():
            return folder
    raise UserError(
        f"There is no folder {given}, nor a sweep of that name in {root}.", hint="All runs: rlcli runs"
    )


def _folded(found: Sequence[dict[str, Any]], root: str) -> list[list[dict[str, Any]]]:
    """Members of one sweep together, in the order of the first; unless the sweep itself is looked at."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in found:
        sweep = run.get("sweep")
        groups.setdefault(f"sweep {sweep}" if sweep and sweep != root else str(run["dir"]), []).append(run)
    return list(groups.values())


def _row(members: Sequence[dict[str, Any]]) -> Sequence[str]:
    first = members[0]
    if len(members) == 1:
        figures = (count(first["env_steps"]), number(first["eval_return_mean"]))
        cells = ["-" if first[field] is None else str(first[field]) for field in HEADINGS[:5]]
        return (*cells, *figures, _moment(first))
    statuses = Counter(str(run["status"]) for run in members)
    returns = [run["eval_return_mean"] for run in members if run["eval_return_mean"] is not None]
    return (
        f"{first['sweep']}/",
        ", ".join(f"{amount} {status}" for status, amount in statuses.items()),
        _joined(members, "algo"),
        _joined(members, "env"),
        f"{len(members)} runs",
        count(sum(run["env_steps"] or 0 for run in members)),
        f"median {number(statistics.median(returns))}" if returns else "-",
        _moment(first),
    )


def _joined(members: Sequence[dict[str, Any]], field: str) -> str:
    return ",".join(dict.fromkeys(str(run[field]) for run in members if run[field] is not None)) or "-"


def _moment(run: dict[str, Any]) -> str:
    return str(run.get("started") or "-")[:16].replace("T", " ")
