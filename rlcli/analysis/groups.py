"""Groups of runs that differ in nothing but their seeds, or that agree in chosen settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlcli.analysis.selection import Run
from rlcli.config.schema.keys import KEYS
from rlcli.config.values import display
from rlcli.errors import UserError, unknown

SEED = "seed"
CHOICES = {"algo": "algo.name", "env": "env.id", "network": "network.name"}
"""Groups of the command line, with the key that names the choice."""


@dataclass(frozen=True)
class Group:
    """Runs of equal settings, seeds apart."""

    label: str
    """What tells it from the others: `algo=ppo clip=0.1`; of a lone group, its algorithm and environment."""
    values: dict[str, Any]
    """The settings of the label by dotted key; None where its runs lack the key."""
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(int(run.summary["seed"]) for run in self.runs)


def group(runs: Sequence[Run], by: Sequence[str] | None = None) -> list[Group]:
    """Groups in the order of their first runs.

    `by` are keys, of the schema or of the runs' own code, or names of choices (algo, env, network); without
    it, runs are distinct apart by all settings that have an effect on results, except the seed.

    Raises:
        UserError: no run has a key of that name.
    """
    keys = _differing(runs) if by is None else [_key(name, runs) for name in by]
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(display(run.settings.get(key)) for key in keys), []).append(run)
    return [_group(keys, members) for members in found.values()]


def _group(keys: Sequence[str], members: Sequence[Run]) -> Group:
    first = members[0]
    values = {key: first.settings.get(key) for key in keys}
    label = " ".join(f"{short(key)}={display(value)}" for key, value in values.items())
    return Group(label or f"{first.summary['algo']} on {first.summary['env']}", values, tuple(members))


def _differing(runs: Sequence[Run]) -> list[str]:
    """Keys in which runs differ; the algorithm and the environment first.

    What follows from another choice, such as the keys that another algorithm does not have, is left out where
    that choice tells the same runs apart.
    """
    keys = dict.fromkeys(["algo.name", "env.id", *(key for run in runs for key in run.settings)])
    values = {key: tuple(display(run.settings.get(key)) for run in runs) for key in keys}
    differing = [key for key in keys if key != SEED and _matters(key) and len(set(values[key])) > 1]
    kept: list[str] = []
    for key in differing:
        apart = set(zip(*(values[other] for other in kept), strict=True)) if kept else {()}
        if len(set(zip(*(values[other] for other in (*kept, key)), strict=True))) > len(apart):
            kept.append(key)
    return kept


def _matters(key: str) -> bool:
    """Whether a key may have an effect on results; keys of the user's own code may."""
    known = KEYS.get(key)
    return key in CHOICES.values() or known is None or known.declaration.effect != "nothing"


def _key(name: str, runs: Sequence[Run]) -> str:
    known = dict.fromkeys([*CHOICES, *(key for run in runs for key in run.settings)])
    matches = [key for key in known if key == name or key.rpartition(".")[2] == name]
    exact = CHOICES.get(name) or (name if name in known else None)
    if exact is not None:
        return exact
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"--by {name} means several keys: {', '.join(matches)}.")
    raise UserError(unknown("key", name, list(known)), hint="All of them: rlcli explain")


def short(key: str) -> str:
    """A key as it is typed, cut to its last part where no other key has the same."""
    chosen = {value: choice for choice, value in CHOICES.items()}.get(key)
    leaf = key.rpartition(".")[2]
    return chosen or (leaf if sum(name.rpartition(".")[2] == leaf for name in KEYS) == 1 else key)


def methods(runs: Sequence[Run], by: Sequence[str] | None = None) -> list[Group]:
    """Groups of runs over all environments, told apart by what differs within an environment.

    `by` is as in `group`; the environment itself tells no methods apart.

    Raises:
        UserError: no run has a key of that name.
    """
    if by is None:
        within = [key for _, members in by_environment(runs) for key in _differing(members)]
    else:
        within = [_key(name, runs) for name in by]
    keys = [key for key in dict.fromkeys(within) if key != CHOICES["env"]]
    found: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(display(run.settings.get(key)) for key in keys), []).append(run)
    if keys:
        return [_group(keys, members) for members in found.values()]
    algorithms = dict.fromkeys(str(run.summary["algo"]) for run in runs)
    return [Group(", ".join(algorithms), {}, tuple(runs))]


def mixed(members: Sequence[Run]) -> list[str]:
    """Settings in which the runs of a group differ within an environment, as they are typed."""
    return list(
        dict.fromkeys(short(key) for _, within in by_environment(members) for key in _differing(within))
    )


def repeated(runs: Sequence[Run]) -> list[Run]:
    """Runs with the seed and all settings of an earlier one: reproductions, which are no further samples."""
    found, seen = [], set()
    for run in runs:
        settings = {key: display(value) for key, value in run.settings.items() if _matters(key)}
        identity = tuple(sorted(settings.items()))
        if identity in seen:
            found.append(run)
        seen.add(identity)
    return found


def by_environment(runs: Sequence[Run]) -> Iterator[tuple[str, list[Run]]]:
    """Runs of each environment, in the order of their first runs."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(str(run.summary["env"]), []).append(run)
    yield from found.items()
