"""What a sampler chooses from: a dimension for each key that is searched over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlcli.config.faults import Fault
from rlcli.config.overrides import Read, Setting, of_sweep, read
from rlcli.config.schema import KEYS
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

    def points(self) -> Sequence[Value] | None:
        """Every value, if they can be counted."""
        if self.kind == "choice":
            return self.setting.values
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
        """Each value once: a choice may have been typed twice."""
        return list(dict.fromkeys(self.setting.values)) if self.kind == "choice" else self._whole

    @property
    def _whole(self) -> range:
        return range(int(self.low), int(self.high) + 1, self.step)

    def probes(self) -> Sequence[str]:
        """Values that stand for all: every choice, or the two ends."""
        if self.kind == "choice":
            return self.setting.values
        return [self.text(self.low), self.text(self.high)]


def dimensions(
    found: Read, space: dict[str, Any], config_dir: str | None
) -> tuple[list[Dimension], list[Fault]]:
    """The dimensions of a space with those typed, and everything wrong with them.

    A key that was typed is as typed, whatever the space says of it.
    """
    typed = {setting.key for setting in found.settings}
    settings = [setting for setting in found.of_kind("group", "value") if setting.sweep != "single"]
    faults: list[Fault] = []
    for key, text in space.items():
        if key in typed or (key == "env.id" and "env" in typed):
            continue
        setting, wrong = _entry(key, text, config_dir)
        faults += wrong
        settings += setting
    faults += [fault for setting in settings for fault in _faults(setting)]
    if faults:
        return [], faults
    return [_dimension(setting) for setting in settings], []


def _entry(key: str, text: Any, config_dir: str | None) -> tuple[Sequence[Setting], list[Fault]]:
    """The setting that an entry of a space stands for."""
    if not isinstance(text, str):
        return (), [Fault(f"sweep.space: {key}: {display(text)} is no text such as {WRITTEN}.")]
    found = read([f"{key}={text}"], multirun=True, config_dir=config_dir)
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
    if setting.sweep == "range" and all(text.lstrip("-").isdigit() for text in setting.values):
        values = sorted(map(int, setting.values))
        step = values[1] - values[0] if len(values) > 1 else 1
        return Dimension(setting, "whole", values[0], values[-1], step=step)
    return Dimension(setting, "choice")
