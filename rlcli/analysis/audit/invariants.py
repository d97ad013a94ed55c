"""Invariants: what holds for the figures of every update; a breach is a defect.

Others are asserted while training (`rlcli/catalog/assertions.py`): a run that broke one failed, and that
update has no row.

Shapes: K rows of a run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.analysis.history import Array, History
from rlcli.catalog.assertions import broken_of

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
    """A statement about the columns of a run, each [K]; NaN where a row lacks a metric, which breaks none."""

    text: str
    metrics: tuple[str, ...]
    """Arguments of `broken`."""
    broken: Callable[..., npt.NDArray[np.bool_]]


def _lost(figure: Array, other: Array) -> npt.NDArray[np.bool_]:
    """A row with an ESS has every KL, and one with a KL an ESS: what it lacks was not finite."""
    return np.isnan(figure) & np.isfinite(other)


def _nonnegative(kl: Array, ess: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((kl < 0) | _lost(kl, ess))


def _share(ess: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((ess <= 0) | (ess > 1))


def _share_beside(ess: Array, kl: Array) -> npt.NDArray[np.bool_]:
    return _share(ess) | _lost(ess, kl)


def _within(tv: Array, bound: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(tv > bound * (1 + ROUNDING) + ROUNDING)


def _ordered(*quantiles: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.any([a > b for a, b in itertools.pairwise(quantiles)], axis=0))


def invariants(settings: Mapping[str, Any]) -> tuple[Invariant, ...]:
    """The invariants of a run with these settings by dotted key."""
    return (*_fixed(), *_of_clip(settings), *_of_natural_step(settings))


def _fixed() -> Iterator[Invariant]:
    for reference, (forward, backward) in REFERENCES.items():
        ess = f"{reference}/ess"
        for name in (forward, backward, f"{forward}_max", f"{backward}_max"):
            kl = f"{reference}/kl_{name}"
            yield Invariant(f"{kl} finite and >= 0", (kl, ess), _nonnegative)
        yield Invariant(f"{ess} in (0, 1]", (ess, f"{reference}/kl_{forward}"), _share_beside)
        yield Invariant(
            f"{reference}/tv <= {reference}/tv_bound", (f"{reference}/tv", f"{reference}/tv_bound"), _within
        )
        quantiles = tuple(f"{reference}/ratio_{name}" for name in ("min", "p01", "p50", "p99", "max"))
        yield Invariant(f"quantiles of {reference}/ratio in order", quantiles, _ordered)
    yield Invariant("weights/ess in (0, 1]", ("weights/ess",), _share)


def _of_clip(settings: Mapping[str, Any]) -> Iterator[Invariant]:
    """What bounds ρ within a = 1 - ε and b = 1 + ε' imply, whatever the mean of ρ; ε' is ε, or clip_high.

    ESS = (mean ρ)² / mean ρ² >= 4ab / (a + b)² (Kantorovich); TV = ½ mean |ρ - 1| <= ½ max(ε, ε'). A dual
    clip changes neither the range nor which ratios count as outside.
    """
    high = settings.get("algo.clip_high") if settings.get("algo.surrogate") == "clipped" else None

    def above(clip: Array) -> Array:
        return clip if high is None else np.full_like(clip, np.float32(high))

    def low_ess(ess: Array, outside: Array, clip: Array, lag: Array) -> npt.NDArray[np.bool_]:
        a, b = 1 - clip, 1 + above(clip)
        return np.asarray((outside == 0) & (lag == 0) & (ess < 4 * a * b / (a + b) ** 2 - ROUNDING))

    def high_tv(tv: Array, outside: Array, clip: Array, lag: Array) -> npt.NDArray[np.bool_]:
        return np.asarray((outside == 0) & (lag == 0) & (tv > np.maximum(clip, above(clip)) / 2 + ROUNDING))

    own = ("behaviour/clip_fraction_own", "update/clip", "update/lag")
    yield Invariant(
        "ESS >= 4ab / (a + b)² where no ratio left the clip [a, b]", ("behaviour/ess", *own), low_ess
    )
    yield Invariant(
        "TV <= max(1 - a, b - 1) / 2 where no ratio left the clip [a, b]",
        ("behaviour/tv_sampled", *own),
        high_tv,
    )


def _of_natural_step(settings: Mapping[str, Any]) -> Iterator[Invariant]:
    """A natural step with a line search stays within delta."""
    if settings.get("algo.step_rule") != "natural" or not settings.get("algo.line_search", True):
        return
    delta = float(settings["algo.delta"])
    yield Invariant(
        f"a natural step's KL <= delta = {delta:g}",
        ("update/kl_anchor_pi",),
        lambda kl: np.asarray(kl > delta * (1 + NATURAL)),
    )


INVARIANTS = invariants({})
"""Those of every run."""


def breaches(history: History, settings: Mapping[str, Any]) -> list[Breach]:
    """The invariants that a run's rows break; `settings` is its config by dotted key."""
    found = []
    absent = np.full(len(history), np.nan)
    for one in invariants(settings):
        columns = [history.columns.get(name, absent) for name in one.metrics]
        with np.errstate(invalid="ignore"):
            places = np.flatnonzero(one.broken(*columns))
        if len(places):
            updates = history.columns["update"][places].astype(int)
            found.append(Breach(one.text, tuple(updates.tolist())))
    return found


def asserted(message: str) -> list[Breach]:
    """The assertions that the message of a failed run names; none where it failed for another reason."""
    broken = broken_of(message)
    return [] if broken is None else [Breach(text, (broken.update,)) for text in broken.assertions]
