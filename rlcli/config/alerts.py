"""Alerts: rules that watch a metric of every update, with a limit and an action each.

The one table of limits: training (`runs/alerts.py`), `rlcli audit`, `watch`, `plot` and `report` read it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rlcli.config.declaration import key

Side = Literal["below", "above", "drop"]
SIDES: tuple[Side, ...] = ("below", "above", "drop")
"""Which values break a rule: those below its limit, above it, or that have dropped by more than it."""
OFF, WARN, STOP, REDUCE = "none", "warn", "stop", "reduce_lr"
ACTIONS = (OFF, WARN, STOP, REDUCE)
WINDOW = 10
"""Updates within which a drop is looked for."""
NAME = re.compile(r"[A-Za-z_]\w{0,39}", re.ASCII)
"""Names of rules of the user's own."""
METRIC = re.compile(r"[\w/.-]{1,100}", re.ASCII)
FACTOR = 0.5
"""What `reduce_lr` multiplies the learning rate by."""


@dataclass(frozen=True)
class AlertConfig:
    """One rule."""

    limit: float = key(0.0, "Limit of the metric.", cohort=True)
    updates: int = key(
        1, "Updates in a row beyond the limit at which the alert is raised; those without the metric are "
        "passed over.", unit="updates", ge=1, le=1_000_000, cohort=True,
    )  # fmt: skip
    action: str = key(
        WARN,
        "What follows. none: the rule is off; warn: the alert is shown, once; stop: it also ends the run "
        "after this update, as finished; reduce_lr: it also halves the learning rate from the next one on.",
        choices=ACTIONS, resumable=True,
    )  # fmt: skip


def _limit(value: float, doc: str) -> Any:
    return key(value, doc, cohort=True)


@dataclass(frozen=True)
class EssAlert(AlertConfig):
    """Few samples decide the update."""

    limit: float = _limit(0.5, "Alert where behaviour/ess is below this.")


@dataclass(frozen=True)
class KhatAlert(AlertConfig):
    """The ratios have a heavy tail."""

    limit: float = _limit(0.7, "Alert where behaviour/khat is above this.")


@dataclass(frozen=True)
class KlAlert(AlertConfig):
    """The step went far beyond its budget."""

    limit: float = _limit(3.0, "Alert where update/budget_used, the KL over its budget, is above this.")


@dataclass(frozen=True)
class ClipFractionAlert(AlertConfig):
    """Most ratios left the usual range."""

    limit: float = _limit(0.5, "Alert where behaviour/clip_fraction is above this.")


@dataclass(frozen=True)
class StepAlert(AlertConfig):
    """The natural step failed."""

    limit: float = _limit(1.0, "Alert where update/step_outcome is above this: no step was taken.")


@dataclass(frozen=True)
class ExplainedVarianceAlert(AlertConfig):
    """The critic is worse than a constant."""

    limit: float = _limit(-1.0, "Alert where update/explained_variance is below this.")


@dataclass(frozen=True)
class EntropyDropAlert(AlertConfig):
    """The policy settled suddenly."""

    limit: float = key(
        0.5, "Alert where update/entropy is farther than this below the highest of the 10 updates before, "
        "per dimension of the action (a Discrete action has one).",
        unit="nats", gt=0, cohort=True,
    )  # fmt: skip


@dataclass(frozen=True)
class BetaLowAlert(AlertConfig):
    """The penalty has vanished."""

    limit: float = _limit(1e-3, "Alert where update/beta is below this.")
    updates: int = key(50, "As alerts.ess.updates.", unit="updates", ge=1, le=1_000_000, cohort=True)


@dataclass(frozen=True)
class BetaHighAlert(AlertConfig):
    """The penalty forbids every move."""

    limit: float = _limit(1e3, "Alert where update/beta is above this.")
    updates: int = key(50, "As alerts.ess.updates.", unit="updates", ge=1, le=1_000_000, cohort=True)


@dataclass(frozen=True)
class AlertsConfig:
    """Alerts while training."""

    ess: EssAlert = field(default_factory=EssAlert)
    khat: KhatAlert = field(default_factory=KhatAlert)
    kl: KlAlert = field(default_factory=KlAlert)
    clip_fraction: ClipFractionAlert = field(default_factory=ClipFractionAlert)
    step: StepAlert = field(default_factory=StepAlert)
    explained_variance: ExplainedVarianceAlert = field(default_factory=ExplainedVarianceAlert)
    entropy_drop: EntropyDropAlert = field(default_factory=EntropyDropAlert)
    beta_low: BetaLowAlert = field(default_factory=BetaLowAlert)
    beta_high: BetaHighAlert = field(default_factory=BetaHighAlert)
    more: dict[str, Any] = key(  # noqa: RUF009
        {},
        "Rules of your own: {NAME: {metric: METRIC, below: LIMIT, updates: 20, action: stop}}; the limit is "
        "below, above, or drop, in the metric's unit.",
    )  # fmt: skip


class Facts(NamedTuple):
    """What a rule is about."""

    metric: str
    side: Side
    title: str
    text: str
    """What an alert says; `{}` is the value."""
    level: str
    """The limit's label in a plot; empty: it is not drawn."""


FACTS: Mapping[str, Facts] = {
    "ess": Facts("behaviour/ess", "below", "low ESS", "ESS {}: few samples decide the update", "alert"),
    "khat": Facts(
        "behaviour/khat", "above", "heavy tail", "k-hat {}: the largest ratios cannot be trusted", "alert"
    ),
    "kl": Facts("update/budget_used", "above", "KL over budget", "KL {} x its budget", "alert"),
    "clip_fraction": Facts(
        "behaviour/clip_fraction", "above", "high clip fraction",
        "clip fraction {}: most ratios left 1 ± 0.2", "alert",
    ),
    "step": Facts(
        "update/step_outcome", "above", "natural step failed", "the natural step failed (outcome {})", ""
    ),
    "explained_variance": Facts(
        "update/explained_variance", "below", "critic fails", "explained variance {}: the critic fails", ""
    ),
    "entropy_drop": Facts("update/entropy", "drop", "entropy drop", "entropy fell to {} nats", ""),
    "beta_low": Facts("update/beta", "below", "beta low", "beta {}: the penalty has vanished", ""),
    "beta_high": Facts("update/beta", "above", "beta high", "beta {}: the penalty forbids every move", ""),
}  # fmt: skip
"""By name, those to look at first before the others."""


@dataclass(frozen=True)
class Rule:
    """A rule as it is applied."""

    name: str
    facts: Facts
    limit: float
    updates: int
    action: str

    @property
    def metric(self) -> str:
        """The metric that it watches."""
        return self.facts.metric

    @property
    def above(self) -> bool:
        """Whether high values break it."""
        return self.facts.side == "above"

    @property
    def words(self) -> str:
        """The limit in words: `below 0.5`."""
        if self.facts.side == "drop":
            return f"more than {self.limit:g} below one of the {WINDOW} updates before"
        return f"{self.facts.side} {self.limit:g}"

    def broken(self, value: float) -> bool:
        """Whether a value breaks it, for a drop by how far the value is below the highest before."""
        return value < self.limit if self.facts.side == "below" else value > self.limit

    def severity(self, value: float) -> float:
        """How far beyond the limit a value is, as a factor of at least 1; 0 where it is not."""
        if not self.broken(value):
            return 0.0
        one, other = (self.limit, value) if self.facts.side == "below" else (value, self.limit)
        return one / other if other > 0 else 1.0 + abs(one - other)


def rules(settings: Mapping[str, Any], *, off: bool = False) -> tuple[Rule, ...]:
    """The rules of a config by dotted key; keys that it lacks have their defaults.

    Those that are off are left out, unless `off` is asked for.
    """
    found = []
    for name, facts in FACTS.items():
        given = getattr(_DEFAULTS, name)
        limit, updates, action = (
            settings.get(f"alerts.{name}.{one.name}", getattr(given, one.name))
            for one in dataclasses.fields(AlertConfig)
        )
        found.append(Rule(name, facts, limit, updates, action))
    own = (_own(name, given) for name, given in settings.get("alerts.more", {}).items())
    found += [rule for rule in own if rule is not None]
    return tuple(rule for rule in found if off or rule.action != OFF)


def reduces_rate(alerts: AlertsConfig) -> bool:
    """Whether a rule may lower the learning rate."""
    own = (_own(name, given) for name, given in alerts.more.items())
    actions = (rule.action for rule in own if rule is not None)
    return REDUCE in (*(getattr(alerts, name).action for name in FACTS), *actions)


def without_stops(alerts: AlertsConfig) -> AlertsConfig:
    """The same rules, of which none ends the run."""
    stopping = {name: getattr(alerts, name) for name in FACTS if getattr(alerts, name).action == STOP}
    quiet = {name: dataclasses.replace(one, action=WARN) for name, one in stopping.items()}
    own = {
        name: one | {"action": WARN} if isinstance(one, dict) and one.get("action") == STOP else one
        for name, one in alerts.more.items()
    }
    return dataclasses.replace(alerts, more=own, **quiet)


def _own(name: str, given: Any) -> Rule | None:
    """A rule of the user's own; None for what is no rule, which a config.yaml of others may have."""
    if not isinstance(given, Mapping) or not is_name(name):
        return None
    limits = [(side, given[side]) for side in SIDES if side in given]
    metric, updates, action = given.get("metric"), given.get("updates", 1), given.get("action", WARN)
    sound = isinstance(metric, str) and METRIC.fullmatch(metric) and type(updates) is int and updates >= 1
    if not sound or action not in ACTIONS or len(limits) != 1 or type(limits[0][1]) not in (int, float):
        return None
    [(side, limit)] = limits
    facts = Facts(str(metric), side, name, f"{name}: {{}}", "")
    return Rule(name, facts, float(limit), updates, action)


def is_name(name: str) -> bool:
    """Whether a rule of the user's own may have this name."""
    return NAME.fullmatch(name) is not None and name not in FACTS


_DEFAULTS = AlertsConfig()
DEFAULT_RULES = rules({})
"""The rules of runs that do not say otherwise."""
