"""Lines of `rlcli runs`: one for each run, and one for each sweep; filtered and sorted."""

from __future__ import annotations

import fnmatch
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rlcli.cli.times import between
from rlcli.errors import UserError

Run = Mapping[str, Any]
"""Summary of a run, as `rlcli.store.directory.list_runs` gives it."""


URGENT = (
    "damaged",
    "failed",
    "killed",
    "interrupted",
    "running",
    "waiting",
    "not begun",
    "pruned",
    "finished",
)
"""Statuses, the one to look at first before the others."""


class Sort(StrEnum):
    """What lines can be sorted by."""

    started = "started"
    name = "name"
    status = "status"
    algo = "algo"
    env = "env"
    steps = "steps"
    return_ = "return"


@dataclass(frozen=True)
class Line:
    """A run, or all runs of a sweep together."""

    title: str
    members: Sequence[Run]
    is_sweep: bool = False

    @property
    def status(self) -> str:
        """The status of a run; of a sweep, the number of its runs by status."""
        statuses = Counter(str(run["status"]) for run in self.members)
        if not self.is_sweep:
            return next(iter(statuses))
        return ", ".join(f"{amount} {status}" for status, amount in statuses.items())

    @property
    def short_status(self) -> str:
        """The status of a run; of a sweep, the one to look at first: `1/24 failed`."""
        statuses = Counter(str(run["status"]) for run in self.members)
        if not self.is_sweep or len(statuses) == 1:
            return self.status
        first = min(statuses, key=lambda status: URGENT.index(status) if status in URGENT else -1)
        return f"{statuses[first]}/{len(self.members)} {first}"

    @property
    def steps(self) -> int | None:
        """Env steps done, summed over the runs of a sweep."""
        known = [run["env_steps"] for run in self.members if run["env_steps"] is not None]
        return sum(known) if known else None

    @property
    def result(self) -> float | None:
        """The mean return of the last evaluation; of a sweep, the median over its runs."""
        returns = [run["eval_return_mean"] for run in self.members if run["eval_return_mean"] is not None]
        return statistics.median(returns) if returns else None

    @property
    def started(self) -> str | None:
        """The time at which the run, or the first of a sweep, was started."""
        return min((str(run["started"]) for run in self.members if run["started"]), default=None)

    @property
    def id(self) -> str:
        """The id of the run; a dash for a sweep."""
        return "-" if self.is_sweep else str(self.members[0]["id"])


_KEYS: Mapping[Sort, Callable[[Line], Any]] = {
    Sort.started: lambda line: line.started,
    Sort.name: lambda line: line.title,
    Sort.status: lambda line: line.status,
    Sort.algo: lambda line: line.members[0]["algo"],
    Sort.env: lambda line: line.members[0]["env"],
    Sort.steps: lambda line: line.steps,
    Sort.return_: lambda line: line.result,
}


AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([mhdw])")
SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def seconds_of(age: str) -> float:
    """Seconds of an age such as 90m, 12h, 30d or 2w.

    Raises:
        UserError: it is none.
    """
    found = AGE.fullmatch(age)
    if found is None:
        raise UserError(f"--older {age}: give a number and m, h, d or w for minutes to weeks, such as 30d.")
    return float(found.group(1)) * SECONDS[found.group(2)]


def older(found: Sequence[Run], seconds: float) -> list[Run]:
    """Runs that ended, or without an end were started, more than this long ago; none of unknown time."""
    chosen = []
    for run in found:
        ended = run["finished"] or run["started"]
        age = None if ended is None else between(str(ended), None)
        if age is not None and age > seconds:
            chosen.append(run)
    return chosen


def matching(found: Sequence[Run], **wanted: str | None) -> list[Run]:
    """Runs whose fields (`algo`, `env`, `status`) are among the wanted values.

    Several values have commas between them; `*` stands for any characters.
    """
    patterns = {field: text.split(",") for field, text in wanted.items() if text is not None}
    return [
        run
        for run in found
        if all(
            any(fnmatch.fnmatchcase(str(run[field]), pattern) for pattern in choices)
            for field, choices in patterns.items()
        )
    ]


def lines(found: Sequence[Run], root: str, last: int | None, by: Sort | None) -> list[Line]:
    """Lines of runs in the order in which they are given, the runs of a sweep on one line.

    Those of the sweep whose folder is named `root` are apart. `last` keeps that many of the last lines; `by`
    sorts them, unknown values first and the highest last.
    """
    groups: dict[tuple[bool, str], list[Run]] = {}
    for run in found:
        sweep = run["sweep"]
        folded = bool(sweep) and sweep != root
        groups.setdefault((folded, str(sweep if folded else run["dir"])), []).append(run)
    made = [
        Line(f"{sweep}/" if folded else str(members[0]["name"]), members, folded)
        for (folded, sweep), members in groups.items()
    ]
    kept = made if last is None else made[-last:]
    return kept if by is None else sorted(kept, key=lambda line: _sort_key(_KEYS[by](line)))


def _sort_key(value: Any) -> tuple[bool, Any]:
    return value is not None, 0 if value is None else value
