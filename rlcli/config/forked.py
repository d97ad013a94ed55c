"""Settings of a fork: those of its parent, with others on top; nothing is read from config files anew.

`algo=NAME` and `env=ID` take the settings of that algorithm or environment, without tuned ones; what the
user set on the parent stays as far as it fits. What belongs to one run alone (its name, notes, schedules,
sweep) is not inherited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rlcli.config.command import Chosen, Command
from rlcli.config.compose import Composed, raise_faults
from rlcli.config.extensions import ADDITIONS, used
from rlcli.config.faults import Check, Fault
from rlcli.config.inherited import PARENT, preset, replaced_text, same, without_idle, without_misfits
from rlcli.config.launchers import CHOICE
from rlcli.config.rules.table import RULES
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.sequences import fit_minibatches
from rlcli.config.serialise import build, flatten, leaves
from rlcli.config.setting import Element, Setting
from rlcli.config.values import RejectedValue, convert, display
from rlcli.errors import UserError

OWN = (
    "name", "notes", "schedule_steps", "schedule_past", "tuned", "runs_dir", "compute.kernel", "wandb.group",
)  # fmt: skip
"""Keys that a fork does not inherit; nor does it the sections `sweep` and `cohort`."""


class Inheritance(NamedTuple):
    """A parent: its config, the overrides that it was started with, and the values that forks inherit."""

    config: RunConfig
    typed: tuple[str, ...]
    values: Mapping[str, Any]


def fork_jobs(
    parent: RunConfig, typed: Sequence[str], command: Command, checks: Iterable[Check] = ()
) -> list[Composed]:
    """The configuration of every fork of a command, one unless it is a multirun, all of them checked.

    `typed` are the overrides that the parent was started with.

    Raises:
        UserError: everything that is wrong, at once.
    """
    source = Inheritance(parent, tuple(typed), _inherited(parent, typed))
    faults = [*command.faults, *(fault for one in command.settings for fault in _refused(one, command))]
    broken = frozenset(key for fault in faults for key in fault.keys)
    if faults:
        command = _without(command, broken)
    jobs: list[Composed] = []
    found: list[list[Fault]] = []
    varied = command.varied()
    for chosen, lines in command.jobs():
        job, wrong = _job(source, chosen, lines, tuple(checks), command.config_dir)
        found.append([fault for fault in wrong if not fault.touches(set(broken))])
        if job is not None:
            jobs.append(replace(job, varied=tuple(f"{key}={chosen[key].text}" for key in varied)))
    raise_faults(faults, found, [chosen for chosen, _ in command.jobs()], varied)
    return jobs


def _inherited(parent: RunConfig, typed: Sequence[str]) -> dict[str, Any]:
    """The parent's values by key, as plain data, without what belongs to it alone."""
    flat = flatten(parent)
    kernel = any(text.lstrip("+~").startswith("compute.kernel=") for text in typed)
    own = [name for name in OWN if not (kernel and name == "compute.kernel")]
    fresh = {name for name in KEYS if name in own or name.startswith(("sweep.", "cohort."))}
    kept = {name: value for name, value in flat.items() if name not in fresh}
    return kept | {"tuned": "none"}


def _refused(setting: Setting, command: Command) -> Iterator[Fault]:
    """What is wrong with a setting of a fork."""
    keys, text = frozenset({setting.key}), ",".join(setting.texts)
    if setting.kind == "hydra":
        if not command.multirun:
            yield Fault(f"{CHOICE} is for sweeps: add -m, or leave it out.", keys)
    elif setting.key in ("tuned", "experiment"):
        yield Fault(
            f"{setting.key}={text}: a fork has the settings of its parent and those you give as keys; none "
            "are read from files.",
            keys,
        )
    elif setting.key == "sweep" or setting.key.startswith("sweep."):
        yield Fault(f"{setting.key}={text}: forks are not searched over; with -m give values.", keys)
    elif setting.key == "schedule_past":
        yield Fault(f"{setting.key}={text}: the schedules of a fork begin anew and have no past.", keys)
    elif setting.interval is not None:
        yield Fault(f"{setting.key}: an interval has no list of values; use range() or choice().", keys)
    elif any("${" in one for one in setting.texts):
        yield Fault(f"{setting.key}={text}: give a value, nothing is composed when a run is forked.", keys)


def _without(command: Command, broken: frozenset[str]) -> Command:
    """The command without the settings that have faults."""
    sound = tuple(one for one in command.settings if one.key not in broken)
    return Command(
        command.typed, sound, launching=command.launching, multirun=command.multirun,
        config_dir=command.config_dir,
    )  # fmt: skip


def _job(
    source: Inheritance,
    chosen: Chosen,
    lines: tuple[str, ...],
    checks: tuple[Check, ...],
    config_dir: str | None,
) -> tuple[Composed | None, list[Fault]]:
    """One fork's configuration, and what is wrong with it."""
    flat, provenance = dict(source.values), dict.fromkeys(KEYS, PARENT)
    flat.pop("imports")
    provenance["runs_dir"] = "default"
    instead: dict[str, Any] = {}
    labels: dict[str, str] = {}
    try:
        if "algo" in chosen and chosen["algo"].data != flat["algo.name"]:
            other = preset(chosen["algo"], source.config, source.typed, config_dir)
            instead = {name: other.values[name] for name in other.own - chosen.keys()}
            labels = other.labels
            fresh = other.values.keys() - other.own
            flat |= {name: other.values[name] for name in fresh}
            provenance |= {name: labels[name] for name in fresh}
        if "env" in chosen:
            flat |= _of_environment(chosen["env"], flat, config_dir)
        if "alerts" in chosen:
            flat |= _alerts(chosen["alerts"], config_dir)
    except UserError as error:
        return None, [Fault(text) for text in error.faults]
    faults = list(_of_network(source.values, chosen))
    for key, value in chosen.items():
        if key in KEYS:
            flat[key] = value.data
            provenance[key] = "command line"
        elif key.startswith("env.kwargs."):
            flat["env.kwargs"] = _with_argument(flat["env.kwargs"], key, value.data)
            provenance["env.kwargs"] = "command line"
    converted = {}
    for name, value in flat.items():
        try:
            converted[name] = convert(KEYS[name], value)
        except RejectedValue as error:
            faults.append(Fault(f"{name}={display(value)}: {error}.", frozenset({name})))
    if faults:
        return None, faults
    converted["imports"] = tuple(_imports(source.values, converted))
    instead = {name: convert(KEYS[name], value) for name, value in instead.items()}
    replaced = without_misfits(converted, provenance, instead) if instead else {}
    provenance |= {name: labels[name] for name in replaced}
    idle = without_idle(build(converted | replaced), source.config, provenance)
    provenance |= dict.fromkeys(idle, "default")
    replaced |= idle
    before, converted = converted, converted | replaced
    if "algo" in chosen:
        fit_minibatches(converted, provenance)
    config = build(converted).resolved()
    faults = [fault for check in (*RULES, *checks) for fault in check(config, provenance)]
    notes = (replaced_text(before, replaced),) if replaced else ()
    return Composed(config, lines, provenance, notes=notes), faults


def _imports(inherited: Mapping[str, Any], flat: Mapping[str, Any]) -> Iterable[str]:
    """Modules that a fork uses: those of its parent, without those of what it has no more, and new ones."""
    needed = dict.fromkeys(one.module for one in used(flat))
    others = {one.module for one in ADDITIONS.values()} - set(needed)
    return {module: None for module in inherited["imports"] if module not in others} | needed


def _alerts(choice: Element, config_dir: str | None) -> dict[str, Any]:
    """The values of the rules in a file of alerts."""
    from rlcli.config.hydra_bridge import layers

    values = leaves(layers((f"alerts={choice.text}", "tuned=none"), config_dir).with_values([]))
    return {name: value for name, value in values if name.startswith("alerts.")}


def _of_environment(choice: Element, flat: Mapping[str, Any], config_dir: str | None) -> dict[str, Any]:
    """The values that another environment brings; none for the one that the parent has."""
    from rlcli.config.hydra_bridge import layers

    if choice.data == flat["env.id"]:
        return {}
    base = layers((f"env={choice.text}", "tuned=none"), config_dir)
    values, label = dict(leaves(base.with_values([]))), f"env/{base.chosen['env']}"
    return {"env.kwargs": {}} | {name: values[name] for name, of in base.labels.items() if of == label}


def _of_network(inherited: Mapping[str, Any], chosen: Chosen) -> Iterator[Fault]:
    """A fault for each setting of the network that is not the parent's."""
    for key, value in chosen.items():
        name = "network.name" if key == "network" else key
        if name.startswith("network.") and name not in inherited:
            yield Fault(
                f"{key}={value.text}: a fork keeps its parent's network, {inherited['network.name']}, which "
                "has no such key.",
                frozenset({key}),
            )
        elif name.startswith("network.") and not _same(name, value.data, inherited[name]):
            yield Fault(
                f"{key}={value.text}: a fork keeps its parent's network, {key}={display(inherited[name])}, "
                "since it begins with the parameters of that.",
                frozenset({key}),
            )


def _same(name: str, given: Any, inherited: Any) -> bool:
    if name == "network.name":  # the choice of a file, whose name may be another
        return bool(given == inherited)
    return same(name, given, inherited)


def _with_argument(kwargs: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Constructor arguments with one more, `env.kwargs.a.b`."""
    *sections, leaf = key.removeprefix("env.kwargs.").split(".")
    changed: dict[str, Any] = dict(kwargs)
    node = changed
    for section in sections:
        inner = node.get(section)
        node[section] = dict(inner) if isinstance(inner, Mapping) else {}
        node = node[section]
    node[leaf] = value
    return changed
