"""Normalised scores of several environments: their scale, and performance profiles."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rlcli.analysis.compare.references import KINDS, read
from rlcli.analysis.history import Array
from rlcli.analysis.statistics import interval
from rlcli.errors import StorageError, UserError, unknown
from rlcli.plain import open_linked
from rlcli.text import visible

TAUS = np.linspace(0.0, 1.0, 101)
"""Normalised scores at which profiles are given."""
LARGEST_FILE = 2**20
COLUMNS = ("env", "low", "high")
Finals = Mapping[str, Sequence[Array]]
"""By environment: the final values of each group."""
Scale = tuple[float, float]
"""The score that is 0 and the one that is 1; the first is the greater one where lower scores are better."""


@dataclass(frozen=True)
class Profile:
    """Performance profile of one method; arrays [K], one entry per normalised score."""

    taus: Array
    fraction: Array
    """Share of runs above the score, the mean over environments."""
    low: Array | None
    """Bounds of the pointwise 95% interval; None where an environment has one run."""
    high: Array | None


def run_score_distribution(*samples: Array, axis: int = -1) -> Array:
    """F(tau) = 1/M sum_m 1/N sum_n 1[x_mn > tau], of indicators `[K, N]` of each environment."""
    return np.asarray(np.mean([sample.mean(axis=axis) for sample in samples], axis=0))


def profile(samples: Sequence[Array], taus: Array = TAUS) -> Profile:
    """The run-score distribution of normalised scores. Agarwal et al. 2021, section 4.2."""
    above = [(sample[None, :] > taus[:, None]).astype(np.float64) for sample in samples]
    fraction = run_score_distribution(*above)
    if any(len(sample) < 2 for sample in samples):
        return Profile(taus, fraction, None, None)
    return Profile(taus, fraction, *interval(run_score_distribution, *above))


class Scaling(Protocol):
    """Where the scale of each environment comes from."""

    @property
    def text(self) -> str:
        """What it is, behind `normalised by`."""

    def scales(self, finals: Finals, metric: str, lower_is_better: bool) -> dict[str, Scale | None]:
        """The scale of each environment from its final values; None where it has none."""


class RangeScaling:
    """Scales by the worst and the best of the compared runs."""

    text = "the range of these runs"

    def scales(self, finals: Finals, metric: str, lower_is_better: bool) -> dict[str, Scale | None]:
        """The worst and the best final value of each environment; None where all are equal."""
        return {
            env: observed_range(values, lower_is_better=lower_is_better) for env, values in finals.items()
        }


class FileScaling:
    """Scales that a CSV file has."""

    def __init__(self, path: Path) -> None:
        self.text = str(path)

    def scales(self, finals: Finals, metric: str, lower_is_better: bool) -> dict[str, Scale | None]:
        """The scales of the file; raises `UserError` where it has none of an environment."""
        return dict(scales_of_file(Path(self.text), list(finals)))


class PublishedScaling:
    """Scales by a set of published figures: 0 is the worst compared run, 1 the highest published mean."""

    def __init__(self, name: str) -> None:
        self.text = f"the worst of these runs and the best mean of {name}"
        self._figures = read(name)

    def scales(self, finals: Finals, metric: str, lower_is_better: bool) -> dict[str, Scale | None]:
        """Scales by figures of the same metric, after whichever budget.

        None for an environment without one, or whose worst run is above it.
        """
        made: dict[str, Scale | None] = {}
        for env, values in finals.items():
            low = float(np.concatenate(values).min())
            same = [one for one in self._figures if one.env == env and KINDS[one.kind].metric == metric]
            high = max((one.mean for one in same), default=low)
            made[env] = (low, high) if high > low else None
        return made


def observed_range(scores: Sequence[Array], *, lower_is_better: bool = False) -> Scale | None:
    """The worst and the best score of the compared runs of one environment; None if all are equal."""
    values = np.concatenate(scores)
    low, high = float(values.min()), float(values.max())
    if not low < high:
        return None
    return (high, low) if lower_is_better else (low, high)


def normalised(values: Array, scale: Scale) -> Array:
    """(x - low) / (high - low)."""
    low, high = scale
    return (values - low) / (high - low)


def scales_of_file(path: Path, environments: Sequence[str]) -> dict[str, Scale]:
    """The scale of each environment from a CSV file with the columns env, low and high.

    Raises:
        UserError: the file is none, or lacks an environment.
    """
    try:
        with open_linked(path) as file:
            text = file.read(LARGEST_FILE + 1).decode()
    except (StorageError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"--normalise {path}: it cannot be read: {visible(str(error))}") from error
    if len(text) > LARGEST_FILE:
        raise UserError(f"--normalise {path}: it is larger than 1 MiB.")
    try:
        found = dict(_scale(row) for row in csv.DictReader(text.splitlines()))
    except (KeyError, ValueError, TypeError, csv.Error):
        raise UserError(
            f"--normalise {path}: give the columns {', '.join(COLUMNS)}: an id, and the scores that "
            "are 0 and 1, two different numbers.",
            hint="For example a first line env,low,high and a second CartPole-v1,22,500.",
        ) from None
    missing = [env for env in environments if env not in found]
    if missing:
        texts = (unknown("environment", env, list(found)) for env in missing)
        raise UserError(*(f"--normalise {path}: {text}" for text in texts))
    return {env: found[env] for env in environments}


def _scale(row: Mapping[str, str]) -> tuple[str, Scale]:
    low, high = float(row["low"]), float(row["high"])
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise ValueError
    return row["env"], (low, high)
