"""Names of settings and metrics in Stable-Baselines3, CleanRL and RLlib, with their counterparts here.

The table is rlcli/config/peer_names.py. The message about an unknown key, `rlcli explain` and
docs/coming_from.md are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from rlcli.config.peer import Numbers, PeerName
from rlcli.config.peer_names import PEER_NAMES


def normalised(name: str) -> str:
    """A name without its section, in lower case, with underscores: `lr` for `algo.LR` and `--lr`."""
    return name.rpartition(".")[2].lower().lstrip("-+~").replace("-", "_").strip("_")


@cache
def _by_name() -> Mapping[str, tuple[PeerName, ...]]:
    """Every entry by its normalised name; metrics by their last part too."""
    found: dict[str, tuple[PeerName, ...]] = {}
    for entry in PEER_NAMES:
        for name in {normalised(entry.name), normalised(entry.name.rpartition("/")[2])}:
            found[name] = (*found.get(name, ()), entry)
    return found


def named(name: str) -> tuple[PeerName, ...]:
    """The entries of a name, whatever section it is typed with."""
    return _by_name().get(normalised(name), ())


def settings_named(name: str) -> tuple[PeerName, ...]:
    """The entries of a name that are settings."""
    return tuple(entry for entry in named(name) if not entry.metric)


def meanings(entries: Iterable[PeerName]) -> Iterator[tuple[str, Sequence[PeerName]]]:
    """A sentence for each meaning among some entries, with the entries that have it."""
    alike: dict[tuple[str, tuple[str, ...], str], list[PeerName]] = {}
    for entry in entries:
        alike.setdefault((entry.name, entry.ours, entry.note), []).append(entry)
    for (name, ours, note), group in alike.items():
        here = f"is {_listed(ours)} here" if ours else "is not a setting here"
        libraries = _listed(dict.fromkeys(one.library for one in group))
        yield f"{name} of {libraries} {here}{': ' + note if note else ''}.", group


def advice(entries: Iterable[PeerName], values: Sequence[tuple[str, Any]], numbers: Numbers) -> str:
    """The meanings of a name given with values, each with the override to write where that is known."""
    return " ".join(
        sentence + (f" Write {override}." if (override := _override(group[0], values, numbers)) else "")
        for sentence, group in meanings(entries)
    )


def numbers_of(
    typed: Numbers, foreign: Mapping[str, Sequence[tuple[str, Any]]], composed: Numbers
) -> dict[str, Any]:
    """Numbers of a command: typed by our keys, else given by names of peers, else as composed.

    A name with several values, or one that is another key in another library, gives none.
    """
    single = {name: values[0] for name, values in foreign.items() if len(values) == 1}
    given = dict(typed)
    names = {normalised(name): value for name, (_, value) in single.items()}
    for wanted in ("env.num_envs", "algo.rollout_steps", "algo.clip"):
        for name, (text, value) in single.items():
            entries = settings_named(name)
            if {one.ours for one in entries} == {(wanted,)}:
                override = entries[0].override(text, value, {**composed, **names, **given})
                if override is not None:
                    given.setdefault(wanted, _number(override.partition("=")[2]))
    return {**composed, **names, **given}


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _override(entry: PeerName, values: Sequence[tuple[str, Any]], numbers: Numbers) -> str | None:
    """One override for all values, joined by commas; None where one of them cannot be converted."""
    overrides = [entry.override(text, value, numbers) for text, value in values]
    pairs = [(key, text) for key, _, text in (override.partition("=") for override in overrides if override)]
    keys = dict.fromkeys(key for key, _ in pairs)
    if len(pairs) < len(overrides) or len(keys) != 1:
        return None
    return f"{next(iter(keys))}={','.join(text for _, text in pairs)}"


def known_as(ours: str) -> list[str]:
    """The names that other libraries have for a key or a metric, such as 'n_steps (Stable-Baselines3)'."""
    group = ours.removesuffix(".id").removesuffix(".name")
    found = (one for one in PEER_NAMES if not {ours, group}.isdisjoint(one.ours))
    return list(dict.fromkeys(f"{one.name} ({one.library})" for one in found))


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
