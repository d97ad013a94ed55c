"""What to try next: rules over the whole run, each with the figure that triggers it and its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rlcli.analysis.audit.verdicts import OUTSIDE, Verdicts
from rlcli.analysis.history import Array, History

TUNING = "Andrychowicz et al. 2020, What Matters in On-Policy Reinforcement Learning"
RATE = "rsl_rl adapts the rate to the KL likewise: algo.learning_rate_schedule=adaptive_kl"
MANY = 0.1
"""Share of the updates from which on a rule speaks."""
FEWEST = 10
"""Updates of a run below which no rule speaks."""
LATE = 0.5
"""The share of a run after which it counts as late."""


class Advice(NamedTuple):
    """One thing to try."""

    text: str
    because: str
    """The figure that triggered the rule."""
    source: str


def advice(history: History, verdicts: Verdicts, settings: Mapping[str, Any]) -> list[Advice]:
    """What to try next, the gravest first; empty for a run that gives no reason, or is too short."""
    if len(history) < FEWEST:
        return []
    found = (rule(history, verdicts, settings) for rule in RULES)
    return [one for one in found if one is not None]


def _outside(history: History, verdicts: Verdicts, settings: Mapping[str, Any]) -> Advice | None:
    share = float((verdicts.worst >= OUTSIDE).mean()) if len(history) else 0.0
    if share <= MANY:
        return None
    because = f"{share:.0%} of the updates left the region (more than {MANY:.0%})"
    if int(settings.get("lag") or 0) > 0:
        return Advice(
            "lower lag, or cap the weights (algo.rho_bar): the data is too old",
            because,
            "Espeholt et al. 2018, IMPALA, section 4",
        )
    if settings.get("algo.step_rule") == "natural":
        return Advice("lower algo.delta, or raise algo.damping", because, "Schulman et al. 2015, appendix C")
    return Advice("lower algo.learning_rate or algo.epochs, or set algo.target_kl=0.02", because, RATE)


def _clipped(history: History, *_: object) -> Advice | None:
    share = _median(history, "behaviour/clip_active")
    if share is None or share <= 0.3:
        return None
    return Advice(
        "lower algo.epochs: most of the later gradient is clipped away",
        f"median behaviour/clip_active {share:.2f} (above 0.3)",
        TUNING,
    )


def _timid(history: History, _: Verdicts, settings: Mapping[str, Any]) -> Advice | None:
    used = _median(history, "update/budget_used")
    if used is None or used >= 0.05 or settings.get("algo.surrogate") == "score":
        return None
    return Advice(
        "raise algo.learning_rate or algo.epochs: updates spend almost nothing of the region they may use",
        f"median update/budget_used {used:.3f} (below 0.05)",
        "rlcli: tuned runs spend 0.2 to 1",
    )


def _critic(history: History, _: Verdicts, settings: Mapping[str, Any]) -> Advice | None:
    late = _median(history, "update/explained_variance", late=True)
    if late is None or late >= 0.1:
        return None
    scaled = bool(settings.get("env.normalize_reward"))
    cure = (
        "raise algo.value_coef, or give the critic more epochs" if scaled else "set env.normalize_reward=true"
    )
    return Advice(
        f"{cure}: the critic explains little of the returns",
        f"median update/explained_variance {late:.2f} in the second half (below 0.1)",
        TUNING,
    )


def _searches(history: History, *_: object) -> Advice | None:
    outcomes = _values(history, "update/step_outcome")
    failed = float((outcomes > 1).mean()) if len(outcomes) else 0.0
    if failed <= MANY:
        return None
    return Advice(
        "raise env.num_envs or algo.rollout_steps, or algo.damping: natural steps fail",
        f"{failed:.0%} of the natural steps were not taken (more than {MANY:.0%})",
        "Schulman et al. 2015, appendix C",
    )


def _unkept(history: History, _: Verdicts, settings: Mapping[str, Any]) -> Advice | None:
    gains = _values(history, "update/gain_realised")
    lost = float((gains < 0).mean()) if len(gains) else 0.0
    if lost <= 0.25 or settings.get("algo.surrogate") == "score":
        return None
    return Advice(
        "lower algo.learning_rate: updates end below where they began on their own objective",
        f"{lost:.0%} of the updates realised a loss (more than 25%)",
        "rlcli: the objective on the batch it was fitted to should rise",
    )


def _collapse(history: History, _: Verdicts, settings: Mapping[str, Any]) -> Advice | None:
    entropy = _values(history, "update/entropy")
    if len(entropy) < 20:
        return None
    early = entropy[: max(2, len(entropy) // 10)]
    drop = float(early.mean() - early[-1])
    if drop <= 0.5 * abs(float(entropy[0])) or float(settings.get("algo.entropy_coef") or 0.0) > 0:
        return None
    return Advice(
        "set algo.entropy_coef=0.01, or lower algo.learning_rate: the policy settled early",
        f"entropy fell by {drop:.2f} nats in the first tenth of the run (more than half)",
        TUNING,
    )


Trigger = Callable[[History, Verdicts, Mapping[str, Any]], Advice | None]
RULES: tuple[Trigger, ...] = (_outside, _critic, _searches, _unkept, _clipped, _collapse, _timid)


def _values(history: History, metric: str) -> Array:
    return history.points(metric, "updates")[1]


def _median(history: History, metric: str, *, late: bool = False) -> float | None:
    values = _values(history, metric)
    chosen = values[int(len(values) * LATE) :] if late else values
    return float(np.median(chosen)) if len(chosen) else None
