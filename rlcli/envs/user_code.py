"""Location of the user's code: file and line of an exception, or of an environment's method.

The user's code is what lies neither in rlcli nor in Python's standard library nor among installed packages.
Where a traceback has none of it, an installed package other than `LIBRARIES` is next: the environment itself
may be one.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rlcli.errors import RlcliError
from rlcli.text import LONGEST_MESSAGE, described, message_of, one_line, visible

LIBRARIES = ("rlcli", "gymnasium", "numpy", "torch")
"""Packages that run the user's code; their frames are never the place of its error."""
INSTALLED = {"site-packages", "dist-packages"}
PARTS_OF_STEP = ("observation", "reward", "action")
"""Methods of Gymnasium's wrappers that `step` and `reset` call."""
LONGEST_CHAIN = 8
"""Exceptions followed from one to its cause."""

Place = tuple[str, int]
"""File and line."""


def located(error: BaseException) -> str:
    """Type and message of an exception after the file and line that raised it: `my_env.py:12: KeyError: 7`.

    Its last note follows: there `GymnasiumVectorEnv` has environment, episode and step.
    """
    text = prefixed(place_of(error), described(error))
    with contextlib.suppress(Exception):
        note = error.__notes__[-1]
        text = f"{text.rstrip('.')}. {one_line(note, LONGEST_MESSAGE)}"
    return text


def reported(error: BaseException) -> str:
    """The message of an error that ends a run: of ours as it is, of another `located`."""
    return message_of(error) if isinstance(error, RlcliError) else located(error)


def prefixed(place: str | None, text: str) -> str:
    """A text after a place, if there is one."""
    return text if place is None else f"{place}: {text}"


def place_of(error: BaseException) -> str | None:
    """`file:line` of the deepest frame of the user's code in a traceback; None if there is none."""
    return _first([place for one in _chain(error) for place in reversed(list(_places(one)))])


def place_of_frames(frames: Iterable[tuple[FrameType, int]]) -> str | None:
    """`file:line` of the first of these frames, with their lines, that is the user's code, if one is."""
    return _first([(frame.f_code.co_filename, line) for frame, line in frames])


def definition_of(env: Any, method: str) -> str | None:
    """`file:line` where the innermost wrapper or environment that is the user's code defines a method."""
    return _first(list(_definitions(env, method))[::-1])


def place_of_definition(found: Any) -> str | None:
    """`file:line` where a function or class of the user's is defined; None if it is not theirs."""
    with contextlib.suppress(Exception):
        file, (_, line) = inspect.getsourcefile(found), inspect.getsourcelines(found)
        return _first([(file, line)]) if file is not None else None
    return None


def _first(places: list[Place]) -> str | None:
    """The first place in the user's code, else the first in an installed package that is no library."""
    belongs: Callable[[str], bool]
    for belongs in (_is_users, _is_package):
        for path, line in places:
            if belongs(path):
                return f"{visible(_short(path))}:{line}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes."""
    found: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _places(error: BaseException) -> Iterator[Place]:
    """The frames of a traceback, outermost first; after them the line of a file that could not be parsed."""
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, line
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and isinstance(error.lineno, int):
        yield error.filename, error.lineno


def _definitions(env: Any, method: str) -> Iterator[Place]:
    """Where an environment and each environment it wraps define a method, outermost first."""
    with contextlib.suppress(Exception):
        for _ in range(100):
            for name in (method, *PARTS_OF_STEP):
                with contextlib.suppress(AttributeError):
                    code = inspect.unwrap(getattr(type(env), name)).__code__
                    yield code.co_filename, code.co_firstlineno
            env = env.env


def _is_users(path: str) -> bool:
    return _is_package(path) and not INSTALLED & set(Path(path).parts)


def _is_package(path: str) -> bool:
    if path.startswith("<"):  # compiled from text, not from a file
        return False
    found = Path(path)
    if any(found.is_relative_to(folder) for folder in _library_folders()):
        return False
    standard = any(found.is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    return not standard or bool(INSTALLED & set(found.parts))


def _library_folders() -> Iterator[str]:
    for name in LIBRARIES:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            yield os.path.dirname(file)  # noqa: PTH120


def _short(path: str) -> str:
    """The path from the current folder, if the file is below it."""
    with contextlib.suppress(OSError, ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
