"""Invariants: what holds for the figures of every update, whatever the settings; a breach is a defect.

That every ratio is 1 before the first step (at lag 0) is asserted while training: a run that broke it failed
with exit code 3, and its message says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.analysis.history import Array, History

ROUNDING = 1e-9
NATURAL = 1e-4
"""Relative excess of a natural step's KL over delta that is rounding."""
SHOWN = 5
"""Updates of a breach that are named."""
REFERENCES = {"behaviour": ("mu_pi", "pi_mu"), "update": ("anchor_pi", "pi_anchor")}


@dataclass(frozen=True)
class Breach:
    """An invariant that updates break."""

    text: str
    updates: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """The breach in words, with its first updates."""
        named = ", ".join(map(str, self.updates[:SHOWN]))
        more = len(self.updates) - SHOWN
        return f"{self.text}: update{'s' if len(self.updates) > 1 else ''} {named}" + (
            f" and {more} more" if more > 0 else ""
        )


@dataclass(frozen=True)
class Invariant:
    """A statement about the columns of a run, each [K]; NaN where a row lacks a metric."""

    text: str
    metrics: tuple[str, ...]
    broken: Callable[..., npt.NDArray[np.bool_]]


def _nonnegative(kl: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(kl < 0)


def _share(ess: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((ess <= 0) | (ess > 1))


def _within(tv: Array, bound: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(tv > bound * (1 + ROUNDING) + ROUNDING)


def _ordered(*quantiles: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.any([a > b for a, b in itertools.pairwise(quantiles)], axis=0))


def _clipped_ess(ess: Array, outside: Array, clip: Array, lag: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((outside == 0) & (lag == 0) & (ess < 1 - clip**2 - ROUNDING))


def _clipped_tv(tv: Array, outside: Array, clip: Array, lag: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((outside == 0) & (lag == 0) & (tv > clip / 2 + ROUNDING))


def _fixed() -> Iterator[Invariant]:
    for reference, (forward, backward) in REFERENCES.items():
        for name in (forward, backward, f"{forward}_max", f"{backward}_max"):
            yield Invariant(f"{reference}/kl_{name} >= 0", (f"{reference}/kl_{name}",), _nonnegative)
        yield Invariant(f"{reference}/ess in (0, 1]", (f"{reference}/ess",), _share)
        yield Invariant(
            f"{reference}/tv <= {reference}/tv_bound", (f"{reference}/tv", f"{reference}/tv_bound"), _within
        )
        quantiles = tuple(f"{reference}/ratio_{name}" for name in ("min", "p01", "p50", "p99", "max"))
        yield Invariant(f"quantiles of {reference}/ratio in order", quantiles, _ordered)
    yield Invariant("weights/ess in (0, 1]", ("weights/ess",), _share)
    own = ("behaviour/clip_fraction_own", "update/clip", "update/lag")
    yield Invariant("ESS >= 1 - clip² where no ratio left the clip", ("behaviour/ess", *own), _clipped_ess)
    yield Invariant(
        "TV <= clip / 2 where no ratio left the clip", ("behaviour/tv_sampled", *own), _clipped_tv
    )


INVARIANTS = tuple(_fixed())


def breaches(history: History, settings: Mapping[str, Any]) -> list[Breach]:
    """The invariants that a run's rows break; `settings` is its config by dotted key."""
    found = []
    for one in (*INVARIANTS, *_of_settings(settings)):
        columns = [history.columns.get(name) for name in one.metrics]
        if any(column is None for column in columns):
            continue
        with np.errstate(invalid="ignore"):
            places = np.flatnonzero(one.broken(*columns))
        if len(places):
            updates = history.columns["update"][places].astype(int)
            found.append(Breach(one.text, tuple(updates.tolist())))
    return found


def _of_settings(settings: Mapping[str, Any]) -> Iterator[Invariant]:
    """A natural step with a line search stays within delta."""
    if settings.get("algo.step_rule") != "natural" or not settings.get("algo.line_search", True):
        return
    delta = float(settings["algo.delta"])
    yield Invariant(
        f"a natural step's KL <= delta = {delta:g}",
        ("update/kl_anchor_pi",),
        lambda kl: np.asarray(kl > delta * (1 + NATURAL)),
    )
