"""Import hook of an editable install: `import rlcli` beside a clone in a folder named rlcli.

Python takes a folder without `__init__.py` for a namespace package when it finds nothing else on its path,
and the finder of an editable install is called only after the path. In the folder that contains the clone,
`import rlcli` would then give an empty package. This hook is called first. A package or module of that name
anywhere on the path still goes before the editable install, as without the hook.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGE = "rlcli"


class EditableGuard:
    """Finder of the installed package where the path has only folders of its name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the editable install, or None to leave the import to the other finders."""
        if name != PACKAGE:
            return None
        on_path = PathFinder.find_spec(name)
        if on_path is None or on_path.origin is not None:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and finder is not PathFinder)
        specs = (finder.find_spec(name, None) for finder in others)
        return next((spec for spec in specs if spec is not None and spec.origin is not None), None)


def install() -> None:
    """Puts the hook before Python's own finders, once."""
    if not any(isinstance(finder, EditableGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, EditableGuard())
