"""Keys that the user's own networks and algorithms declare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlcli.config.declaration import Declaration
from rlcli.config.extensions import key
from rlcli.config.schema.keys import KEYS
from rlcli.config.values import RejectedValue, convert
from rlcli.errors import UserError

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = ("name", "outputs")


class Setting(NamedTuple):
    """A key: its default, whose type it has, its meaning and its valid values."""

    default: Any
    doc: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] | None = None


def declared(section: str, place: str, settings: Mapping[str, Setting]) -> dict[str, tuple[Any, Declaration]]:
    """Default and declaration by short name.

    Raises:
        UserError: a name or a default is not possible.
    """
    found = {}
    for name, setting in settings.items():
        fault = _fault(section, name, setting)
        if fault is not None:
            raise UserError(f"{place}: the key {name!r} {fault}.")
        declaration = Declaration(
            setting.doc, ge=setting.ge, gt=setting.gt, le=setting.le, lt=setting.lt, choices=setting.choices,
            cohort=section == "algo",
        )  # fmt: skip
        if isinstance(setting.default, (int, float)) and not declaration.admits(setting.default):
            raise UserError(
                f"{place}: the key {name!r} has the default {setting.default}, which is not "
                f"{declaration.bounds()}."
            )
        try:
            convert(key(name, setting.default, declaration), setting.default)
        except RejectedValue as error:
            raise UserError(
                f"{place}: the key {name!r} has the default {setting.default!r}: {error}."
            ) from error
        found[name] = (setting.default, declaration)
    return found


def _fault(section: str, name: Any, setting: Any) -> str | None:
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
        return "needs a name of lower-case letters, digits and underscores, other than name and outputs"
    if section == "algo" and f"algo.{name}" in KEYS:
        return f"would hide rlcli's own algo.{name}"
    if not isinstance(setting, Setting) or not isinstance(setting.doc, str) or not setting.doc:
        return f"is declared as rlcli.Setting(default, 'what it means'), not {setting!r}"
    default = setting.default
    if section == "algo" and type(default) not in (bool, int, float):
        return f"of an algorithm is a number or a switch; its default is {default!r}"
    kinds = {type(item) for item in default} if isinstance(default, (tuple, list)) else {type(default)}
    if len(kinds) != 1 or not kinds <= {bool, int, float, str}:
        return f"has the default {default!r}; possible are a number, a switch, a text, or a list of one kind"
    return None
