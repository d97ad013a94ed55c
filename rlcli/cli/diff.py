"""`rlcli diff`: differences of two runs in settings, results and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlcli.cli.named import named_run
from rlcli.cli.options import AsJson
from rlcli.cli.output import count, emit, result, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rlcli.runs.diff import Differences, Differing

GROUPS = {"results": "affects results", "maybe": "may affect results", "nothing": "cosmetic"}
"""Headings of differences, by their effect."""


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A run, as for show.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Compare two runs.

    First the differences in config, packages, machine and code, grouped by their effect on results. Then the
    first update whose digests differ, and the last metrics of each side by side.

    Exit code, as of diff: 0 when every update that both have is the same, 1 when not.

    Examples:
      rlcli diff last runs/my-run
      rlcli diff 73973d4e 5e02 --json
    """
    from rlcli.runs.diff import differences

    left, right = named_run(a), named_run(b)
    found = differences(left, right)
    if as_json:
        emit(_row(left, right, found))
    else:
        _print(left, right, found)
    if not found.same:
        raise typer.Exit(1)


def _print(left: Path, right: Path, found: Differences) -> None:
    result(f"A: {left}")
    result(f"B: {right}")
    for effect, heading in GROUPS.items():
        differing = [one for one in found.settings if one.effect == effect]
        if differing:
            result()
            table((heading, "A", "B"), [(one.name, _text(one.left), _text(one.right)) for one in differing])
    if not found.settings:
        result("Config, packages, machine and code are the same.")
    result()
    result(_outcome(found))
    rows = _figures(*found.figures)
    if rows:
        result()
        table(("last row", "A", "B", "B - A"), rows, right=("A", "B", "B - A"))


def _outcome(found: Differences) -> str:
    """Result of comparing the digests, in a sentence."""
    compared = found.comparison
    if compared is None:
        return f"Results cannot be compared: {found.reason}."
    if compared.difference is None:
        updates = "update is" if compared.updates == 1 else "updates are"
        last = f" up to update {compared.last}" if compared.last is not None else ""
        return f"same: {count(compared.updates)} {updates} the same{last}, in every digest"
    where = ", ".join(compared.difference.quantities) or "a digest of all"
    return f"different: the runs differ first at update {compared.difference.update}, in {where}"


def _figures(left: dict[str, float], right: dict[str, float]) -> Sequence[Sequence[str]]:
    from rlcli.catalog.table import HEADLINES

    return [
        (name, _number(left.get(name)), _number(right.get(name)), _number(_minus(right, left, name)))
        for name in ("update", "env_steps", *HEADLINES)
        if name in left or name in right
    ]


def _minus(one: dict[str, float], other: dict[str, float], name: str) -> float | None:
    return one[name] - other[name] if name in one and name in other else None


def _number(value: float | None) -> str:
    return "-" if value is None else count(value) if isinstance(value, int) else f"{value:.4g}"


def _text(value: Any) -> str:
    from rlcli.config.values import display

    return "-" if value is None else display(value)


def _row(left: Path, right: Path, found: Differences) -> dict[str, Any]:
    def listed(differing: Sequence[Differing]) -> list[dict[str, Any]]:
        return [{"name": one.name, "a": one.left, "b": one.right} for one in differing]

    compared = found.comparison
    return {
        "same": None if compared is None else found.same,
        "reason": found.reason,
        "updates": 0 if compared is None else compared.updates,
        "last": None if compared is None else compared.last,
        "difference": None
        if compared is None or compared.difference is None
        else compared.difference._asdict(),
        "differences": {
            effect: listed([one for one in found.settings if one.effect == effect]) for effect in GROUPS
        },
        "figures": dict(zip(("a", "b"), found.figures, strict=True)),
        "a": str(left),
        "b": str(right),
    }
