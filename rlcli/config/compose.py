"""Composition of a command into frozen, checked `RunConfig`s, with the source of each value."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlcli.config.command import Chosen, Command
from rlcli.config.extensions import IMPORTED_BY, used
from rlcli.config.faults import Check, Fault, texts
from rlcli.config.groups import files
from rlcli.config.launchers import CHOICE, is_of_launcher
from rlcli.config.overrides import parse_command
from rlcli.config.peer_values import CONVERTED_BY
from rlcli.config.rules.table import RULES
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.sequences import fit_minibatches
from rlcli.config.serialise import build, flatten, from_yaml, leaves, to_dict, to_yaml
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import UserError, unknown

if TYPE_CHECKING:
    from rlcli.config.hydra_bridge import Layers

__all__ = ["Composed", "compose", "compose_jobs", "from_yaml", "to_dict", "to_yaml"]

MOST_FAULTS = 20
"""Maximum number of faults shown; a sweep can have thousands."""


@dataclasses.dataclass(frozen=True)
class Composed:
    """One run, ready to start."""

    config: RunConfig
    overrides: tuple[str, ...]
    """Overrides that compose to this again."""
    provenance: dict[str, str]
    """The source of each value: default, algo/ppo, tuned/..., command line."""
    varied: tuple[str, ...] = ()
    """Of a sweep's job: the overrides in which it differs from its siblings."""
    notes: tuple[str, ...] = ()
    """Of a fork: what it could not inherit."""

    @property
    def yaml(self) -> str:
        """The configuration, each key with its source behind it."""
        return to_yaml(self.config, self.provenance)


def compose(
    overrides: Sequence[str], *, config_dir: str | None = None, checks: Iterable[Check] = ()
) -> Composed:
    """One run's configuration from overrides as they are typed; see `compose_jobs`."""
    return compose_jobs(parse_command(overrides, config_dir=config_dir), checks)[0]


def compose_jobs(command: Command, checks: Iterable[Check] = ()) -> list[Composed]:
    """The configuration of every job of a command, one unless it is a multirun, all of them checked.

    `checks` are run beside the rules of rlcli.config.rules: packages and devices here, environments.

    Raises:
        UserError: everything that is wrong, at once.
    """
    command = _with_faults(command, [*_intervals(command), *_launcher_of_one_run(command)])
    asked = tuple(checks)
    broken = {key for fault in command.faults for key in fault.keys}
    varied = command.varied()
    jobs: list[Composed] = []
    faults: list[list[Fault]] = []
    for chosen, lines in command.jobs():
        job, wrong = compose_job(command, chosen, lines, asked)
        faults.append([fault for fault in wrong if not fault.touches(broken)])
        if job is not None:
            jobs.append(dataclasses.replace(job, varied=tuple(f"{key}={chosen[key].text}" for key in varied)))
    known = _numbers(jobs[0].config, varied) if jobs else {}
    general = [fault.given(known) for fault in command.faults]
    raise_faults(general, faults, [chosen for chosen, _ in command.jobs()], varied)
    return jobs


def raise_faults(
    general: Sequence[Fault], faults: list[list[Fault]], jobs: list[Chosen], varied: list[str]
) -> None:
    """Raises one `UserError` with the faults of a command and those of each of its jobs, if there are any."""
    everything = texts(general) + _by_job(faults, jobs, varied)
    if everything:
        hidden = len(everything) - MOST_FAULTS
        more = [f"and {hidden} more."] if hidden > 0 else []
        raise UserError(*everything[:MOST_FAULTS], *more)


def _numbers(config: RunConfig, varied: Sequence[str]) -> dict[str, Any]:
    """The values that all jobs share of the keys by which values of other libraries are converted."""
    flat = flatten(config)
    return {key: flat[key] for key in CONVERTED_BY if key not in varied}


def _with_faults(command: Command, faults: Sequence[Fault]) -> Command:
    """The command with more faults, and without the intervals, which have no list of values."""
    sound = tuple(setting for setting in command.settings if setting.interval is None)
    return dataclasses.replace(command, settings=sound, faults=(*command.faults, *faults))


def _intervals(command: Command) -> Iterator[Fault]:
    """A fault for each interval: only a sampler chooses from one."""
    for setting in command.settings:
        if setting.interval is not None:
            yield Fault(
                f"{setting.key}: an interval has no list of values; use range() or choice(), or have a "
                "sampler choose: sweep.sampler=tpe (or random).",
                frozenset({setting.key}),
            )


def _launcher_of_one_run(command: Command) -> Iterator[Fault]:
    """A fault where a launcher is chosen without -m."""
    if not command.multirun and any(is_of_launcher(one.key) for one in command.of_kind("hydra")):
        yield Fault(f"{CHOICE} is for sweeps: add -m, or leave it out.")


def compose_job(
    command: Command, chosen: Chosen, lines: tuple[str, ...], checks: tuple[Check, ...]
) -> tuple[Composed | None, list[Fault]]:
    """One job of a command with the values `chosen`, typed as `lines`; and what is wrong with it."""
    groups = tuple(
        f"{setting.hydra_key}={chosen[setting.key].text}" for setting in command.of_kind("group")
    )  # fmt: skip
    typed = [setting.key for setting in command.of_kind("value")]
    try:
        base, tuned = with_tuned(groups, command.config_dir)
        nested = base.with_values([(key, chosen[key]) for key in typed])
    except UserError as error:
        return None, [Fault(text) for text in error.faults]
    provenance = _provenance(base, typed, "command line" if "tuned" in chosen else "default")
    flat, faults = _converted({**nested, "tuned": tuned}, provenance)
    if faults:
        return None, faults
    if flat.get("imports"):
        return None, [Fault(f"imports: {IMPORTED_BY}", frozenset({"imports"}))]
    flat["imports"] = tuple(dict.fromkeys(one.module for one in used(flat)))
    fit_minibatches(flat, provenance)
    config = build(flat).resolved()
    faults = [fault for check in (*RULES, *checks) for fault in check(config, provenance)]
    return Composed(config, lines, provenance), faults


@lru_cache(maxsize=256)
def with_tuned(groups: tuple[str, ...], config_dir: str | None) -> tuple[Layers, str]:
    """The layers of some group choices and the tuned file among them, found by algorithm and environment.

    Beneath the file of an environment lies that of its family, if there is one; see `tuned_files`.
    """
    from rlcli.config.hydra_bridge import layers

    base = layers(groups, config_dir)
    choice = base.chosen.get("tuned") or "none"
    if choice == "auto":
        untuned = base.with_values([])
        choice = f"{untuned['algo']['name']}/{untuned['env']['id']}"
        applied = tuned_files(choice, config_dir)
    else:
        applied = tuned_files(choice, config_dir)
        if len(applied) < 2:
            return base, choice
    if not applied:
        return base, "none"
    kept = tuple(group for group in groups if not group.startswith("tuned="))
    text = applied[0] if len(applied) == 1 else f"[{','.join(applied)}]"
    return layers((*kept, f"tuned={text}"), config_dir), applied[-1]


def tuned_files(choice: str, config_dir: str | None) -> list[str]:
    """The tuned files that apply to `<algo>/<env>`, the later over the earlier.

    The id of an environment with a namespace, `ALE/Pong-v5`, belongs to the family `ALE`, whose file
    `<algo>/ALE` comes first.
    """
    family = choice.rpartition("/")[0]
    known = files("tuned", config_dir)
    return [name for name in (family, choice) if "/" in name and name in known]


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


def _by_job(faults: list[list[Fault]], jobs: list[Chosen], varied: list[str]) -> list[str]:
    """Faults all jobs share as they are, the others with the first job that has them."""
    shared = set.intersection(*(set(texts(wrong)) for wrong in faults)) if faults else set()
    found: dict[str, str] = {}
    for wrong, job in zip(faults, jobs, strict=True):
        at = ", ".join(f"{key}={job[key].text}" for key in varied)
        for text in texts(wrong):
            found.setdefault(text, text if text in shared else f"with {at}: {text}")
    return list(found.values())
