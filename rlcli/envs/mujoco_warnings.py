"""Warnings of MuJoCo: each kind is shown once, and none is written to MUJOCO_LOG.TXT in the current folder.

By default MuJoCo prints a warning for every environment that is made and appends it to that file.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rlcli.streams import say

_ignoring = False
_shown: set[str] = set()
"""Kinds of warnings that were shown: texts without their numbers."""


def take_warnings() -> None:
    """Receives MuJoCo's warnings from now on, if it is loaded and nobody else receives them."""
    mujoco = sys.modules.get("mujoco")
    with contextlib.suppress(AttributeError):
        if mujoco is not None and mujoco.get_mju_user_warning() is None:
            mujoco.set_mju_user_warning(_on_warning)


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Ignores MuJoCo's warnings in the block: those of models, while an environment is made."""
    global _ignoring
    before, _ignoring = _ignoring, True
    try:
        yield
    finally:
        _ignoring = before


def _on_warning(text: str) -> None:
    kind = re.sub(r"[\d.]+", "", text)
    if not _ignoring and kind not in _shown:
        _shown.add(kind)
        say(f"Warning of MuJoCo, shown once: {text}")
