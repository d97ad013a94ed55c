r"""Modules that a config may import: the one in its environment's id, and those that its texts may name.

`gymnasium.make("module:Id")` imports `module`, and an environment may make another one from a text in its
arguments. So any text with a colon may name a module: it does if Python would find a module of the name
before the colon. `127.0.0.1:8080`, `09:30` and `C:\x` name none, unless there is a module `C`. Nothing is
imported to find out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from rlcli.config.schema.run import RunConfig
from rlcli.config.wrappers import modules_named

MOST = 20_000
"""Maximum number of different texts with a colon in the arguments."""
ACT = frozenset({"antigravity", "this"})
"""Modules of the standard library that act when they are imported."""


def named(config: RunConfig, run_dir: Path) -> list[str]:
    """The modules in the id, in wrappers' names and in `imports`, and those that arguments may import.

    They are looked up on Python's path, in the current directory, and in the run directory itself.
    """
    module, separator, _ = config.env.id.rpartition(":")
    inside = (text for text in candidates(config) if may_run(text, run_dir))
    asked = [*([module] if separator else ()), *modules_named(config.env.wrappers), *config.imports]
    return list(dict.fromkeys([*asked, *inside]))


def candidates(config: RunConfig) -> list[str]:
    """The parts before colons in the arguments' texts, each once."""
    found: dict[str, None] = {}
    for text in _texts([config.env.kwargs, *config.env.wrappers]):
        first, separator, _ = text.partition(":")
        if separator:
            found |= {first: None, text.rpartition(":")[0]: None}
    return list(found)


def may_run(module: str, run_dir: Path) -> bool:
    """Whether importing this name would run code that is found here and is not Python's own."""
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
    """The path from which a module's top package would be imported."""
    spec = _found(module.partition(".")[0], [str(Path.cwd())])
    if spec is None:
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    return next((Path(place).resolve() for place in places if place and Path(place).exists()), None)


def files(module: str) -> list[list[str]] | None:
    """The files from which a module and the packages around it would be imported; None if it is not found.

    Of a folder without an `__init__.py`, the places where its modules are looked for.
    """
    top, *below = module.split(".")
    spec = _found(top, [str(Path.cwd())])
    found: list[list[str]] = []
    for part in (*below, None):
        if spec is None:
            return None
        inside = list(spec.submodule_search_locations or ())
        found.append([spec.origin] if spec.origin is not None else inside)
        spec = PathFinder.find_spec(part, inside) if part else None
    return [[str(Path(place).resolve()) for place in places] for places in found]


def _found(top: str, further: Sequence[str]) -> ModuleSpec | None:
    """The spec of a top-level module by Python's finders, those of installed packages too."""
    if not top or "\0" in top or "/" in top:
        return None
    specs = (finder.find_spec(top, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None) or PathFinder.find_spec(top, further)


def _is_folder(spec: ModuleSpec) -> bool:
    """Whether it is a folder without an `__init__.py`, whose import runs nothing."""
    return spec.origin is None and spec.submodule_search_locations is not None


def _of_python(top: str) -> bool:
    """Whether the module that would be found is the standard library's own."""
    spec = _found(top, ())
    if spec is None or spec.origin in ("built-in", "frozen"):
        return True
    library = Path(sys.modules["os"].__file__ or "").resolve().parent
    place = Path(spec.origin or "").resolve()
    return place.is_relative_to(library) and "site-packages" not in place.parts


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested plain data, including keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
