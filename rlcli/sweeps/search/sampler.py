"""Optuna's samplers, pruning rules and distributions for the settings of a search.

Each draw has a sampler of its own, seeded for the number of its trial, so that a draw depends on nothing that
a process keeps in memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Container, Mapping

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler

from rlcli.config.schema.run import RunConfig
from rlcli.config.search import Search
from rlcli.config.space import Dimension, Value

Combination = tuple[tuple[str, Value], ...]
"""The parameters of a trial in an order of their own: two trials with the same one are repeats."""


def pruning_rule(config: RunConfig) -> BasePruner:
    """Optuna's rule for ending trials of a sweep early."""
    sweep = config.sweep
    first = max(sweep.prune_every, sweep.prune_warmup)
    if sweep.pruner == "median":
        return MedianPruner(n_startup_trials=sweep.prune_startup, n_warmup_steps=sweep.prune_warmup)
    if sweep.pruner == "halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=sweep.prune_factor)
    if sweep.pruner == "hyperband":
        return HyperbandPruner(
            min_resource=first, max_resource=max(first, config.total_steps),
            reduction_factor=sweep.prune_factor,
        )  # fmt: skip
    return NopPruner()


def sampler(search: Search, number: int, attempt: int) -> BaseSampler:
    """The sampler for one draw: that of trial `number`, after `attempt` draws that were repeats."""
    kind = search.settings.sampler
    # The order of a grid's points is drawn once for all.
    draw = "grid" if kind == "grid" else f"{number}:{attempt}" if attempt else str(number)
    seed = _seed(search, draw)
    if kind == "tpe":
        return TPESampler(seed=seed, constant_liar=search.parallel > 1)
    if kind == "nsgaii":
        return NSGAIISampler(seed=seed, population_size=max(2, search.parallel))
    if kind == "grid":
        return GridSampler({one.key: list(one.points() or ()) for one in search.dimensions}, seed=seed)
    return RandomSampler(seed=seed)


def _seed(search: Search, draw: str) -> int:
    digest = hashlib.sha256(f"{search.settings.sampler_seed}:{draw}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def combination(params: Mapping[str, Value]) -> Combination:
    """The parameters in sorted order, to compare trials by."""
    return tuple(sorted(params.items()))


def untried_combination(
    search: Search, number: int, tried: Container[Combination], combinations: int
) -> dict[str, Value]:
    """A combination that was not tried: the next one after a place drawn for the trial."""
    first = random.Random(_seed(search, f"{number}:untried")).randrange(combinations)  # noqa: S311
    for step in range(combinations):  # there are more than were tried
        place, params = (first + step) % combinations, {}
        for one in search.dimensions:
            place, own = divmod(place, one.count or 1)
            params[one.key] = one.at(own)
        if combination(params) not in tried:
            return params
    raise AssertionError("every combination has been tried")


def distribution(one: Dimension) -> BaseDistribution:
    """Optuna's distribution of a search dimension."""
    if one.kind == "choice":
        return CategoricalDistribution(one.setting.texts)
    if one.kind == "whole":
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=one.step)
    return FloatDistribution(one.low, one.high, log=one.log)
