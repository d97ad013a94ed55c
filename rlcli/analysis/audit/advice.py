"""What to try next: rules over the whole run, each with the figure that triggers it and its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlcli.analysis.audit.verdicts import OUTSIDE, Verdicts
from rlcli.analysis.history import Array, History
from rlcli.config.alerts import rules

TUNING = "Andrychowicz et al. 2020, What Matters in On-Policy Reinforcement Learning"
RATE = "rsl_rl adapts the rate to the KL likewise: algo.learning_rate_schedule=adaptive_kl"
MANY = 0.1
"""Share of the updates from which on a rule speaks."""
FEWEST = 10
"""Updates of a run below which no rule speaks."""
LATE = 0.5
"""Share of a run after which it counts as late."""
EARLY = 0.1
"""Share of a run up to which it counts as early."""


class Advice(NamedTuple):
    """One thing to try."""

    text: str
    because: str
    """The figure that triggered the rule."""
    source: str


class Evidence(NamedTuple):
    """What advice is drawn from."""

    history: History
    verdicts: Verdicts
    settings: Mapping[str, Any]
    """The config by dotted key."""
    dimensions: int
    """Of the action; a Discrete one has one."""


def advice(
    history: History, verdicts: Verdicts, settings: Mapping[str, Any], dimensions: int = 1
) -> list[Advice]:
    """What to try next, the gravest first; empty for a run that gives no reason, or is too short.

    Larger steps are advised only where nothing asks for smaller ones.
    """
    if len(history) < FEWEST:
        return []
    evidence = Evidence(history, verdicts, settings, dimensions)
    smaller = _found(SMALLER_STEPS, evidence)
    return [*smaller, *_found(OTHERS, evidence), *([] if smaller else _found(LARGER_STEPS, evidence))]


def _outside(evidence: Evidence) -> Advice | None:
    settings, share = evidence.settings, float((evidence.verdicts.worst >= OUTSIDE).mean())
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


def _unkept(evidence: Evidence) -> Advice | None:
    gains = _values(evidence.history, "update/gain_realised")
    lost = float((gains < 0).mean()) if len(gains) else 0.0
    if lost <= 0.25 or evidence.settings.get("algo.surrogate") == "score":
        return None
    return Advice(
        "lower algo.learning_rate: updates end below where they began on their own objective",
        f"{lost:.0%} of the updates realised a loss (more than 25%)",
        "rlcli: the objective on the batch it was fitted to should rise",
    )


def _clipped(evidence: Evidence) -> Advice | None:
    share = _median(evidence.history, "behaviour/clip_active")
    if share is None or share <= 0.3:
        return None
    return Advice(
        "lower algo.epochs: most of the later gradient is clipped away",
        f"median behaviour/clip_active {share:.2f} (above 0.3)",
        TUNING,
    )


def _collapse(evidence: Evidence) -> Advice | None:
    entropy = _values(evidence.history, "update/entropy")
    early = entropy[: int(len(entropy) * EARLY)]
    if len(early) < 2 or float(evidence.settings.get("algo.entropy_coef") or 0.0) > 0:
        return None
    fall = float(early[0] - early[-1]) / evidence.dimensions
    (limit,) = (one.limit for one in rules(evidence.settings, off=True) if one.name == "entropy_drop")
    if fall <= limit:
        return None
    return Advice(
        "set algo.entropy_coef=0.01, or lower algo.learning_rate: the policy settled early",
        f"update/entropy fell by {fall:.2f} nats per dimension of the action in the first tenth of the run "
        f"(more than {limit:g})",
        TUNING,
    )


def _critic(evidence: Evidence) -> Advice | None:
    late = _median(evidence.history, "update/explained_variance", late=True)
    if late is None or late >= 0.1:
        return None
    scaled = bool(evidence.settings.get("env.normalize_reward"))
    cure = "raise algo.value_coef" if scaled else "set env.normalize_reward=true"
    return Advice(
        f"{cure}: the critic explains little of the returns",
        f"median update/explained_variance {late:.2f} in the second half (below 0.1)",
        TUNING,
    )


def _searches(evidence: Evidence) -> Advice | None:
    outcomes = _values(evidence.history, "update/step_outcome")
    failed = float((outcomes > 1).mean()) if len(outcomes) else 0.0
    if failed <= MANY:
        return None
    return Advice(
        "raise env.num_envs or algo.rollout_steps, or algo.damping: natural steps fail",
        f"{failed:.0%} of the natural steps were not taken (more than {MANY:.0%})",
        "Schulman et al. 2015, appendix C",
    )


def _timid(evidence: Evidence) -> Advice | None:
    used = _median(evidence.history, "update/budget_used")
    if used is None or used >= 0.05 or evidence.settings.get("algo.surrogate") == "score":
        return None
    return Advice(
        "raise algo.learning_rate or algo.epochs: updates spend almost nothing of the region they may use",
        f"median update/budget_used {used:.3f} (below 0.05)",
        "rlcli: tuned runs spend 0.2 to 1",
    )


Trigger = Callable[[Evidence], Advice | None]
SMALLER_STEPS: tuple[Trigger, ...] = (_outside, _unkept, _clipped, _collapse)
LARGER_STEPS: tuple[Trigger, ...] = (_timid,)
OTHERS: tuple[Trigger, ...] = (_critic, _searches)


def _found(triggers: Sequence[Trigger], evidence: Evidence) -> list[Advice]:
    return [one for trigger in triggers if (one := trigger(evidence)) is not None]


def _values(history: History, metric: str) -> Array:
    return history.points(metric, "updates")[1]


def _median(history: History, metric: str, *, late: bool = False) -> float | None:
    values = _values(history, metric)
    chosen = values[int(len(values) * LATE) :] if late else values
    return float(np.median(chosen)) if len(chosen) else None
