"""Overrides of a resumed run: only keys that leave its past as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from rlcli.config.alerts import REDUCE
from rlcli.config.command import Command
from rlcli.config.faults import Check, Fault, texts
from rlcli.config.rules.table import RULES
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build, flatten
from rlcli.config.setting import Setting
from rlcli.config.values import convert, display
from rlcli.errors import UserError

RESUMABLE = tuple(name for name, key in KEYS.items() if key.declaration.resumable)


@dataclasses.dataclass(frozen=True)
class Amended:
    """The configuration that a run resumes with."""

    config: RunConfig
    changed: dict[str, list[Any]]
    """Keys whose value differs from before: [before, now], as plain data."""


def amend(config: RunConfig, command: Command, *, updates: int, checks: Iterable[Check] = ()) -> Amended:
    """The configuration with overrides after `updates` updates. `checks` are those of a new run.

    Raises:
        UserError: everything that is wrong with the overrides, or that `checks` find now.
    """
    flat = flatten(config)
    faults = [*command.faults, *(fault for setting in command.settings for fault in _refused(setting, flat))]
    if faults:
        raise UserError(*texts(faults), hint="A resumed run may change: " + ", ".join(RESUMABLE) + ".")
    typed = {one.key: convert(KEYS[one.key], one.values[0].data) for one in command.settings}
    before = {name: convert(KEYS[name], value) for name, value in flat.items()}
    amended = build(before | typed)
    if "schedule_steps" in typed:
        amended = _scheduled(amended, config, updates)
    provenance = dict.fromkeys(KEYS, "the run") | dict.fromkeys(typed, "command line")
    faults = [fault for check in (*RULES, *checks) for fault in check(amended, provenance)]
    faults += _too_short(amended, updates)
    if faults:
        raise UserError(*texts(faults))
    now = flatten(amended)
    return Amended(amended, {name: [flat[name], now[name]] for name in now if now[name] != flat[name]})


def _scheduled(config: RunConfig, before: RunConfig, updates: int) -> RunConfig:
    """The config with the lengths its schedules had up to `updates`, where they differ from now."""
    config = config.resolved()
    if config.schedule_steps == before.schedule_steps:
        return config
    pairs = zip(before.schedule_past[::2], before.schedule_past[1::2], strict=True)
    past = [pair for pair in pairs if pair[0] < updates]
    last = before.horizon(updates - 1)
    if updates > 0 and last != config.schedule_steps:
        past.append((updates, last))
    return dataclasses.replace(config, schedule_past=tuple(number for pair in past for number in pair))


def _refused(setting: Setting, flat: dict[str, Any]) -> Iterator[Fault]:
    """What is wrong with a setting of a resumed run."""
    [text] = setting.texts
    if setting.kind == "hydra":
        yield Fault(f"{setting.key}: Hydra composes nothing when a run is resumed.")
    elif setting.kind == "group":
        now = {"algo": flat["algo.name"], "env": flat["env.id"], "network": flat["network.name"]}
        has = f"; it was started with {setting.key}={now[setting.key]}" if setting.key in now else ""
        yield Fault(f"{setting.key}={text} cannot be chosen for a run that was started{has}.")
    elif setting.key not in RESUMABLE:
        has = f"={display(flat[setting.key])}" if setting.key in flat else ""
        yield Fault(
            f"{setting.key}={text}: a resumed run keeps its {setting.key}{has}, on which its steps so "
            "far depend; train a new run instead."
        )
    elif setting.key.startswith("alerts.") and REDUCE in (text, flat[setting.key]):
        yield Fault(
            f"{setting.key}={text}: a resumed run keeps its {setting.key}={display(flat[setting.key])}: "
            f"{REDUCE} is chosen before the start, or not at all; train a new run instead."
        )
    elif "${" in text:
        yield Fault(f"{setting.key}={text}: give a value, nothing is composed when a run is resumed.")


def _too_short(config: RunConfig, updates: int) -> Iterator[Fault]:
    if config.updates < updates:
        done = updates * config.batch_size
        yield Fault(
            f"total_steps={config.total_steps}: the run has done {done} steps already; give no fewer."
        )
