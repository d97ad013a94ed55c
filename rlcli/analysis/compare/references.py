"""Figures that others published, and which of them may stand beside ours.

`published/NAME.csv` has one figure per row: environment, algorithm, env steps, seeds, mean, spread and what
it is the spread of, the kind of return (`KINDS`), and the source.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from rlcli.errors import UserError, unknown

FOLDER = "published"
VERSION = re.compile(r"(.+)-v([0-9]+)")


@dataclass(frozen=True)
class Kind:
    """A kind of return that is published."""

    text: str
    metric: str | None = None
    """The metric of ours that is the same; None where none is, or the source does not define its own."""
    score: str = "final"


KINDS = {
    "train_end": Kind("the mean return of training episodes at the end", "train/return_100"),
    "train_whole": Kind("the mean return of training episodes over the whole run"),
    "eval_greedy": Kind("the return of the final policy, acting deterministically", "eval/return_mean"),
    "eval_sampled": Kind("the return of the final policy, acting at random"),
    "eval_best": Kind("the best evaluation of each run", "eval/return_mean", "best"),
    "best_checkpoint": Kind("the return of the best policy saved, chosen among several"),
    "final": Kind("a final return, in training or evaluation"),
    "unstated": Kind("a return that the source does not define"),
}


@dataclass(frozen=True)
class Figure:
    """A published figure."""

    env: str
    algorithm: str
    steps: int
    seeds: int
    mean: float
    spread: float | None
    spread_of: str
    kind: str
    source: str


@dataclass(frozen=True)
class Matched:
    """What a set of published figures has for the runs of one environment."""

    figures: tuple[Figure, ...]
    reason: str | None
    """Why there are none, in a sentence."""


def names() -> list[str]:
    """The sets of published figures."""
    files = (resources.files("rlcli.analysis.compare") / FOLDER).iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def read(name: str) -> list[Figure]:
    """The figures of a set.

    Raises:
        UserError: there is no set of that name.
    """
    if name not in names():
        raise UserError(unknown("set of published figures", name, names()))
    text = (resources.files("rlcli.analysis.compare") / FOLDER / f"{name}.csv").read_text("utf-8")
    return [_figure(row) for row in csv.DictReader(text.splitlines())]


def _figure(row: dict[str, str]) -> Figure:
    return Figure(
        env=row["env"],
        algorithm=row["algorithm"],
        steps=int(row["steps"]),
        seeds=int(row["seeds"]),
        mean=float(row["mean"]),
        spread=float(row["spread"]) if row["spread"] else None,
        spread_of=row["spread_of"],
        kind=row["kind"],
        source=row["source"],
    )


def base_and_version(env: str) -> tuple[str, str]:
    """The name of an environment without its version, and the version; empty where the id has none."""
    found = VERSION.fullmatch(env)
    return (found[1], found[2]) if found else (env, "")


def matched(figures: Sequence[Figure], name: str, env: str, budget: float, metric: str) -> Matched:
    """Figures of the same environment and version, the same budget of env steps, and the same metric."""
    same_env = [one for one in figures if one.env == env]
    if not same_env:
        base, _ = base_and_version(env)
        others = dict.fromkeys(one.env for one in figures if base_and_version(one.env)[0] == base)
        if others:
            return Matched((), f"{name} has {', '.join(others)}, another version of {env}.")
        return Matched((), f"{name} has no figure of {env}.")
    same_budget = [one for one in same_env if one.steps == budget]
    if not same_budget:
        steps = " and ".join(f"{count:,}" for count in sorted({one.steps for one in same_env}))
        return Matched((), f"{name} has {env} after {steps} env steps; these runs have {budget:,.0f}.")
    same = tuple(one for one in same_budget if KINDS[one.kind].metric == metric)
    if same:
        return Matched(same, None)
    kinds = list(dict.fromkeys(one.kind for one in same_budget))
    texts = " and ".join(KINDS[kind].text for kind in kinds)
    wanted = next((KINDS[kind].metric for kind in kinds if KINDS[kind].metric), None)
    advice = f": --metric {wanted}" if wanted else ", which no metric here is"
    return Matched((), f"Of {env}, {name} has {texts}{advice}.")


def sources(beside: Iterable[Matched]) -> list[str]:
    """Where published figures come from, in sentences."""
    found = dict.fromkeys(one.source for matched in beside for one in matched.figures)
    return [f"Published: {source}" for source in found]
