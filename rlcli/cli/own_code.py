"""Import of the user's modules for a command: only where there are any, since it loads heavy libraries."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence

from rlcli.config.extensions import GROUP, VARIABLE


def import_own_code(imports: Sequence[str]) -> None:
    """Imports the modules of --import (`imports`), of RLCLI_IMPORT, and of installed plug-ins.

    Raises:
        UserError: one is not there or raises, or registers what it must not.
    """
    if imports or os.environ.get(VARIABLE) or importlib.metadata.entry_points(group=GROUP):
        from rlcli.extend.importing import start

        start(imports)
