"""What a command asks for: every job composed and checked before the first starts."""

from __future__ import annotations

from collections.abc import Sequence

from rlcli.config.compose import Composed, compose, compose_multirun, trains_elsewhere
from rlcli.sweeps.preflight import CHECKS, checks


def plan(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> list[Composed]:
    """The jobs of a command line, one unless `multirun`.

    Raises:
        UserError: everything wrong with any of them.
    """
    if multirun:
        asked = checks(elsewhere=trains_elsewhere(overrides, config_dir=config_dir))
        return compose_multirun(overrides, config_dir=config_dir, checks=asked)
    return [compose(overrides, config_dir=config_dir, checks=CHECKS)]
