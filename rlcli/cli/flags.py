"""Group of verbs whose flags may be given before or after the verb."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from typer.core import TyperGroup

from rlcli.cli.help import FittingHelp

JSON = "--json"
WHOLE = 1000
"""Characters of a verb's description: more than any has."""
SHARED = ("-q", "--quiet", JSON)
"""Flags of the root that apply to every verb."""


class Verbs(FittingHelp, TyperGroup):
    """A group that takes flags of a verb before it, and its own flags after the verb."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs; descriptions wrap where Typer would cut them off."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(WHOLE)) for name, one in found if one])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, each flag in its place; from a `#` on they are a comment, which zsh passes."""
        end = args.index("#") if "#" in args else len(args)
        return super().parse_args(ctx, self._ordered(args[:end]))

    def _ordered(self, args: Sequence[str]) -> list[str]:
        """The arguments with the group's own flags first, then the verb, then the verb's flags."""
        own, of_verbs = _options([self]), _options(_within(self))
        first: list[str] = []
        moved: list[str] = []
        words = iter(args)
        for word in words:
            if word in self.commands:
                shared, rest = _split(list(words), [flag for flag in SHARED if flag in own])
                return [*first, *shared, word, *moved, *rest]
            if not word.startswith("-") or word == "--":
                return [*first, *moved, word, *words]
            name, given, _ = word.partition("=")
            place = moved if name in of_verbs and name not in own else first
            place.append(word)
            if not given and (own.get(name) or of_verbs.get(name)):
                place += [value for value in [next(words, None)] if value is not None]
        return sorted([*first, *moved], key=lambda word: word != JSON)  # --version asks for it


def _split(words: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The `wanted` flags among words, and the other words; after `--` there are no flags."""
    end = words.index("--") if "--" in words else len(words)
    flags = [word for word in words[:end] if word in wanted]
    return flags, [word for word in words[:end] if word not in wanted] + [*words[end:]]


def _within(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        yield command
        yield from _within(command) if hasattr(command, "commands") else ()


def _options(commands: Iterable[Any]) -> dict[str, bool]:
    """Every name of an option, with whether a value follows it."""
    return {
        name: not getattr(option, "is_flag", False)
        for command in commands
        for option in command.params
        if option.param_type_name == "option"
        for name in option.opts
    }
