"""`rlcli audit`: a verdict on every update of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from rlcli.cli.options import AsJson, Imports
from rlcli.cli.output import count, emit, paragraph, result, say, table
from rlcli.text import counted

if TYPE_CHECKING:
    from rlcli.analysis.audit.audit import Audit, Fall
    from rlcli.analysis.audit.fresh import Gain

BROKEN = 1
"""Exit code where an invariant is broken."""
SHORT = {
    "train/return_100": "return (100)",
    "train/return_mean": "return",
    "update/budget_used": "budget",
    "behaviour/kl_mu_pi": "KL(mu|pi)",
    "behaviour/kl_pi_mu": "KL(pi|mu)",
    "behaviour/ess": "ESS",
    "behaviour/khat": "k-hat",
    "behaviour/clip_fraction": "clipped",
    "behaviour/ratio_p01": "ratio 1%",
    "behaviour/ratio_p99": "ratio 99%",
    "update/entropy": "entropy",
    "update/explained_variance": "expl. var.",
    "update/gain_predicted": "promised",
    "update/gain_realised": "realised",
}
"""Headings of the table before a fall."""


def audit(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN|SWEEP", help="Runs or sweeps.", show_default=False)
    ],
    fresh: Annotated[
        int | None,
        typer.Option(
            "--fresh", min=2, metavar="N", help="Play N episodes of every kept checkpoint: gains really made."
        ),
    ] = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Judge every update of a run.

    Verdicts: inside the region of trust, at its edge, outside, or diverging (outside three times in a row);
    the rules are in docs/audit.md. Also: invariants, median and worst of each figure, the updates before the
    worst fall of the return, and what to try next. Exit code 1 if an invariant is broken.

    Examples:
      rlcli audit last
      rlcli audit last --fresh 100
      rlcli audit runs/my-sweep --json
    """
    from rlcli.analysis.audit.audit import audit as audit_run
    from rlcli.analysis.audit.fresh import check_kept, fresh_gains
    from rlcli.analysis.selection import select
    from rlcli.store.directory import runs_root

    selection = select(runs, runs_root())
    for fault in selection.faults:
        say(f"Warning: {fault}")
    if fresh is not None:
        check_kept(selection.runs)
    broken = False
    for place, run in enumerate(selection.runs):
        found = audit_run(run)
        gains = None if fresh is None else list(fresh_gains(run, fresh, imports or ()))
        broken = broken or bool(found.breaches)
        if as_json:
            emit(found.row() | ({} if gains is None else {"fresh": [_gain_row(gain) for gain in gains]}))
            continue
        if place:
            result()
        _print(found, gains)
    if broken:
        raise typer.Exit(BROKEN)


def _print(found: Audit, gains: list[Gain] | None) -> None:
    from rlcli.analysis.audit.verdicts import VERDICTS

    run = found.run
    updates = len(run.history)
    ended = "" if run.summary["status"] == "finished" else f", {run.summary['status']}"
    what = f"{counted(updates, 'update')}{ended}"
    paragraph(f"{run.name}: {run.summary['algo']} on {run.summary['env']}, {what}")
    if found.message:
        paragraph(f"It did not finish: {found.message}")
    for breach in found.breaches:
        paragraph(f"Invariant broken: {breach.sentence}")
    if not updates:
        paragraph("There is no update to judge.")
        return
    if not found.breaches:
        paragraph("Invariants: all hold")
    verdicts = (f"{count(found.verdicts.count(place))} {name}" for place, name in enumerate(VERDICTS))
    paragraph(", ".join(verdicts))
    if found.outside:
        paragraph(f"Left the region: updates {_listed(found.outside)}; {_reasons(found)}")
    _print_figures(found)
    if found.fall is not None:
        _print_fall(found.fall)
    if gains is not None:
        _print_gains(gains)
    for one in found.advice:
        result()
        paragraph(f"Try: {one.text}")
        paragraph(f"because {one.because}; {one.source}", "  ")


def _print_figures(found: Audit) -> None:
    if found.kept_promise is not None:
        paragraph(f"Realised gain over predicted, median: {found.kept_promise:.2f}")
    if found.step_outcomes:
        outcomes = (f"{count(amount)} {name}" for name, amount in found.step_outcomes.items())
        paragraph(f"Natural steps: {', '.join(outcomes)}")
    rows = [
        (metric, _figure(one.median), _figure(one.worst), count(one.update))
        for metric, one in found.figures.items()
    ]
    if rows:
        result()
        headings = ("figure", "median", "worst", "at update")
        table(headings, rows, headings[1:])


def _print_fall(fall: Fall) -> None:
    names = [name for name in SHORT if any(name in row for row in fall.rows)]
    result()
    paragraph(
        f"Worst fall of the return over 100 episodes: {fall.start:.1f} to {fall.end:.1f} at update "
        f"{count(fall.update)}"
    )
    rows = [(count(int(row["update"])), *(_figure(row.get(name)) for name in names)) for row in fall.rows]
    headings = ("update", *(SHORT[name] for name in names))
    table(headings, rows, headings, optional=len(headings) - 5)


def _print_gains(gains: list[Gain]) -> None:
    rows = [
        (
            f"{count(gain.before.update)} to {count(gain.after.update)}",
            f"{gain.before.mean:.1f}",
            f"{gain.after.mean:.1f} ({gain.after.low:.1f} to {gain.after.high:.1f})",
            f"{gain.measured:+.1f}",
            _figure(gain.realised),
        )
        for gain in gains
    ]
    result()
    table(("updates", "before", "after (95% interval)", "gain", "realised on its batches"), rows)


def _gain_row(gain: Gain) -> dict[str, object]:
    return {
        "before": gain.before._asdict(), "after": gain.after._asdict(), "gain": gain.measured,
        "realised": gain.realised,
    }  # fmt: skip


def _reasons(found: Audit) -> str:
    """How often each rule was broken outside, most often first."""
    from collections import Counter

    from rlcli.analysis.audit.verdicts import OUTSIDE

    counts = Counter(
        rule.text for rules in found.verdicts.broken for rule in rules if rule.verdict == OUTSIDE
    )
    return ", ".join(f"{text} ({amount})" for text, amount in counts.most_common())


def _listed(updates: list[int]) -> str:
    """Numbers as ranges: 3-5, 9; at most eight of them."""
    ranges: list[list[int]] = []
    for update in updates:
        if ranges and update == ranges[-1][1] + 1:
            ranges[-1][1] = update
        else:
            ranges.append([update, update])
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:8]]
    return ", ".join(shown) + (", ..." if len(ranges) > 8 else "")


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3g}"
