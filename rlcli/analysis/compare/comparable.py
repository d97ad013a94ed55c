"""Which runs can be compared: those that are whole, have the metric, and agree in environment and budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rlcli.analysis.compare.references import base_and_version
from rlcli.analysis.groups import by_environment, repeated
from rlcli.analysis.history import POSITION, History, names_of, read_history, why_no_return
from rlcli.analysis.selection import Run
from rlcli.config.values import display
from rlcli.errors import StorageError, UserError, unknown
from rlcli.text import counted, one_line

EVALUATION, TRAINING = "eval/return_mean", "train/return_100"
HEALTH = (
    "behaviour/kl_mu_pi",
    "behaviour/kl_pi_mu",
    "behaviour/ess",
    "behaviour/khat",
    "behaviour/clip_fraction",
    "update/budget_used",
)
NAMED = 4
"""Maximum runs that a sentence names."""
OF_ENVIRONMENT = ("env.kwargs", "env.wrappers")
"""Settings that make another environment of the same id."""


@dataclass(frozen=True)
class Entrant:
    """A run that is compared, with the columns of its rows that are needed."""

    run: Run
    history: History
    budget: float
    """Env steps it was to train for, or up to which it is compared."""


@dataclass(frozen=True)
class Entrants:
    """The runs that are compared."""

    entrants: tuple[Entrant, ...]
    metric: str
    notes: tuple[str, ...]
    """Sentences on what was left out or chosen."""


def entrants(
    runs: Sequence[Run], metric: str | None = None, until: float | None = None, *, force: bool = False
) -> Entrants:
    """The runs that can be compared, by the metric or by the one that all of them have.

    Left out, with a sentence: runs that have not finished (with `until`, that have not come so far), and
    repetitions of another run. `until` cuts all runs off at these env steps.

    Raises:
        UserError: environments, budgets or metrics are mixed without `force`; or no run is left.
    """
    notes: list[str] = []
    wanted = {*HEALTH, metric or EVALUATION, *([] if metric else [TRAINING])}
    read = [one for run in runs if (one := _read(run, wanted, until, notes))]
    whole = [one for one in read if _is_whole(one, until)]
    _note_unfinished([one for one in read if one not in whole], until, notes)
    copies = {id(run) for run in repeated([one.run for one in whole])}
    _note(
        notes,
        [one.run for one in whole if id(one.run) in copies],
        "left out: the same seed and settings as another",
    )
    kept = [one for one in whole if id(one.run) not in copies]
    if not kept:
        raise UserError("No run is left to compare.", *notes, hint="See which runs there are: rlcli runs")
    chosen = metric or _chosen(kept, notes)
    without = [one for one in kept if not len(one.history.points(chosen)[0])]
    if len(without) == len(kept):
        cut = (
            None if until is None else f"Only rows up to {until:,.0f} env steps are compared: raise --until."
        )
        raise UserError(*_no_metric(chosen, kept, until), hint=cut)
    faults = [*_mixed(kept), *_lacking(without, chosen)]
    if faults and not force:
        raise UserError(*faults, hint=_hint(kept))
    notes += faults
    kept = [one for one in kept if one not in without]
    for one in kept:
        if one.history.damaged:
            lines = "line of its rows is" if one.history.damaged == 1 else "lines of its rows are"
            notes.append(f"{one.run.dir}: {one.history.damaged:,} {lines} damaged and left out.")
    return Entrants(tuple(kept), chosen, tuple(notes))


def _read(run: Run, metrics: set[str], until: float | None, notes: list[str]) -> Entrant | None:
    try:
        history = read_history(run.dir, metrics)
    except StorageError as error:
        notes.append(f"{run.dir} is left out: {error}")
        return None
    if until is None:
        return Entrant(run, history, float(run.settings["total_steps"]))
    early = history.axis("steps") <= until
    columns = {name: column[early] for name, column in history.columns.items()}
    if run.summary["status"] == "finished":
        planned = float(run.settings["total_steps"])
    else:
        planned = float(history.axis("steps")[-1]) if len(history) else 0.0
    return Entrant(run, replace(history, columns=columns), min(until, planned))


def _is_whole(one: Entrant, until: float | None) -> bool:
    return one.run.summary["status"] == "finished" or (until is not None and one.budget >= until)


def _note_unfinished(left: Sequence[Entrant], until: float | None, notes: list[str]) -> None:
    by_status: dict[str, list[Run]] = {}
    for one in left:
        by_status.setdefault(str(one.run.summary["status"]), []).append(one.run)
    for status, runs in by_status.items():
        advice = "" if until is not None else "; --until STEPS compares all that came so far"
        _note(notes, runs, f"left out: {status}, not finished{advice}")
    if "failed" in by_status:
        notes.append("A group looks better than it is without those of its runs that failed.")


def _note(notes: list[str], runs: Sequence[Run], text: str) -> None:
    if runs:
        notes.append(f"{_named(runs)} {'is' if len(runs) == 1 else 'are'} {text}.")


def _named(runs: Sequence[Run]) -> str:
    names = [one_line(run.name, 60) for run in runs[:NAMED]]
    more = len(runs) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _chosen(kept: Sequence[Entrant], notes: list[str]) -> str:
    """The evaluation's return if every run has one, else that of training."""
    lacking = [one.run for one in kept if not len(one.history.points(EVALUATION)[0])]
    if not lacking:
        return EVALUATION
    has = "has" if len(lacking) == 1 else "have"
    notes.append(f"Compared by {TRAINING}: {_named(lacking)} {has} no evaluation.")
    return TRAINING


def _lacking(without: Sequence[Entrant], metric: str) -> list[str]:
    if not without:
        return []
    has = "has" if len(without) == 1 else "have"
    return [f"Metrics differ: {_named([one.run for one in without])} {has} no {metric}."]


def _no_metric(metric: str, kept: Sequence[Entrant], until: float | None) -> list[str]:
    """Sentences that no run has a metric, with similar ones that they have."""
    by_then = "" if until is None else f" by {until:,.0f} env steps"
    if metric == TRAINING:
        return [why_no_return([one.history for one in kept], by_then)]
    try:
        there = [name for name in names_of([kept[0].run.history]) if name not in POSITION]
    except StorageError:
        there = []
    if metric in there:
        return [f"No run has {metric}{by_then}."]
    return [unknown("metric", metric, sorted(there)) + " No run has it."]


def _mixed(kept: Sequence[Entrant]) -> list[str]:
    """Sentences on what the runs do not agree in, each with the values."""
    runs = [one.run for one in kept]
    budgets = {id(one.run): one.budget for one in kept}
    versions: dict[str, list[Run]] = {}
    for run in runs:
        versions.setdefault(base_and_version(str(run.summary["env"]))[0], []).append(run)
    faults = []
    for members in versions.values():
        faults += _differences("Environment versions", members, lambda run: str(run.summary["env"]))
    for env, members in by_environment(runs):
        for key in OF_ENVIRONMENT:
            faults += _differences(f"{key} of {env}", members, lambda run, key=key: _setting(run, key))  # type: ignore[misc]
        faults += _differences(f"Budgets on {env}", members, lambda run: f"{budgets[id(run)]:,.0f} env steps")
    return faults


def _setting(run: Run, key: str) -> str:
    """The values of a key, or of all keys of a mapping."""
    found = {
        name.removeprefix(key).lstrip("."): value
        for name, value in run.settings.items()
        if name == key or name.startswith(f"{key}.")
    }
    return display(found.get("", found))


def _differences(title: str, runs: Iterable[Run], value: Callable[[Run], str]) -> list[str]:
    """A sentence with the values that differ, and how many runs have each."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[value(run)] = counts.get(value(run), 0) + 1
    if len(counts) < 2:
        return []
    texts = [f"{one_line(text, 80)} ({counted(count, 'run')})" for text, count in counts.items()]
    more = len(texts) - NAMED
    return [f"{title} differ: {', '.join(texts[:NAMED])}{f' and {more} more' if more > 0 else ''}."]


def _hint(kept: Sequence[Entrant]) -> str:
    """What to do about runs that do not agree."""
    budgets = {one.budget for one in kept}
    cut = f" At equal env steps: --until {min(budgets):.0f}." if len(budgets) > 1 else ""
    return f"Compare them anyway: --force.{cut}"
