"""Alerts of runs as analysis shows them: the rules of a run's own config, lines of plots, silent runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.config.alerts import DEFAULT_RULES, Rule, rules
from rlcli.config.serialise import flatten
from rlcli.errors import StorageError, UserError
from rlcli.loggers.progress import duration
from rlcli.store.config_file import read_config


@dataclass(frozen=True)
class Alert:
    """What needs attention."""

    text: str
    severity: float


def recorded_rules(run_dir: Path) -> tuple[Rule, ...]:
    """The rules that a run's config.yaml has; the default ones where it cannot be read."""
    try:
        return rules(flatten(read_config(run_dir)))
    except (StorageError, UserError):
        return DEFAULT_RULES


def levels(metric: str, settings: Iterable[Mapping[str, Any]]) -> Iterator[tuple[float, str]]:
    """Lines in a plot of a metric, with their labels: the limits that runs of these settings have."""
    found = (rule for one in settings for rule in rules(one, off=True))
    yield from dict.fromkeys(
        (rule.limit, rule.facts.level) for rule in found if rule.metric == metric and rule.facts.level
    )


SILENT, SILENT_UPDATES = 60.0, 20.0
"""Seconds, and updates' time, without a row from which on a run that trains is called silent."""


def silence(seconds: float | None, update_seconds: float | None) -> Alert | None:
    """The alert of a run that trains, but has written no row for `seconds`."""
    limit = max(SILENT, SILENT_UPDATES * (update_seconds or 0.0))
    if seconds is None or seconds <= limit:
        return None
    return Alert(f"no row for {duration(seconds)}", seconds / limit)
