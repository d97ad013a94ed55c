"""Search space of a sampler: one dimension for each key that is searched over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlcli.config.command import Command, of_sweep
from rlcli.config.faults import Fault
from rlcli.config.overrides import parse_command
from rlcli.config.schema.keys import KEYS
from rlcli.config.setting import Element, Setting
from rlcli.config.values import display

Value = float | int | str
WRITTEN = "choice(2,4,8), range(1,9), interval(0.9,1) or tag(log,interval(1e-5,1e-2))"


@dataclass(frozen=True)
class Dimension:
    """A key that is searched over, and the values it may take."""

    setting: Setting
    kind: Literal["number", "whole", "choice"]
    low: float = 0.0
    high: float = 0.0
    """The ends, of numbers and whole numbers; both are among the values."""
    log: bool = False
    step: int = 1
    """From one whole number to the next."""

    @property
    def key(self) -> str:
        """The key's dotted name, or the group's."""
        return self.setting.key

    def text(self, value: Value) -> str:
        """A value as it is typed."""
        if self.kind == "choice":
            return str(value)
        return str(int(value)) if self.kind == "whole" else repr(float(value))

    def element(self, text: str) -> Element:
        """A value from its text."""
        if self.kind == "choice":
            return next(one for one in self.setting.values if one.text == text)
        return Element(text, int(text) if self.kind == "whole" else float(text))

    def points(self) -> Sequence[Value] | None:
        """Every value as it is typed, if they can be counted."""
        if self.kind == "choice":
            return self.setting.texts
        return self._whole if self.kind == "whole" and not self.log else None

    @property
    def count(self) -> int | None:
        """How many values there are; None for those of a continuum."""
        return None if self.kind == "number" else len(self._counted)

    def at(self, place: int) -> Value:
        """The value at a place, from 0, where they can be counted."""
        return self._counted[place]

    @property
    def _counted(self) -> Sequence[Value]:
        """Each value once, since a choice may have been typed twice."""
        return list(dict.fromkeys(self.setting.texts)) if self.kind == "choice" else self._whole

    @property
    def _whole(self) -> range:
        return range(int(self.low), int(self.high) + 1, self.step)

    def probes(self) -> Sequence[str]:
        """Representative values as they are typed: every choice, or the two ends."""
        if self.kind == "choice":
            return self.setting.texts
        return [self.text(self.low), self.text(self.high)]


def dimensions(command: Command, space: dict[str, Any]) -> tuple[list[Dimension], list[Fault]]:
    """The dimensions of a space with those typed, and everything wrong with them.

    A key that was typed replaces that of the space.
    """
    typed = {setting.key for setting in command.settings}
    settings = [setting for setting in command.of_kind("group", "value") if setting.sweep != "single"]
    faults: list[Fault] = []
    for key, text in space.items():
        if key in typed or (key == "env.id" and "env" in typed):
            continue
        setting, wrong = _entry(key, text, command.config_dir)
        faults += wrong
        settings += setting
    faults += [fault for setting in settings for fault in _faults(setting)]
    if faults:
        return [], faults
    return [_dimension(setting) for setting in settings], []


def _entry(key: str, text: Any, config_dir: str | None) -> tuple[Sequence[Setting], list[Fault]]:
    """The setting of an entry of a space."""
    if not isinstance(text, str):
        return (), [Fault(f"sweep.space: {key}: {display(text)} is not text such as {WRITTEN}.")]
    found = parse_command([f"{key}={text}"], multirun=True, config_dir=config_dir)
    faults = [Fault(f"sweep.space: {fault.text}", fault.keys) for fault in found.faults]
    if not faults and any(setting.sweep == "single" for setting in found.settings):
        faults = [Fault(f"sweep.space: {key}: {text} is one value; write {WRITTEN}.")]
    return found.settings, faults


def _faults(setting: Setting) -> Iterator[Fault]:
    """What is wrong with searching over a setting."""
    key, keys = setting.key, frozenset({setting.key})
    if key == "seed":
        yield Fault("seed is not searched over: sweep.replicas=5 gives each trial five seeds.", keys)
    elif key == "name":
        yield Fault("name is not searched over: a trial's folder says what was tried.", keys)
    elif of_sweep(key) or setting.kind == "hydra":
        yield Fault(f"{key} is one for the whole sweep and cannot be searched over.", keys)
    elif (interval := setting.interval) is not None:
        if not interval.low < interval.high:
            yield Fault(
                f"{key}: the lower end of an interval comes first, {display(interval.low)} does not.", keys
            )
        elif interval.log and interval.low <= 0:
            yield Fault(f"{key}: orders of magnitude begin above 0, not at {display(interval.low)}.", keys)


def _dimension(setting: Setting) -> Dimension:
    interval = setting.interval
    if interval is not None:
        whole = interval.whole or (setting.key in KEYS and KEYS[setting.key].scalar_type is int)
        return Dimension(setting, "whole" if whole else "number", interval.low, interval.high, interval.log)
    if setting.sweep == "range" and all(text.lstrip("-").isdigit() for text in setting.texts):
        values = sorted(map(int, setting.texts))
        step = values[1] - values[0] if len(values) > 1 else 1
        return Dimension(setting, "whole", values[0], values[-1], step=step)
    return Dimension(setting, "choice")
