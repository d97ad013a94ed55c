"""A stand-in for IPython in the kernel of a notebook: keeps what is displayed."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest


class Handle:
    """One output of a cell."""

    def __init__(self, first: Any) -> None:
        self.shown = [first]

    def update(self, shown: Any) -> None:
        """Replaces the output."""
        self.shown.append(shown)


def notebook(monkeypatch: pytest.MonkeyPatch, *, kernel: bool = True) -> list[Handle]:
    """Puts the stand-in in place; the outputs that are displayed from then on."""
    handles: list[Handle] = []

    def display(shown: Any, *, display_id: bool) -> Handle:
        assert display_id
        handles.append(Handle(shown))
        return handles[-1]

    class Shell:
        pass

    shell: Any = Shell()
    if kernel:
        shell.kernel = object()
    ipython, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    of_display.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    return handles
