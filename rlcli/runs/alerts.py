"""Alerts of a run while it trains: each rule is raised once, at an update that its rows alone decide.

So a resumed run, which reads its earlier rows, and a reproduced one raise the same alerts at the same
updates.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rlcli.catalog.table import METRICS
from rlcli.config.alerts import (
    ACTIONS,
    FACTOR,
    FACTS,
    OFF,
    REDUCE,
    SIDES,
    STOP,
    WARN,
    WINDOW,
    Rule,
    is_name,
    rules,
)
from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.errors import unknown
from rlcli.loggers.progress import figure
from rlcli.store.rows import is_figure

FIELDS = ("metric", *SIDES, "updates", "action")
"""What a rule of the user's own may say."""
UNFIT = {
    "eval/": "is not measured after every update",
    "time/": "differs from run to run: the run could not be repeated",
    "epochs/": "is a list, one number per epoch",
}
"""Prefixes of metrics that no rule may watch, and why."""


class Alert(NamedTuple):
    """A rule that was raised."""

    rule: Rule
    update: int
    env_steps: int
    value: float

    @property
    def title(self) -> str:
        """What is wrong, in a few words."""
        return self.rule.facts.title

    @property
    def text(self) -> str:
        """What is wrong, with the value, the limit and what follows."""
        times = f" for {self.rule.updates} updates" if self.rule.updates > 1 else ""
        follows = {STOP: "; the run ends here", REDUCE: "; the learning rate is halved"}
        what = self.rule.facts.text.format(figure(self.value))
        return f"{what} ({self.rule.metric} {self.rule.words}{times}){follows.get(self.rule.action, '')}"

    def row(self) -> dict[str, Any]:
        """The line of alerts.jsonl."""
        rule = self.rule
        return {
            "update": self.update, "env_steps": self.env_steps, "alert": rule.name, "metric": rule.metric,
            "value": self.value, "side": rule.facts.side, "limit": rule.limit, "updates": rule.updates,
            "action": rule.action, "text": self.text,
        }  # fmt: skip


class Present(NamedTuple):
    """An alert that holds at the last row."""

    alert: Alert
    severity: float
    """How far beyond the limit the value is, as a factor of at least 1."""


class _Observed:
    """One rule over the rows of a run."""

    def __init__(self, rule: Rule, dimensions: int) -> None:
        self.rule = rule
        self._raised = False
        self._dimensions = dimensions if rule.metric == "update/entropy" else 1
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._count = 0

    def present(self, row: Mapping[str, Any]) -> Present | None:
        """The alert that holds at this row, whether it was raised before or not; each row is given once."""
        value = row.get(self.rule.metric)
        if value is None or not is_figure(value):
            return None
        measured = self._measured(value)
        self._count = self._count + 1 if self.rule.broken(measured) else 0
        self._recent.append(value)
        if self._count < self.rule.updates:
            return None
        alert = Alert(self.rule, int(row["update"]), int(row.get("env_steps", 0)), float(value))
        return Present(alert, self.rule.severity(measured))

    def is_new(self) -> bool:
        """Whether the rule is raised for the first time; asked where it holds."""
        before, self._raised = self._raised, True
        return not before

    def _measured(self, value: float) -> float:
        """The value; of a drop, how far it is below the highest before, per dimension of the action."""
        if self.rule.facts.side != "drop":
            return value
        return (max(self._recent, default=value) - value) / self._dimensions


class Alerts:
    """The alerts of a run so far."""

    def __init__(
        self, rules: Sequence[Rule], dimensions: int, earlier: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """`dimensions` are those of the action; `earlier` are the rows of earlier processes."""
        self._observed = [_Observed(rule, dimensions) for rule in rules]
        self.raised: list[Alert] = []
        """In the order in which they were raised."""
        self.present: list[Present] = []
        """Those that hold at the last row."""
        if self._observed:
            for row in earlier:
                self.add(row)

    def add(self, row: Mapping[str, Any]) -> list[Alert]:
        """The alerts that the row of the next update raises."""
        self.present, found = [], []
        for observed in self._observed:
            present = observed.present(row)
            if present is None:
                continue
            self.present.append(present)
            if observed.is_new():
                found.append(present.alert)
        self.raised += found
        return found

    @property
    def stopping(self) -> list[str]:
        """Names of the rules that end the run."""
        return [one.rule.name for one in self.raised if one.rule.action == STOP]

    @property
    def stop_reason(self) -> str | None:
        """Why an alert ends the run; None if none does."""
        reasons = (f"alert {one.rule.name}: {one.text}" for one in self.raised if one.rule.action == STOP)
        return next(reasons, None)


def rules_of(config: RunConfig) -> tuple[Rule, ...]:
    """The rules of a run that are not off."""
    return rules(flatten(config))


def rate_factor(alerts: Iterable[Alert]) -> float:
    """What alerts multiply the learning rate by."""
    return float(FACTOR ** sum(alert.rule.action == REDUCE for alert in alerts))


def alerts_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Faults of alerts: rules of the user's own that say nothing, actions that have no meaning."""
    faults = list(_own_faults(config.alerts.more))
    yield from faults
    if faults:
        return
    acting = {rule.action: rule.name for rule in reversed(rules_of(config)) if rule.action not in (OFF, WARN)}
    if acting and "jsonl" not in config.logger:
        action, name = next(iter(acting.items()))
        yield _fault(
            f"alerts.{name}.action={action} needs logger jsonl: a resumed run reads earlier values from "
            "metrics.jsonl.",
            name, "logger",
        )  # fmt: skip
    if REDUCE not in acting:
        return
    name, algo = acting[REDUCE], config.algo
    start = f"alerts.{name}.action=reduce_lr has no meaning with"
    if algo.step_rule == "natural":
        yield _fault(
            f"{start} algo.step_rule=natural, whose learning rate moves the value function alone; use warn "
            "or stop.",
            name, "algo.step_rule",
        )  # fmt: skip
    if algo.learning_rate_schedule == "adaptive_kl":
        yield _fault(
            f"{start} algo.learning_rate_schedule=adaptive_kl, which would raise the rate again; use warn or "
            "stop.",
            name, "algo.learning_rate_schedule",
        )  # fmt: skip
    if config.backend == "sb3":
        yield _fault(
            f"{start} backend=sb3, which keeps a rate of its own; use warn or stop.", name, "backend"
        )


def _own_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with rules of the user's own."""
    known = [name for name in METRICS if not name.startswith(tuple(UNFIT)) and "/" in name]
    for name, rule in given.items():
        start = f"alerts.more.{name}"
        if name in FACTS:
            yield _fault(
                f"{start}: there is a rule of that name; set alerts.{name}.limit, or choose another."
            )
            continue
        if not is_name(name):
            yield _fault(f"{start[:80]}: a name is one word of up to 40 letters, digits and '_'.")
            continue
        if not isinstance(rule, Mapping) or "metric" not in rule:
            yield _fault(f"{start}: a rule names its metric, such as {{metric: update/entropy, below: 0.1}}.")
            continue
        yield from (
            _fault(f"{start}: {unknown('field', str(one), list(FIELDS))}")
            for one in rule
            if one not in FIELDS
        )
        metric = str(rule["metric"])
        why = next((why for prefix, why in UNFIT.items() if metric.startswith(prefix)), None)
        if metric not in METRICS:
            yield _fault(f"{start}.metric: {unknown('metric', metric, known)}")
        elif why is not None:
            yield _fault(f"{start}.metric={metric} {why}; choose another.")
        limits = [side for side in SIDES if side in rule]
        if len(limits) != 1 or not is_figure(rule[limits[0]]):
            yield _fault(f"{start}: give one limit, a number: {', '.join(SIDES)}.")
        updates, action = rule.get("updates", 1), rule.get("action", WARN)
        if type(updates) is not int or not 1 <= updates <= 1_000_000:
            yield _fault(f"{start}.updates={updates}: expected a whole number from 1 on.")
        if action not in ACTIONS:
            yield _fault(f"{start}.action: {unknown('action', str(action), list(ACTIONS))}")


def _fault(text: str, name: str = "", *keys: str) -> Fault:
    own = f"alerts.{name}.action" if name else "alerts.more"
    return Fault(text, frozenset({own, *keys}))
