"""What was typed, checked word by word against groups and schema, before anything is composed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlcli.config import catalogue
from rlcli.config.faults import Fault
from rlcli.config.launchers import CHOICE, HERE, SETTING, Launching, is_of_launcher, launching
from rlcli.config.launchers import takes_text as of_launcher_takes_text
from rlcli.config.schema import KEYS
from rlcli.config.values import RejectedValue, convert
from rlcli.errors import UserError, nearest, unknown

if TYPE_CHECKING:
    from rlcli.config.hydra_grammar import Interval, Parsed

SECTIONS = frozenset(name.rpartition(".")[0] for name in KEYS) - {""}
CHOSEN_BY_GROUP = {"algo.name": "algo", "network.name": "network"}
OURS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir",
        "hydra.searchpath", "hydra/hydra_logging", "hydra/job_logging", "hydra.mode")  # fmt: skip
"""Settings of Hydra that rlcli makes itself."""

MAGIC = re.compile(r"_[a-z]+_")
"""Keys by which Hydra makes objects: `_target_`, `_partial_`, `_args_` and so on."""

_KIND = {"tuned": "tuned settings"}
SEARCH = "rlcli train -m sweep.sampler=tpe ..."


@dataclass(frozen=True)
class Setting:
    """One checked override: a group's choice, a key's value, or a setting of Hydra's, with all its values."""

    key: str
    kind: str
    """group, value or hydra."""
    values: tuple[str, ...]
    """In Hydra's grammar; more than one is swept over."""
    sweep: str = "single"
    """single, choice, range, glob or interval."""
    interval: Interval | None = None
    """Of an interval, whose ends are `values`."""

    @property
    def hydra_key(self) -> str:
        """The key with the prefix Hydra needs: '++' where names are free."""
        if self.kind == "value" and (self.key + ".").startswith("env.kwargs."):
            return "++" + self.key
        if self.kind == "group" and self.key not in catalogue.GROUPS:
            return "+" + self.key
        return self.key

    def lines(self, key: str | None = None) -> list[str]:
        """`key=value` for each value."""
        return [f"{key or self.key}={value}" for value in self.values]


@dataclass(frozen=True)
class Read:
    """Every override that is sound, and everything wrong with the others."""

    settings: tuple[Setting, ...]
    faults: tuple[Fault, ...]
    launching: Launching = HERE
    """Who is to train the jobs of a sweep."""

    def of_kind(self, *kinds: str) -> list[Setting]:
        """The settings of some kinds, in order."""
        return [setting for setting in self.settings if setting.kind in kinds]

    def jobs(self) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
        """`({key: value}, lines)` of each combination of swept values, the last key varying fastest."""
        settings = self.of_kind("group", "value")
        for combination in itertools.product(*(setting.values for setting in settings)):
            chosen = {setting.key: value for setting, value in zip(settings, combination, strict=True)}
            yield chosen, tuple(f"{key}={value}" for key, value in chosen.items())

    def varied(self) -> list[str]:
        """The keys that are swept over."""
        return [setting.key for setting in self.of_kind("group", "value") if len(setting.values) > 1]

    def of_sweep(self) -> list[Setting]:
        """The settings of the sweep itself, which no job has."""
        return [setting for setting in self.of_kind("group", "value") if of_sweep(setting.key)]


def of_sweep(key: str) -> bool:
    """Whether a key says how a sweep searches."""
    return key == "sweep" or key.startswith("sweep.")


def read(texts: Sequence[str], *, multirun: bool, config_dir: str | None = None) -> Read:
    """Parse and check every override; a key given twice has the last of its values."""
    from rlcli.config import hydra_grammar

    settings: dict[str, Setting] = {}
    faults: list[Fault] = []
    launcher: dict[str, Parsed] = {}
    checker = _Checker(multirun, config_dir)
    for text in texts:
        try:
            parsed = hydra_grammar.parse(text, checker.globbed, checker.takes_text)
        except UserError as error:
            faults.append(Fault(error.faults[0], frozenset({text.lstrip("+~").partition("=")[0]})))
            continue
        for found in checker.check(parsed):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                settings.pop(found.key, None)
                settings[found.key] = found
                if is_of_launcher(found.key):
                    launcher[found.key] = parsed
    chosen, wrong = launching(list(launcher.values()))
    faults += wrong
    if "env" in settings and "env.id" in settings:
        faults.append(
            Fault("env=... and env.id=... both name the environment; give one.", frozenset({"env.id"}))
        )
    if "env.id" in settings:
        settings["env"] = dataclasses.replace(settings.pop("env.id"), key="env", kind="group")
    return Read(tuple(settings.values()), tuple(faults), chosen)


class _Checker:
    """Checks parsed overrides; holds what they are checked against."""

    def __init__(self, multirun: bool, config_dir: str | None) -> None:
        self.multirun = multirun
        self.config_dir = config_dir
        self.groups = catalogue.groups(config_dir)

    def globbed(self, group: str) -> list[str]:
        """What a glob over a group is matched against: its configs; for `env` every registered id too."""
        names = [name for name in catalogue.choices(group, self.config_dir) if name not in ("auto", "none")]
        if group == "env":
            import gymnasium

            names = list(dict.fromkeys([*names, *gymnasium.registry]))
        return names

    def takes_text(self, key: str) -> bool:
        """Whether a key takes text: choices of groups do."""
        if key in self.groups:
            return True
        return KEYS[key].takes_text if key in KEYS else of_launcher_takes_text(key)

    def check(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        """The sound settings an override stands for, or what is wrong with it."""
        key = parsed.key
        if key.startswith(("hydra.", "hydra/")):
            yield self._hydra(parsed)
        elif parsed.package is not None:
            yield Fault(f"{parsed.text!r}: groups have fixed places here, leave out '@{parsed.package}'.")
        elif parsed.prefix == "~":
            yield self._removal(parsed)
        elif (sweep := self._sweep_fault(parsed)) is not None:
            yield sweep
        elif key in self.groups:
            yield from self._group(parsed)
        elif key in CHOSEN_BY_GROUP:
            yield _fault(parsed, f"{key} is not set by itself: choose with {CHOSEN_BY_GROUP[key]}=...")
        elif key in KEYS or key.startswith("env.kwargs."):
            yield from self._value(parsed)
        elif key in SECTIONS:
            yield from self._section(parsed)
        else:
            yield self._unknown(parsed)

    def _hydra(self, parsed: Parsed) -> Setting | Fault:
        if parsed.key in OURS:
            return _fault(parsed, f"{parsed.key} is set by rlcli itself; use runs_dir=... and name=...")
        if parsed.sweep != "single":
            return _fault(parsed, f"{parsed.text!r}: Hydra's own settings cannot be swept over.")
        if _makes_something(parsed.key.split("."), [value for _, value in parsed.values]):
            return _fault(parsed, f"{parsed.key}: nothing is made from a setting of Hydra's.")
        if is_of_launcher(parsed.key) and (parsed.prefix == "~" or parsed.key == SETTING):
            return _fault(parsed, f"{parsed.text!r}: write {CHOICE}=NAME and {SETTING}.SETTING=VALUE.")
        return Setting(parsed.key, "hydra", tuple(text for text, _ in parsed.values))

    def _removal(self, parsed: Parsed) -> Fault:
        key = parsed.key
        if key in self.groups:
            default = "none" if key in catalogue.SYNTHESISED else catalogue.choices(key, self.config_dir)[0]
            return _fault(
                parsed, f"'~{key}': {key} cannot be removed; choose another, such as {key}={default}."
            )
        if key in KEYS or key in SECTIONS:
            instead = f"; set it to null: {key}=null" if key in KEYS and KEYS[key].optional else ""
            return _fault(parsed, f"'~{key}': {key} cannot be removed{instead}.")
        return self._unknown(parsed)

    def _sweep_fault(self, parsed: Parsed) -> Fault | None:
        key = parsed.key
        if parsed.sweep != "single" and of_sweep(key):
            return _fault(parsed, f"{parsed.text!r}: {key} is one for the whole sweep; give one value.")
        if parsed.interval is not None and not self.multirun:
            return _fault(parsed, f"{parsed.text!r}: an interval is searched by a sampler: {SEARCH}.")
        if parsed.sweep != "single" and not self.multirun:
            advice = "add -m to run one job each"
            if key in KEYS and KEYS[key].is_list:
                advice += f", or write a list: {key}=[{','.join(text for text, _ in parsed.values)}]"
            return _fault(parsed, f"{parsed.text!r} gives several values; {advice}.")
        if not parsed.values:
            kind = (
                "matches none of " + ", ".join(self.globbed(key))
                if parsed.sweep == "glob"
                else "has no value"
            )
            return _fault(parsed, f"{parsed.text!r} {kind}.")
        return None

    def _group(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        group = parsed.key
        known = catalogue.choices(group, self.config_dir)
        names: list[str] = []
        for text, value in parsed.values:
            if value is None and group in catalogue.SYNTHESISED:
                names.append("none")
            elif not isinstance(value, str) or "${" in value or value == "":
                yield _fault(parsed, f"{group}={text}: {group} takes a name: {', '.join(known)}.")
            elif group != "env" and value not in known:
                yield _fault(parsed, unknown(_KIND.get(group, group), value, known, shown=24))
            else:
                names.append(text)
        if len(names) == len(parsed.values):
            yield Setting(group, "group", tuple(names), parsed.sweep)

    def _value(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        faults = [fault for text, value in parsed.values if (fault := _value_fault(parsed, text, value))]
        yield from faults
        if not faults:
            texts = tuple(text for text, _ in parsed.values)
            yield Setting(parsed.key, "value", texts, parsed.sweep, parsed.interval)

    def _section(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        """`wandb={mode:offline}` is `wandb.mode=offline`."""
        from rlcli.config.hydra_grammar import spelled

        value = parsed.values[0][1]
        if len(parsed.values) > 1 or not isinstance(value, dict):
            within = ", ".join(name for name in KEYS if name.startswith(parsed.key + "."))
            yield _fault(parsed, f"{parsed.text!r}: {parsed.key} holds {within}; set one of them.")
            return
        nested = read(
            [f"{parsed.key}.{name}={spelled(item)}" for name, item in value.items()],
            multirun=False,
            config_dir=self.config_dir,
        )
        yield from nested.settings
        yield from nested.faults

    def _unknown(self, parsed: Parsed) -> Fault:
        known = list(KEYS) if "." in parsed.key else [*KEYS, *self.groups]
        leaf = parsed.key.rpartition(".")[2]
        alike = [name for name in KEYS if name.rpartition(".")[2] == leaf]
        if alike:
            text = f"Unknown key {parsed.key!r}. Did you mean " + " or ".join(map(repr, alike)) + "?"
        else:
            text = unknown("key", parsed.key, known)
            if "Did you mean" not in text:
                text += " `rlcli explain` lists all keys."
        alike += nearest(parsed.key, known, count=1)
        return Fault(text, frozenset({parsed.key, *alike}))


def _makes_something(names: Sequence[str], value: Any) -> bool:
    """Whether Hydra would make an object or call a function for a setting."""
    if names[:2] == ["hydra", "callbacks"] or any(MAGIC.fullmatch(name) for name in names):
        return True
    if isinstance(value, dict):
        return any(_makes_something([str(name)], item) for name, item in value.items())
    return isinstance(value, list) and any(_makes_something([], item) for item in value)


def _value_fault(parsed: Parsed, text: str, value: Any) -> Fault | None:
    if "${" in text:
        return None  # known only once composed
    key = KEYS.get(parsed.key)
    if key is None:  # an entry of env.kwargs
        key, value = KEYS["env.kwargs"], {"entry": value}
    try:
        convert(key, value)
    except RejectedValue as error:
        meaning = "" if key.declaration.choices else f" ({key.declaration.doc.rstrip('.')})"
        return _fault(parsed, f"{parsed.key}={text}: {error}{meaning}.")
    return None


def _fault(parsed: Parsed, text: str) -> Fault:
    return Fault(text, frozenset({parsed.key}))


def texts(faults: Iterable[Fault]) -> list[str]:
    """The texts of faults, each once, in order."""
    return list(dict.fromkeys(fault.text for fault in faults))
