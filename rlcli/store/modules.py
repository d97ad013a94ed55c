r"""Which modules a config can have imported: the one its environment's id names, and those texts may name.

`gymnasium.make("module:Id")` imports `module`, whatever stands behind the colon, and an environment may make
another by a text of its arguments. So what a text looks like says nothing; what could be imported does: its
part before a colon names a module only if Python would find one of that name here. `127.0.0.1:8080`, `09:30`
and `C:\x` name none, unless there is a module `C`. Nothing is imported to find out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from rlcli.config.schema import RunConfig

MOST = 20_000
"""Different texts with a colon that are looked into; arguments with more are no arguments."""
ACT = frozenset({"antigravity", "this"})
"""Modules of the standard library that do something when they are imported by their plain name."""


def named(config: RunConfig, run_dir: Path) -> list[str]:
    """The module of the id, and those that texts in the arguments could have imported.

    Such a one is found on Python's path, in the current directory, or in the run directory itself.
    """
    module, separator, _ = config.env.id.rpartition(":")
    inside = (text for text in candidates(config) if may_run(text, run_dir))
    return list(dict.fromkeys([module, *inside] if separator else inside))


def candidates(config: RunConfig) -> list[str]:
    """What stands before colons in the arguments' texts, each once."""
    found: dict[str, None] = {}
    for text in _texts(config.env.kwargs):
        first, separator, _ = text.partition(":")
        if separator:
            found |= {first: None, text.rpartition(":")[0]: None}
    return list(found)


def may_run(module: str, run_dir: Path) -> bool:
    """Whether importing what is named so would run code that is found here and not Python's own."""
    top, *below = module.split(".")
    if not below and top in sys.stdlib_module_names - ACT and _of_python(top):
        return False
    spec = _found(top, [str(Path.cwd()), str(run_dir)])
    for part in below:
        if spec is None or not _is_folder(spec):
            break
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ())) if part else None
    return spec is not None and not _is_folder(spec)


def origin(module: str) -> Path | None:
    """Where a module's top package would be imported from."""
    spec = _found(module.partition(".")[0], [str(Path.cwd())])
    if spec is None:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return next((Path(place).resolve() for place in places if place and Path(place).exists()), None)


def _found(top: str, further: Sequence[str]) -> ModuleSpec | None:
    """What Python's finders say of a module without a parent, those of installed packages too."""
    if not top or "\0" in top or "/" in top:
        return None
    specs = (finder.find_spec(top, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None) or PathFinder.find_spec(top, further)


def _is_folder(spec: ModuleSpec) -> bool:
    """Whether it is a folder without an `__init__.py`, which runs nothing."""
    return spec.origin is None and spec.submodule_search_locations is not None


def _of_python(top: str) -> bool:
    """Whether the module that would be found is the standard library's, and none that hides it."""
    spec = _found(top, ())
    if spec is None or spec.origin in ("built-in", "frozen"):
        return True
    library = Path(sys.modules["os"].__file__ or "").resolve().parent
    place = Path(spec.origin or "").resolve()
    return place.is_relative_to(library) and "site-packages" not in place.parts


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested plain data, names in mappings too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
