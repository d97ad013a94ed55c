"""What a command asks for: every job composed and checked before the first starts."""

from __future__ import annotations

from collections.abc import Sequence

from rlcli.config.compose import Composed, compose, compose_multirun
from rlcli.sweeps.preflight import CHECKS


def plan(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> list[Composed]:
    """The jobs of a command line, one unless `multirun`.

    Raises:
        UserError: everything wrong with any of them.
    """
    if multirun:
        return compose_multirun(overrides, config_dir=config_dir, checks=CHECKS)
    return [compose(overrides, config_dir=config_dir, checks=CHECKS)]
