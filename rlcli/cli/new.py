"""`rlcli new`: a commented starting file for an environment, a network or an algorithm, and its test."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlcli.cli.options import AsJson
from rlcli.cli.output import emit, result
from rlcli.errors import UserError

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Part(StrEnum):
    """What can be begun."""

    environment = "environment"
    network = "network"
    algorithm = "algorithm"


def new(
    part: Annotated[Part, typer.Argument(help="What to begin.", show_default=False)],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name, and that of its module.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Write a starting file for code of your own, and its test.

    NAME.py and test_NAME.py are written to the current folder, complete and commented: they train and pass as
    they are, and you change them from there. Files that exist are not replaced. docs/extending.md has the
    whole interface, and metrics.

    Examples:
      rlcli new network my_network
      rlcli new algorithm my_algorithm
      rlcli new environment my_environment
    """
    files = {Path(f"{name}.py"): part.value, Path(f"test_{name}.py"): f"test_{part.value}"}
    _check(part, name, list(files))
    texts = {path: _filled(template, name) for path, template in files.items()}
    _write(texts)
    commands = _next(part, name)
    if as_json:
        emit({"files": [str(path) for path in files], "next": commands})
        return
    result(f"Wrote {' and '.join(map(str, files))}.")
    result("Next: " + ", then ".join(commands))


def _next(part: Part, name: str) -> list[str]:
    test = f"python -m pytest {shlex.quote(f'test_{name}.py')}"
    if part is Part.environment:
        return [test, f"rlcli train env={name}:{_class(name)}-v0"]
    group = "network" if part is Part.network else "algo"
    return [test, f"rlcli train --import {name} {group}={name}"]


def _check(part: Part, name: str, files: list[Path]) -> None:
    """Raises `UserError` where the name is not possible or taken."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.iskeyword(_class(name)):
        proposal = re.sub(r"\W+", "_", name).strip("_").lower() or "mine"
        if keyword.iskeyword(proposal) or keyword.iskeyword(_class(proposal)):
            proposal = f"my_{proposal}"
        hint = "" if not NAME.fullmatch(proposal) else f" Such as: rlcli new {part} {proposal}"
        raise UserError(
            f"{name!r} cannot be the name of a module: give lower-case letters, digits and underscores.{hint}"
        )
    there = [str(path) for path in files if path.exists() or path.is_symlink()]
    if there:
        verb = "exists" if len(there) == 1 else "exist"
        raise UserError(f"{' and '.join(there)} {verb} already; nothing was written. Choose another name.")
    if importlib.util.find_spec(name) is not None:
        raise UserError(
            f"Python has a module {name!r} already, which {name}.py would hide; choose another name."
        )
    if name in _taken(part):
        raise UserError(f"{part} {name!r} is rlcli's own; choose another name.")


def _taken(part: Part) -> list[str]:
    from rlcli.config.groups import choices
    from rlcli.config.schema.keys import KEYS

    if part is Part.network:
        return [*choices("network"), *(KEYS["network.name"].declaration.choices or ())]
    if part is Part.algorithm:
        fields = ("surrogate", "targets", "penalty", "step_rule")
        return [
            *choices("algo"),
            *(choice for field in fields for choice in KEYS[f"algo.{field}"].declaration.choices or ()),
        ]
    return []


def _filled(template: str, name: str) -> str:
    from rlcli import extend

    folder = Path(extend.__file__).parent / "templates"
    text = (folder / f"{template}.txt").read_text(encoding="utf-8")
    return text.format_map({"name": name, "class": _class(name)})


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _write(texts: Mapping[Path, str]) -> None:
    """Writes all files or none."""
    written: list[Path] = []
    for path, text in texts.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
        except OSError as error:
            for one in written:
                one.unlink(missing_ok=True)
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error
