"""Overrides parsed by Hydra's grammar and checked one by one against groups and schema, before composing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlcli.config import groups, peers
from rlcli.config.command import MAGIC, Command, key_of, of_sweep
from rlcli.config.extensions import CHOSEN_BY, IMPORTED_BY, owner
from rlcli.config.faults import Fault
from rlcli.config.launchers import CHOICE, SETTING, chosen_launcher, is_of_launcher
from rlcli.config.launchers import takes_text as launcher_takes_text
from rlcli.config.peer import PeerName
from rlcli.config.quoting import repairs, shell_word, unbalanced
from rlcli.config.schema.keys import KEYS
from rlcli.config.setting import Element, Setting
from rlcli.config.values import RejectedValue, convert
from rlcli.errors import UserError, nearest, unknown

if TYPE_CHECKING:
    from rlcli.config.hydra_grammar import Parsed


def sections() -> frozenset[str]:
    """What keys are grouped by."""
    return frozenset(name.rpartition(".")[0] for name in KEYS) - {""}


CHOSEN_BY_GROUP = {"algo.name": "algo", "network.name": "network"}
OF_YOUR_OWN = "One of your own needs its module: --import MODULE, or RLCLI_IMPORT."
OURS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.job.chdir",
        "hydra.searchpath", "hydra/hydra_logging", "hydra/job_logging", "hydra.mode")  # fmt: skip
"""Settings of Hydra that rlcli sets itself."""

FREE_TEXT = ("notes", "tags", "runs_dir", "wandb.project", "wandb.group")
"""Keys whose text may have spaces."""
_KIND = {"tuned": "tuned settings"}
MOST_ALIKE = 4
"""Keys of different sections with one last name up to which all are named."""
SEARCH = "rlcli train -m sweep.sampler=tpe ..."


def parse_command(typed: Sequence[str], *, multirun: bool = False, config_dir: str | None = None) -> Command:
    """Parse and check every override of a command line, each once; a key given twice has its last value."""
    from rlcli.config import hydra_grammar

    settings: dict[str, Setting] = {}
    faults: list[Fault] = []
    checker = _Checker(multirun, config_dir)
    for text, apart in _rejoined(typed):
        try:
            parsed = hydra_grammar.parse(text, checker.globbed, checker.takes_text)
        except UserError as error:
            advice = checker.repaired(text)
            faults.append(Fault(error.faults[0] + advice, frozenset({key_of(text)})))
            continue
        if apart:
            spaced = "".join(apart) == text
            cause = "the shell split this setting at its spaces"
            cause = "leave out the spaces around =" if spaced else cause
            text = f"{' '.join(apart)}: {cause}; write {shell_word(text)}."
            faults.append(Fault(text, frozenset({parsed.key})))
            continue
        for found in checker.check(parsed):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                settings.pop(found.key, None)
                settings[found.key] = found
    checker.typed |= {key: one.values[0].data for key, one in settings.items() if len(one.values) == 1}
    faults = [fault.given({}) for fault in faults]
    launching, wrong = chosen_launcher([one for one in settings.values() if is_of_launcher(one.key)])
    faults += wrong
    if multirun:
        faults += _hydra_faults([one for one in settings.values() if one.kind == "hydra"])
    if "env" in settings and "env.id" in settings:
        faults.append(
            Fault("env=... and env.id=... both name the environment; give one.", frozenset({"env.id"}))
        )
    if "env.id" in settings:
        settings["env"] = dataclasses.replace(settings.pop("env.id"), key="env", kind="group")
    return Command(tuple(typed), tuple(settings.values()), tuple(faults), launching, multirun, config_dir)


def _rejoined(typed: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each override; one that the shell split at spaces is joined again, and comes with its words."""
    words = list(typed)
    while words:
        taken = _spaced(words)
        if taken > 1:
            yield "".join(words[:taken]), words[:taken]
            del words[:taken]
            continue
        first = words[0]
        stops = (n for n, word in enumerate(words) if n and (not word or "=" in word or word in KEYS))
        parts = words[: next(stops, len(words))]
        if "=" in first and unbalanced(first.partition("=")[2]) is not None:
            sizes = range(2, len(parts) + 1)
            taken = next((n for n in sizes if unbalanced(" ".join(parts[:n]).partition("=")[2]) is None), 1)
        elif "=" in first and key_of(first) in FREE_TEXT:
            taken = len(parts)
        yield " ".join(words[:taken]), words[:taken] if taken > 1 else ()
        del words[:taken]


def _spaced(words: Sequence[str]) -> int:
    """Number of words of a setting with spaces around its =, such as `seed = 1`; 1 for any other word."""
    first, second, third = (*words, "", "")[:3]
    if not key_of(first):
        return 1
    if "=" not in first and second.startswith("="):
        return 3 if second == "=" and third and "=" not in third else 2
    return 2 if first.endswith("=") and second and "=" not in second and key_of(first) not in FREE_TEXT else 1


def _hydra_faults(settings: Sequence[Setting]) -> Iterator[Fault]:
    """What is wrong with settings of Hydra's own, those of the launcher apart: Hydra composes them to see."""
    own = [one for one in settings if not is_of_launcher(one.key)]
    for setting in own:
        if setting.key.startswith("hydra.sweeper."):
            yield Fault(
                f"{setting.key}: there is nothing to set, rlcli sweeps itself.", frozenset({setting.key})
            )
    if own:
        from rlcli.config.hydra_settings import settings_yaml

        try:
            settings_yaml([one.hydra_word for one in own], None)
        except UserError as error:
            yield from (Fault(text, frozenset(one.key for one in own)) for text in error.faults)


class _Checker:
    """Checks of parsed overrides against the groups and keys there are."""

    def __init__(self, multirun: bool, config_dir: str | None) -> None:
        self.multirun = multirun
        self.config_dir = config_dir
        self.groups = groups.group_names(config_dir)
        self.typed: dict[str, Any] = {}
        """Values of the sound settings, once all are parsed."""
        self.foreign: dict[str, list[tuple[str, Any]]] = {}
        """Values given by names of other libraries."""

    def globbed(self, group: str) -> list[str]:
        """The names a glob over a group is matched with: its configs, for `env` every registered id too."""
        names = [name for name in groups.choices(group, self.config_dir) if name not in ("auto", "none")]
        if group == "env":
            import gymnasium

            names = list(dict.fromkeys([*names, *gymnasium.registry]))
        return names

    def takes_text(self, key: str) -> bool:
        """Whether a key takes text: choices of groups do."""
        if key in self.groups:
            return True
        return KEYS[key].takes_text if key in KEYS else launcher_takes_text(key)

    def repaired(self, text: str) -> str:
        """End of a message about an override that cannot be read: what to write, if that is sound."""
        from rlcli.config.hydra_grammar import parse

        for candidate in repairs(text, self.takes_text(key_of(text))) if "=" in text else ():
            try:
                found = list(self.check(parse(candidate, self.globbed, self.takes_text)))
            except UserError:
                continue
            if found and not any(isinstance(one, Fault) for one in found):
                return f" Write {shell_word(candidate)}"
        return ""

    def check(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        """The sound settings of an override, or its faults."""
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
        elif key == "imports":
            yield _fault(parsed, f"imports: {IMPORTED_BY}")
        elif key in CHOSEN_BY_GROUP:
            yield _fault(parsed, f"{key} is not set by itself: choose with {CHOSEN_BY_GROUP[key]}=...")
        elif key in KEYS or key.startswith("env.kwargs."):
            yield from self._value(parsed)
        elif key in sections():
            yield from self._section(parsed)
        else:
            yield self._unknown(parsed)

    def _hydra(self, parsed: Parsed) -> Setting | Fault:
        if parsed.key in OURS:
            return _fault(parsed, f"{parsed.key} is set by rlcli itself; use runs_dir=... and name=...")
        if parsed.sweep != "single":
            return _fault(parsed, f"{parsed.text!r}: Hydra's own settings cannot be swept over.")
        if _instantiates(parsed.key.split("."), [value.data for value in parsed.values]):
            return _fault(parsed, f"{parsed.key}: nothing is made from a setting of Hydra's.")
        if is_of_launcher(parsed.key) and (parsed.prefix == "~" or parsed.key == SETTING):
            return _fault(parsed, f"{parsed.text!r}: write {CHOICE}=NAME and {SETTING}.SETTING=VALUE.")
        return Setting(parsed.key, "hydra", parsed.values)

    def _removal(self, parsed: Parsed) -> Fault:
        key = parsed.key
        if key in self.groups:
            default = "none" if key in groups.SYNTHESISED else groups.choices(key, self.config_dir)[0]
            return _fault(
                parsed, f"'~{key}': {key} cannot be removed; choose another, such as {key}={default}."
            )
        if key in KEYS or key in sections():
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
                advice += f", or write a list: {key}=[{','.join(value.text for value in parsed.values)}]"
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
        known = groups.choices(group, self.config_dir)
        names: list[Element] = []
        for text, value in parsed.values:
            if value is None and group in groups.SYNTHESISED:
                names.append(Element("none", "none"))
            elif not isinstance(value, str) or "${" in value or value == "":
                yield _fault(parsed, f"{group}={text}: {group} takes a name: {', '.join(known)}.")
            elif group != "env" and value not in known:
                text = unknown(_KIND.get(group, group), value, known, shown=24)
                own = f" {OF_YOUR_OWN}" if group in CHOSEN_BY and "Did you mean" not in text else ""
                yield _fault(parsed, text + own)
            else:
                names.append(Element(text, value))
        if len(names) == len(parsed.values):
            yield Setting(group, "group", tuple(names), parsed.sweep)

    def _value(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        faults = [fault for text, value in parsed.values if (fault := _value_fault(parsed, text, value))]
        yield from faults
        if not faults:
            yield Setting(parsed.key, "value", parsed.values, parsed.sweep, parsed.interval)

    def _section(self, parsed: Parsed) -> Iterator[Setting | Fault]:
        """`wandb={mode:offline}` is `wandb.mode=offline`."""
        from rlcli.config.hydra_grammar import spelled

        value = parsed.values[0].data
        if len(parsed.values) > 1 or not isinstance(value, dict):
            within = ", ".join(name for name in KEYS if name.startswith(parsed.key + "."))
            yield _fault(parsed, f"{parsed.text!r}: {parsed.key} contains {within}; set one of them.")
            return
        for name, item in value.items():
            key, text = f"{parsed.key}.{name}", spelled(item)
            yield from self.check(
                dataclasses.replace(
                    parsed, text=f"{key}={text}", key=key, sweep="single", values=(Element(text, item),)
                )
            )

    def _unknown(self, parsed: Parsed) -> Fault:
        known = list(KEYS) if "." in parsed.key else [*KEYS, *self.groups]
        leaf = parsed.key.rpartition(".")[2]
        alike = [name for name in KEYS if name.rpartition(".")[2] == leaf]
        if len(alike) > MOST_ALIKE:
            alike = nearest(parsed.key, alike, count=1)
        foreign = peers.settings_named(parsed.key)
        if foreign:
            return self._foreign(parsed, alike, foreign)
        of_addition = owner(parsed.key)
        if alike:
            text = _did_you_mean(parsed.key, alike)
        elif of_addition is not None and of_addition[1] not in groups.choices(
            of_addition[0], self.config_dir
        ):
            section, name = of_addition
            text = f"Unknown key {parsed.key!r}: there is no {section} {name!r}. {OF_YOUR_OWN}"
        else:
            text = unknown("key", parsed.key, known)
            if "Did you mean" not in text:
                text += " `rlcli explain` lists all keys."
        alike += nearest(parsed.key, known, count=1)
        return Fault(text, frozenset({parsed.key, *alike}))

    def _foreign(self, parsed: Parsed, alike: Sequence[str], entries: Sequence[PeerName]) -> Fault:
        """The fault of a name of another library: what it is here, and the override to write."""
        known = parsed.sweep in ("single", "choice")
        values = [(value.text, value.data) for value in parsed.values] if known else []
        self.foreign[parsed.key] = values
        start = _did_you_mean(parsed.key, alike) if alike else f"Unknown key {parsed.key!r}."
        differing = [one for one in entries if one.note or list(one.ours) != list(alike)]

        def worded(composed: Mapping[str, Any]) -> str:
            numbers = peers.numbers_of(self.typed, self.foreign, composed)
            return " ".join(filter(None, (start, peers.advice(differing, values, numbers))))

        keys = frozenset({parsed.key, *alike, *(key for one in entries for key in one.ours)})
        return Fault(start, keys, worded)


def _did_you_mean(key: str, alike: Sequence[str]) -> str:
    return f"Unknown key {key!r}. Did you mean " + " or ".join(map(repr, alike)) + "?"


def _instantiates(names: Sequence[str], value: Any) -> bool:
    """Whether Hydra would instantiate an object or call a function for a setting."""
    if names[:2] == ["hydra", "callbacks"] or any(MAGIC.fullmatch(name) for name in names):
        return True
    if isinstance(value, dict):
        return any(_instantiates([str(name)], item) for name, item in value.items())
    return isinstance(value, list) and any(_instantiates([], item) for item in value)


def _value_fault(parsed: Parsed, text: str, value: Any) -> Fault | None:
    if "${" in text:
        return None  # checked once it is composed
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
