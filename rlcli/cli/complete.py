"""Shell completion of verbs, flags, groups, choices, keys, values and runs; loads neither torch nor Hydra.

The scripts are Typer's (`rlcli --install-completion`), the answers are ours: Typer's own ignore earlier
words, and bash passes `algo=pp` as three words, since `=` and `:` break words there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rlcli.cli.own_code import import_own_code
from rlcli.cli.run_lines import Sort
from rlcli.cli.shell_words import Candidate, bash_words, line_words, zsh
from rlcli.config import groups
from rlcli.config.extensions import ROWS
from rlcli.config.launchers import CHOICE, LAUNCHERS, SETTING
from rlcli.config.schema.keys import KEYS, Key
from rlcli.config.values import display
from rlcli.errors import RlcliError
from rlcli.store.directory import LISTED, list_runs, runs_root
from rlcli.streams import out, prints_apart
from rlcli.text import visible


def answer(shell: str, variables: Mapping[str, str]) -> int:
    """Print the candidates in the form Typer's script for that shell wants; the exit code.

    What modules of the user's print when they are imported is no candidate.
    """
    with prints_apart():
        return _answer(shell, variables)


def _answer(shell: str, variables: Mapping[str, str]) -> int:
    if shell == "bash":
        words, current, kept = bash_words(variables)
        lines = [word[kept:] for word, _ in candidates(words, current)]
    else:
        words, current = line_words(variables.get("_TYPER_COMPLETE_ARGS", ""))
        found = candidates(words, current)
        if shell == "fish" and variables.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
            return 0 if found else 1
        lines = zsh(found) if shell == "zsh" else ["\t".join(part for part in pair if part) for pair in found]
    if lines:
        results = out()
        results.write("\n".join(lines) + "\n")
        results.flush()
    return 0


def candidates(words: Sequence[str], current: str) -> list[Candidate]:
    """Completions of the word `current`; `words` are those between the command's name and it."""
    verb = next((word for word in words if not word.startswith("-")), None)
    try:
        with contextlib.suppress(RlcliError):
            import_own_code(_flag_values(words, "--import"))
        found = list(_candidates(verb, words, current))
    except (RlcliError, OSError):
        return []
    return [(word, text) for word, text in found if word.startswith(current)]


def _candidates(verb: str | None, words: Sequence[str], current: str) -> Iterable[Candidate]:
    before = words[-1] if words else ""
    if before in _AFTER_FLAG:
        return [(value, "") for value in _AFTER_FLAG[before]]
    if before in _FIELDS:
        return [*_among_runs(_FIELDS[before])]
    if before == "--metric":
        return _metrics()
    if before in ("--against", "--normalise"):
        return _published(before)
    if current.startswith("-") and "--" not in words:
        return _flags(verb)
    if verb is None:
        return _verbs()
    return _ARGUMENTS.get(verb, _nothing)(words, current)


_AFTER_FLAG = {
    "--cfg": ("job", "hydra", "all"),
    "-c": ("job", "hydra", "all"),
    "--checkpoint": ("last", "best"),
    "--at": ("last", "best"),
    "--config-dir": (),
    "--last": (),
    "--older": ("7d", "30d"),
    "--sort": tuple(Sort),
    "--status": tuple(status for status in LISTED if " " not in status),
    "--episodes": (),
    "--every": (),
    "--by": (),
    "--import": (),
    "--max-steps": (),
    "--out": (),
    "--seed": (),
    "--threshold": (),
    "--until": (),
    "--x": ("steps", "seconds", "updates"),
}


_FIELDS = {"--algo": "algo", "--env": "env"}
"""Filters whose values are those of the runs there are."""


def _among_runs(field: str) -> Iterator[Candidate]:
    found = list_runs(runs_root())
    yield from ((visible(value), "") for value in sorted({str(run[field]) for run in found if run[field]}))


def _nothing(words: Sequence[str], current: str) -> Iterable[Candidate]:  # noqa: ARG001
    return ()


def _overrides(words: Sequence[str], current: str) -> Iterable[Candidate]:
    bare = current.lstrip("+~")
    prefix = current[: len(current) - len(bare)]
    config_dir = _flag_value(words, "--config-dir")
    name, assigned, value = bare.partition("=")
    if assigned:
        cut = max(value.rfind(mark) for mark in ",[") + 1
        found = _values(name, config_dir)
        return [(f"{prefix}{name}={value[:cut]}{choice}", text) for choice, text in found]
    every = [*_names(config_dir), *_of_launchers(words)]
    names = [(name, text) for name, text in every if name.startswith(bare)]
    if len(names) == 1:  # its values at once: a lone candidate would get a space after it
        name = names[0][0]
        return [(f"{prefix}{name}={choice}", text) for choice, text in [*_values(name, config_dir), ("", "")]]
    return [(f"{prefix}{name}=", text) for name, text in names]


def _names(config_dir: str | None) -> Iterator[Candidate]:
    names = groups.group_names(config_dir)
    yield from ((group, "choose one") for group in names)
    chosen = ("algo.name", "network.name", *names)
    yield from ((name, key.declaration.doc) for name, key in KEYS.items() if name not in chosen)


def _of_launchers(words: Sequence[str]) -> Iterator[Candidate]:
    """Completions of hydra/launcher, and of the settings of the launcher chosen before."""
    yield CHOICE, "launcher of a sweep's jobs"
    chosen = [word.partition("=")[2] for word in words if word.startswith(f"{CHOICE}=")]
    if chosen and chosen[-1] in LAUNCHERS:
        for key in LAUNCHERS[chosen[-1]].keys.values():
            yield f"{SETTING}.{key.name}", key.declaration.doc


def _values(name: str, config_dir: str | None) -> list[Candidate]:
    if name in ("env", "env.id"):
        from rlcli.envs.registry import known_ids

        return [(env, "") for env in dict.fromkeys([*groups.files("env", config_dir), *known_ids()])]
    if name == "env.wrappers":
        from rlcli.envs.wrappers import OWN, REFUSED, known

        return [(wrapper, "") for wrapper in (*OWN, *known()) if wrapper not in REFUSED]
    if name in groups.group_names(config_dir):
        files = groups.files(name, config_dir)
        return [
            (choice, groups.summary(files[choice]) if choice in files else _doc(name, choice))
            for choice in groups.choices(name, config_dir)
        ]
    if name == CHOICE:
        return [(launcher, declared.doc) for launcher, declared in LAUNCHERS.items()]
    return _key_values(KEYS[name]) if name in KEYS else []


def _doc(group: str, choice: str) -> str:
    added = ROWS.get(group, {}).get(choice)
    return "" if added is None else added.doc


def _key_values(key: Key) -> list[Candidate]:
    if key.declaration.choices:
        return [(choice, "") for choice in (*key.declaration.choices, key.declaration.prefix) if choice]
    if key.scalar_type is bool:
        return [("true", ""), ("false", "")]
    return [(display(key.default), "the default")] if key.default not in ("", None) else [("null", "")]


def _runs(words: Sequence[str], current: str) -> Iterator[Candidate]:  # noqa: ARG001
    yield "last", "the run or sweep started last"
    for run in list_runs(runs_root()):
        if run["id"] != "-":
            yield visible(str(run["id"])), visible(f"{run.get('algo')} {run.get('env')} {run.get('status')}")


def _resumed(words: Sequence[str], current: str) -> Iterator[Candidate]:
    """The run first, then the keys a resumed run may change."""
    if len(_positional(words)) < 2:
        yield from _runs(words, current)
        return
    name, assigned, value = current.partition("=")
    names = [key for key in KEYS.values() if key.declaration.resumable]
    if name.startswith(CHOICE[:6]):  # of a sweep
        yield from _overrides(words, current)
        return
    if assigned:
        cut = max(value.rfind(mark) for mark in ",[") + 1
        for key in names:
            if key.name == name:
                yield from ((f"{name}={value[:cut]}{choice}", text) for choice, text in _key_values(key))
        return
    yield from ((f"{key.name}=", key.declaration.doc) for key in names)


def _forked(words: Sequence[str], current: str) -> Iterator[Candidate]:
    """The run first, then the keys a fork may change."""
    if len(_positional(words)) < 2:
        yield from _runs(words, current)
        return
    kept = ("network", "tuned", "experiment", "sweep", "schedule_past")
    yield from (
        pair for pair in _overrides(words, current) if re.split(r"[.=]", pair[0].lstrip("+~"))[0] not in kept
    )


def _sweeps(words: Sequence[str], current: str) -> Iterator[Candidate]:
    """The subcommand first, then the sweep."""
    if len(_positional(words)) < 2:
        commands = _command().commands["sweep"].commands
        yield from ((name, command.get_short_help_str()) for name, command in commands.items())
        return
    yield from _swept(words, current)


def _listed(words: Sequence[str], current: str) -> Iterator[Candidate]:
    """Sweeps to list, and with --rm also runs to remove."""
    found = [*_swept(words, current), *(_runs(words, current) if "--rm" in words else ())]
    yield from dict(reversed(found)).items()


def _swept(words: Sequence[str], current: str) -> Iterator[Candidate]:  # noqa: ARG001
    yield "last", "the sweep started last"
    for path in sorted(runs_root().glob("*/sweep.json")):
        yield visible(path.parent.name), "a sweep"


def _metrics() -> Iterator[Candidate]:
    from rlcli.catalog.table import METRICS

    yield from ((name, metric.definition) for name, metric in METRICS.items())


def _published(flag: str) -> Iterator[Candidate]:
    from rlcli.analysis.compare.references import names

    if flag == "--normalise":
        yield "range", "the worst and the best of the compared runs"
    yield from ((name, "published figures") for name in names())


def _runs_and_sweeps(words: Sequence[str], current: str) -> Iterator[Candidate]:
    yield from dict([*_swept(words, current), *_runs(words, current)]).items()


def _explained(words: Sequence[str], current: str) -> Iterator[Candidate]:  # noqa: ARG001
    yield from ((name, key.declaration.doc) for name, key in KEYS.items())
    yield from _metrics()


def _kinds(words: Sequence[str], current: str) -> Iterator[Candidate]:  # noqa: ARG001
    from rlcli.cli.list import Kind

    yield from ((kind.value, "") for kind in Kind)


def _parts(words: Sequence[str], current: str) -> Iterator[Candidate]:  # noqa: ARG001
    from rlcli.cli.new import Part

    if len(_positional(words)) < 2:
        yield from ((part.value, "") for part in Part)


_ARGUMENTS: Mapping[str, Callable[[Sequence[str], str], Iterable[Candidate]]] = {
    "train": _overrides,
    "resume": _resumed,
    "fork": _forked,
    "eval": _runs,
    "runs": _listed,
    "show": _runs,
    "plot": _runs_and_sweeps,
    "watch": _runs_and_sweeps,
    "sync": _runs,
    "reproduce": _runs,
    "compare": _runs_and_sweeps,
    "diff": _runs,
    "sweep": _sweeps,
    "explain": _explained,
    "list": _kinds,
    "new": _parts,
}


def _command() -> Any:
    import typer.main

    from rlcli.cli.app import app

    return typer.main.get_command(app)


def _verbs() -> Iterator[Candidate]:
    for name, command in _command().commands.items():
        yield name, command.get_short_help_str()


def _flags(verb: str | None) -> Iterator[Candidate]:
    root = _command()
    found = root.commands.get(verb, root)
    for parameter in getattr(found, "commands", {}).get("status", found).params:
        for flag in parameter.opts:
            if flag.startswith("--"):
                yield flag, getattr(parameter, "help", None) or ""
    yield "--help", "Show this message and exit."


def _positional(words: Sequence[str]) -> list[str]:
    """The words that are neither flags nor values of flags."""
    takes_value = {*_AFTER_FLAG, *_FIELDS, "--metric", "--against", "--normalise"}
    return [
        word
        for before, word in zip(("", *words), words, strict=False)
        if not word.startswith("-") and before not in takes_value
    ]


def _flag_value(words: Sequence[str], flag: str) -> str | None:
    return next(iter(_flag_values(words, flag)), None)


def _flag_values(words: Sequence[str], flag: str) -> list[str]:
    found = []
    for position, word in enumerate(words):
        if word.startswith(flag + "="):
            found.append(word.partition("=")[2])
        elif word == flag and position + 1 < len(words):
            found.append(words[position + 1])
    return found
