"""The audit of one run: verdicts, invariants, the worst fall of the return, advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcli.analysis.audit.advice import Advice, advice
from rlcli.analysis.audit.figures import Summary, of_updates, step_outcomes, summaries
from rlcli.analysis.audit.invariants import Breach, asserted, breaches
from rlcli.analysis.audit.verdicts import OUTSIDE, VERDICTS, Verdicts, verdicts
from rlcli.analysis.history import History
from rlcli.analysis.selection import Run

RETURN = "train/return_100"
BEFORE = 10
"""Updates shown before a fall, and within which a fall is measured."""
COLUMNS = (
    RETURN, "train/return_mean", "update/budget_used", "behaviour/kl_mu_pi", "behaviour/kl_pi_mu",
    "behaviour/ess", "behaviour/khat", "behaviour/clip_fraction", "behaviour/ratio_p01",
    "behaviour/ratio_p99", "update/entropy", "update/explained_variance", "update/gain_predicted",
    "update/gain_realised",
)  # fmt: skip
"""Figures shown of the updates before a fall."""


@dataclass(frozen=True)
class Fall:
    """The deepest fall of the return within ten updates."""

    update: int
    """The update at its bottom."""
    start: float
    end: float
    rows: tuple[dict[str, float], ...]
    """The updates before it, and itself, with their figures."""


@dataclass(frozen=True)
class Audit:
    """What a run's rows and its end say about its updates."""

    run: Run
    verdicts: Verdicts
    figures: dict[str, Summary]
    """Median and worst of each, by metric."""
    step_outcomes: dict[str, int]
    """Natural steps by how they ended."""
    breaches: tuple[Breach, ...]
    fall: Fall | None
    advice: tuple[Advice, ...]

    @property
    def outside(self) -> list[int]:
        """Updates that left the region."""
        updates = self.run.history.columns["update"]
        return [int(one) for one in updates[self.verdicts.worst >= OUTSIDE]]

    @property
    def message(self) -> str | None:
        """Why the run did not finish, where that is known."""
        return None if self.run.summary["status"] == "finished" else self.run.summary["message"]

    @property
    def kept_promise(self) -> float | None:
        """Median of realised over predicted gain, where a gain was predicted."""
        predicted = self.run.history.columns.get("update/gain_predicted")
        realised = self.run.history.columns.get("update/gain_realised")
        if predicted is None or realised is None:
            return None
        there = (predicted > 0) & np.isfinite(realised)
        return float(np.median(realised[there] / predicted[there])) if there.any() else None

    def row(self) -> dict[str, Any]:
        """Plain data, with an entry for every update."""
        history, broken = self.run.history, self.verdicts.broken
        updates = history.columns["update"].astype(int).tolist()
        return {
            "run": self.run.id,
            "dir": str(self.run.dir),
            "status": self.run.summary["status"],
            "message": self.message,
            "counts": {name: self.verdicts.count(place) for place, name in enumerate(VERDICTS)},
            "outside": self.outside,
            "figures": {metric: one._asdict() for metric, one in self.figures.items()},
            "step_outcomes": self.step_outcomes,
            "realised_over_predicted": self.kept_promise,
            "breaches": [{"invariant": one.text, "updates": one.updates} for one in self.breaches],
            "fall": None if self.fall is None else vars(self.fall),
            "advice": [one._asdict() for one in self.advice],
            "updates": [
                {
                    "update": update,
                    "verdict": VERDICTS[worst],
                    "rules": [rule.text for rule in rules],
                    "breaches": [one.text for one in self.breaches if update in one.updates],
                    "figures": figures,
                }
                for update, worst, rules, figures in zip(
                    updates, self.verdicts.worst.tolist(), broken, of_updates(history), strict=True
                )
            ],
        }


def audit(run: Run) -> Audit:
    """The audit of a run from its recorded rows and its manifest.

    Raises:
        StorageError: metrics.jsonl cannot be read.
    """
    history, settings = run.history, run.settings
    found = verdicts(history, settings)
    return Audit(
        run,
        found,
        summaries(history),
        step_outcomes(history),
        (*asserted(run.summary["message"] or ""), *breaches(history, settings)),
        worst_fall(history),
        tuple(advice(history, found, settings, int(run.summary["action_dimensions"]))),
    )


def worst_fall(history: History) -> Fall | None:
    """The deepest fall of the return of the last 100 episodes within ten updates; None if it never fell."""
    updates, values = history.points(RETURN, "updates")
    deepest, bottom, top = 0.0, -1, -1
    for place in range(1, len(values)):
        start = max(0, place - BEFORE)
        highest = start + int(values[start:place].argmax())
        if values[highest] - values[place] > deepest:
            deepest, bottom, top = float(values[highest] - values[place]), place, highest
    if bottom < 0:
        return None
    at = int(np.searchsorted(history.columns["update"], updates[bottom]))
    shown = range(max(0, at - BEFORE), at + 1)
    rows = tuple(
        {"update": float(history.columns["update"][row])}
        | {name: float(column[row]) for name in COLUMNS if (column := history.columns.get(name)) is not None}
        for row in shown
    )
    return Fall(int(updates[bottom]), float(values[top]), float(values[bottom]), rows)
