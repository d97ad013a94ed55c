"""From what was typed to a frozen, checked `RunConfig`, with where each value came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlcli.config import catalogue
from rlcli.config.faults import Check, Fault
from rlcli.config.launchers import CHOICE, Launching, is_of_launcher
from rlcli.config.overrides import Read, read, texts
from rlcli.config.rules import RULES
from rlcli.config.schema import KEYS, RunConfig
from rlcli.config.serialise import build, from_yaml, leaves, to_dict, to_yaml
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import UserError, unknown

if TYPE_CHECKING:
    from rlcli.config.hydra_bridge import Layers

__all__ = ["Composed", "compose", "compose_multirun", "from_yaml", "hydra_settings", "to_dict", "to_yaml"]

MOST_FAULTS = 20
"""Faults shown; a sweep can have thousands."""


@dataclasses.dataclass(frozen=True)
class Composed:
    """One run, ready to start."""

    config: RunConfig
    overrides: tuple[str, ...]
    """What composes to this again."""
    provenance: dict[str, str]
    """Where each value is from: default, algo/ppo, tuned/..., command line."""
    varied: tuple[str, ...] = ()
    """Of a sweep's job: the overrides in which it differs from its siblings."""

    @property
    def yaml(self) -> str:
        """The configuration, each key with its source behind it."""
        return to_yaml(self.config, self.provenance)


def compose(
    overrides: Sequence[str], *, config_dir: str | None = None, checks: Iterable[Check] = ()
) -> Composed:
    """One run's configuration.

    `checks` are asked beside the rules of rlcli.config.rules (what this machine has, which environments).

    Raises:
        UserError: everything that is wrong, at once.
    """
    found = read(overrides, multirun=False, config_dir=config_dir)
    if any(is_of_launcher(setting.key) for setting in found.of_kind("hydra")):
        fault = Fault(f"{CHOICE} is for sweeps: add -m, or leave it out.")
        found = dataclasses.replace(found, faults=(*found.faults, fault))
    return _compose_all(found, config_dir, tuple(checks))[0]


def compose_multirun(
    overrides: Sequence[str], *, config_dir: str | None = None, checks: Iterable[Check] = ()
) -> list[Composed]:
    """The configuration of every job of a sweep, all checked; see `compose`."""
    found = read(overrides, multirun=True, config_dir=config_dir)
    return _compose_all(found, config_dir, tuple(checks))


def launcher_of(overrides: Sequence[str], *, config_dir: str | None = None) -> Launching:
    """Who is to train the jobs of a sweep.

    Raises:
        UserError: everything that is wrong with what is said of that.
    """
    found = read(overrides, multirun=True, config_dir=config_dir)
    if found.faults:
        raise UserError(*texts(found.faults))
    return found.launching


def trains_elsewhere(overrides: Sequence[str], *, config_dir: str | None = None) -> bool:
    """Whether the launcher may take a sweep's jobs to other machines; whatever else is wrong is not asked."""
    return read(overrides, multirun=True, config_dir=config_dir).launching.elsewhere


def hydra_settings(overrides: Sequence[str], *, multirun: bool, config_dir: str | None = None) -> list[str]:
    """Checked overrides in the form Hydra itself takes, its own settings included."""
    found = read(overrides, multirun=multirun, config_dir=config_dir)
    return [f"{setting.hydra_key}={','.join(setting.values)}" for setting in found.settings]


def _compose_all(found: Read, config_dir: str | None, checks: tuple[Check, ...]) -> list[Composed]:
    found = _without_intervals(found)
    broken = {key for fault in found.faults for key in fault.keys}
    varied = found.varied()
    jobs: list[Composed] = []
    faults: list[list[Fault]] = []
    for chosen, lines in found.jobs():
        job, wrong = compose_job(found, chosen, lines, config_dir, checks)
        faults.append([fault for fault in wrong if not fault.touches(broken)])
        if job is not None:
            jobs.append(dataclasses.replace(job, varied=tuple(f"{key}={chosen[key]}" for key in varied)))
    everything = texts(found.faults) + _by_job(faults, [job for job, _ in found.jobs()], varied)
    if everything:
        hidden = len(everything) - MOST_FAULTS
        more = [f"and {hidden} more."] if hidden > 0 else []
        raise UserError(*everything[:MOST_FAULTS], *more)
    return jobs


def _without_intervals(found: Read) -> Read:
    """What was found, with a fault for each interval: only a sampler chooses from one."""
    intervals = [setting for setting in found.settings if setting.interval is not None]
    faults = [
        Fault(
            f"{setting.key}: an interval has no list of values; use range() or choice(), or have a sampler "
            "choose: sweep.sampler=tpe (or random).",
            frozenset({setting.key}),
        )
        for setting in intervals
    ]
    sound = tuple(setting for setting in found.settings if setting not in intervals)
    return dataclasses.replace(found, settings=sound, faults=(*found.faults, *faults))


def compose_job(
    found: Read,
    chosen: dict[str, str],
    lines: tuple[str, ...],
    config_dir: str | None,
    checks: tuple[Check, ...],
) -> tuple[Composed | None, list[Fault]]:
    """One job with the values `chosen` of what was found, typed as `lines`; and what is wrong with it."""
    groups = tuple(
        f"{setting.hydra_key}={chosen[setting.key]}" for setting in found.of_kind("group")
    )  # fmt: skip
    values = [f"{setting.hydra_key}={chosen[setting.key]}" for setting in found.of_kind("value")]
    try:
        base, tuned = with_tuned(groups, config_dir)
        nested = base.with_values(values)
    except UserError as error:
        return None, [Fault(text) for text in error.faults]
    typed = [setting.key for setting in found.of_kind("value")]
    provenance = _provenance(base, typed, "command line" if "tuned" in chosen else "default")
    flat, faults = _converted({**nested, "tuned": tuned}, provenance)
    if faults:
        return None, faults
    if flat["schedule_steps"] is None:
        flat["schedule_steps"] = flat["total_steps"]
    config = build(flat)
    faults = [fault for check in (*RULES, *checks) for fault in check(config, provenance)]
    return Composed(config, lines, provenance), faults


@lru_cache(maxsize=256)
def with_tuned(groups: tuple[str, ...], config_dir: str | None) -> tuple[Layers, str]:
    """The layers of some group choices and the tuned file among them, found by algorithm and environment."""
    from rlcli.config.hydra_bridge import layers

    base = layers(groups, config_dir)
    choice = base.chosen.get("tuned") or "none"
    if choice != "auto":
        return base, choice
    untuned = base.with_values([])
    wanted = f"{untuned['algo']['name']}/{untuned['env']['id']}"
    if wanted not in catalogue.files("tuned", config_dir):
        return base, "none"
    kept = tuple(group for group in groups if not group.startswith("tuned="))
    return layers((*kept, f"tuned={wanted}"), config_dir), wanted


def _provenance(base: Layers, typed: Sequence[str], tuned: str) -> dict[str, str]:
    labels = {name: base.labels.get(name, "default") for name in KEYS}
    labels |= {key if key in KEYS else "env.kwargs": "command line" for key in typed}
    return labels | {"tuned": tuned}


def _converted(nested: dict[str, Any], provenance: dict[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    flat: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in leaves(nested):
        if name not in KEYS:
            faults.append(Fault(f"A config file sets an unknown key: {unknown('key', name, list(KEYS))}"))
            continue
        try:
            flat[name] = convert(KEYS[name], value)
        except RejectedValue as error:
            where = provenance[name]
            source = "" if where == "command line" else f" (from {where})"
            faults.append(Fault(f"{name}={display(value)}{source}: {error}.", frozenset({name})))
    return flat, faults


def _by_job(faults: list[list[Fault]], chosen: list[dict[str, str]], varied: list[str]) -> list[str]:
    """Faults all jobs share as they are, the others with the first job that has them."""
    shared = set.intersection(*(set(texts(wrong)) for wrong in faults)) if faults else set()
    found: dict[str, str] = {}
    for wrong, job in zip(faults, chosen, strict=True):
        at = ", ".join(f"{key}={job[key]}" for key in varied)
        for text in texts(wrong):
            found.setdefault(text, text if text in shared else f"with {at}: {text}")
    return list(found.values())
