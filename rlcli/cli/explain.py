"""`rlcli explain`: definition of a metric or a configuration key."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rlcli.cli.options import AsJson, Imports
from rlcli.cli.output import emit, paragraph, result, table
from rlcli.cli.own_code import import_own_code
from rlcli.errors import UserError, nearest

FULL = 8
"""Maximum number of entries shown in full; more are shown in one line each."""


def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[METRIC_OR_KEY]", help="Such as algo.clip or behaviour/ess; default: list all."
        ),
    ] = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Explain a metric or a configuration key.

    Its definition, unit, formula, default, range, and the settings under which it is used. A part of the name
    is enough, and so is its name in Stable-Baselines3, CleanRL or RLlib.

    Examples:
      rlcli explain algo.gae_lambda
      rlcli explain clip_fraction
      rlcli explain KL                every key and metric with this word in its name
      rlcli explain ppo               an algorithm
      rlcli explain batch_size        counterparts of a name of another library
      rlcli explain                   every key and metric in one line each
    """
    import_own_code(imports or ())
    entries = {**_keys(), **_metrics()}
    if name is None:
        _print_all(entries, as_json)
        return
    found = _matching(name, entries)
    if len(found) > FULL:
        _print_all({entry["name"]: entry for entry in found}, as_json)
        return
    for position, entry in enumerate(found):
        if as_json:
            emit(entry)
        else:
            if position:
                result()
            _print_entry(entry)


def _keys() -> dict[str, dict[str, Any]]:
    from rlcli.config.schema.keys import KEYS

    return {name: _key_entry(key) for name, key in KEYS.items()}


def _key_entry(key: Any) -> dict[str, Any]:
    from rlcli.config.extensions import CHOSEN_BY, owner
    from rlcli.config.peers import known_as

    declared = key.declaration
    section = key.name.rpartition(".")[0]
    of_addition = owner(key.name)
    used_by = "every run"
    if of_addition is not None:
        used_by = " or ".join(f"{field}={of_addition[1]}" for field in CHOSEN_BY[of_addition[0]][:2])
    if declared.used_by:
        field, values = declared.used_by
        used_by = f"{section}.{field}={'|'.join(values)}"
    return {
        "name": key.name,
        "kind": "key",
        "definition": declared.doc,
        "type": _type_name(key),
        "unit": declared.unit or None,
        "default": list(key.default) if key.is_list else key.default,
        "range": declared.bounds() or None,
        "choices": declared.written_choices,
        "used_by": used_by,
        "affects_results": _EFFECTS[declared.effect],
        "resume_may_change_it": declared.resumable,
        "may_differ_in_a_cohort": declared.cohort or declared.effect == "nothing",
        "names_elsewhere": known_as(key.name) or None,
    }


_LISTS = ("choices", "names_elsewhere", "sources", "here")
"""Fields that are lists of names."""
_EFFECTS = {"results": "yes", "maybe": "in the last digits at most", "nothing": "no"}


def _type_name(key: Any) -> str:
    if key.is_mapping:
        return "mapping"
    if key.takes_calls:
        return "list of names, each with or without arguments"
    name = {int: "whole number", float: "number", bool: "true or false", str: "text"}[key.scalar_type]
    name = f"list of {name}" if key.is_list else name
    return ", or ".join((name, *key.declaration.words, *(["null"] if key.optional else [])))


def _metrics() -> dict[str, dict[str, Any]]:
    from rlcli.catalog.table import METRICS

    found: Mapping[str, Any] = METRICS
    return {name: {"kind": "metric", **dataclasses.asdict(metric)} for name, metric in found.items()}


def _matching(name: str, entries: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The entry of that name, or the algorithm; else those with that last part, of that section, with that
    name in another library, with those words in their names, or in their definitions.

    Raises:
        UserError: there is none; the nearest are named.
    """
    if name in entries:
        return [entries[name]]
    algorithm = _algorithm(name)
    if algorithm is not None:
        return [algorithm]
    by_leaf = [entry for full, entry in entries.items() if _leaf(full) == name.lower()]
    section = (f"{name.rstrip('.')}.", f"{name.rstrip('/')}/")
    by_section = [entry for full, entry in entries.items() if full.startswith(section)]
    if by_leaf:
        return by_leaf + _elsewhere(name, entries, known=[entry["name"] for entry in by_leaf])
    found = by_section or _elsewhere(name, entries) or _by_words(name, entries)
    if found:
        return found
    alike = nearest(name, entries)
    guess = " Did you mean " + " or ".join(map(repr, alike)) + "?" if alike else ""
    raise UserError(f"Unknown metric or key {name!r}.{guess}", hint="All of them: rlcli explain")


def _algorithm(name: str) -> dict[str, Any] | None:
    """Entry of an algorithm, in either case and also written `algo=ppo`; None where there is none."""
    from rlcli.config.extensions import ADDITIONS, ROWS
    from rlcli.config.groups import files, summary

    wanted = name.lower().removeprefix("algo=")
    found, own = files("algo", None).get(wanted), ROWS.get("algo", {}).get(wanted)
    if found is None and own is None:
        return None
    entry = {"name": f"algo={wanted}", "kind": "algorithm"}
    if found is not None:
        settings = f"rlcli train algo={wanted} --cfg job"
        return entry | {"definition": summary(found), "settings": settings, "page": "docs/algorithms.md"}
    assert own is not None
    addition = ADDITIONS["algo", wanted]
    settings = f"rlcli train --import {addition.module} algo={wanted} --cfg job"
    return entry | {"definition": own.doc, "settings": settings, "code": addition.place}


def _elsewhere(
    name: str, entries: Mapping[str, dict[str, Any]], known: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Meanings of a name in other libraries, and its counterparts here that are not `known` already."""
    from rlcli.config.peers import meanings, named

    found: list[dict[str, Any]] = []
    here: dict[str, None] = {}
    for sentence, group in meanings(one for one in named(name) if not set(one.ours) & set(known)):
        found.append(
            {
                "name": group[0].name,
                "kind": "elsewhere",
                "definition": sentence,
                "sources": list(dict.fromkeys(f"{one.library}: {one.source}" for one in group)),
                "here": list(group[0].ours) or None,
            }
        )
        here |= dict.fromkeys(group[0].ours)
    keys = (full for ours in here for full in (ours, f"{ours}.id", f"{ours}.name") if full in entries)
    return found + [entries[full] for full in keys]


def _by_words(name: str, entries: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with the given words in their names; else those with the given text in their definitions."""
    wanted = _words(name)
    by_name = [entry for full, entry in entries.items() if wanted <= _words(full)]
    text = name.lower()
    return by_name or [entry for entry in entries.values() if text in str(entry["definition"]).lower()]


def _words(name: str) -> set[str]:
    return set(re.split(r"[\s/._-]+", name.lower()))


def _leaf(name: str) -> str:
    return name.replace("/", ".").rpartition(".")[2]


def _print_entry(entry: Mapping[str, Any]) -> None:
    from rlcli.config.values import display

    result(str(entry["name"]))
    paragraph(str(entry["definition"]), "  ")
    for field, value in entry.items():
        shown = field not in ("name", "definition", "kind") and value != ""
        if shown and (value is not None or field == "default"):
            text = ", ".join(value) if field in _LISTS else display(value)
            paragraph(f"{field.replace('_', ' ')}: {text}", "  ")


def _print_all(entries: Mapping[str, dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for entry in entries.values():
            emit(entry)
        return
    table(("name", "meaning"), [(name, str(entry["definition"])) for name, entry in entries.items()])
