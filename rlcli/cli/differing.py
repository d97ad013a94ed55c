"""Settings of a run that differ from the default, in short: `clip=0.1 hidden=[128,128]`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from rlcli.config.schema.keys import KEYS

COSMETIC = ("name", "sweep", "hydra")
"""Keys, and groups of keys, that are no settings of training."""
CHOSEN = {"algo": "algo.name", "env": "env.id", "seed": "seed", "network": "network.name", "tuned": "tuned"}
"""Choices that are left out where they are the default, with the key of the schema that they set."""
SHOWN = 3
"""Maximum values shown of a setting in which the runs of a sweep differ."""


def differing(members: Sequence[Mapping[str, Any]], title: str) -> str:
    """Settings given to a run, or to all runs of a sweep, without those that its name `title` shows.

    Keys are cut to their last part where no other key has the same. A reproduction has the settings of its
    original, which is named instead.
    """
    first = members[0]
    if len(members) == 1 and first.get("reproduces"):
        return f"reproduction of {first['reproduces']}"
    values: dict[str, dict[str, None]] = {}
    for run in members:
        for key, value in _given(run).items():
            values.setdefault(key, {})[value] = None
    named = _named(first, title)
    shown = [
        f"{_short(key)}={_joined(list(found))}"
        for key, found in values.items()
        if not _is_cosmetic(key) and list(found) != [_default(key)]
    ]
    return " ".join([*_forked(members), *(text for text in shown if text not in named)])


def _forked(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """`fork of 73973d4e@40` where runs are forks; of several parents the number."""
    parents = [f"{run['parent']['id']}@{run['parent']['update']}" for run in members if run.get("parent")]
    found = list(dict.fromkeys(parents))
    return [f"fork of {_joined(found)}"] if found else []


def _given(run: Mapping[str, Any]) -> dict[str, str]:
    """Settings given when a run started or was resumed, as they were typed."""
    resumed = [text for one in run["resumes"] or () for text in one["overrides"]]
    found: dict[str, str] = {}
    for text in (*(run["overrides"] or ()), *resumed):
        key, _, value = str(text).lstrip("+~").partition("=")
        found[key] = value
    return found


def _is_cosmetic(key: str) -> bool:
    known = KEYS.get(key)
    return key not in CHOSEN and (
        re.split(r"[./]", key)[0] in COSMETIC or (known is not None and known.declaration.effect == "nothing")
    )


def _default(key: str) -> str | None:
    """The default of a choice that is left out where it has it; None for other keys."""
    return str(KEYS[CHOSEN[key]].default) if key in CHOSEN else None


def _named(run: Mapping[str, Any], title: str) -> set[str]:
    """Settings that a name shows: `ppo-CartPole-v1-s0-<date>`, or `clip=0.1,seed=0` of a sweep's job."""
    algo, env = str(run["algo"]), re.sub(r"[^A-Za-z0-9_.+=,@-]+", "-", str(run["env"]))
    described = f"{algo}-{env}-"
    made = title.removeprefix("sweep-").startswith(described)
    found = {f"algo={algo}", f"env={run['env']}"} if made else set()
    if title.startswith(f"{described}s{run['seed']}-"):
        found.add(f"seed={run['seed']}")
    return found | set(title.split(","))


def _joined(values: Sequence[str]) -> str:
    return ",".join(values) if len(values) <= SHOWN else f"{values[0]},...({len(values)} values)"


def _short(key: str) -> str:
    leaf = key.rpartition(".")[2]
    return leaf if _leaves()[leaf] == 1 else key


@cache
def _leaves() -> Counter[str]:
    return Counter(name.rpartition(".")[2] for name in KEYS)
