"""Assertions of every update: what must hold while training, and the message of a run that broke one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

ACTED = "the policy acted otherwise than the batch recomputes it"
RATIO = "the ratio before the first step is not 1"
LOSS = "the loss is not finite"
PARAMETER = "a parameter is not finite"
KL = "an exact KL is negative or not finite"
STATISTIC = "a running statistic is not finite"
FIGURE = "a figure is not finite"
"""Followed by the names of those figures after a colon."""
ASSERTIONS = (ACTED, RATIO, LOSS, PARAMETER, KL, STATISTIC, FIGURE)
"""How an update fails by its own numbers, rather than by an environment or by functions of the user's."""
MESSAGE = re.compile(r"Update (\d+): (.*)\.", re.DOTALL)


class Broken(NamedTuple):
    """Assertions that an update broke."""

    update: int
    assertions: tuple[str, ...]


def message(update: int, broken: Iterable[str]) -> str:
    """The message of a run that failed at an update."""
    return f"Update {update}: {'; '.join(broken)}."


def broken_of(text: str) -> Broken | None:
    """The assertions that a run's message names; None where it failed for another reason."""
    found = MESSAGE.fullmatch(text)
    named = found[2].split("; ") if found else ()
    assertions = tuple(one for one in named if one.startswith(ASSERTIONS))
    return Broken(int(found[1]), assertions) if found and assertions else None
