"""What a command asks for: every job composed and checked before the first starts."""

from __future__ import annotations

from collections.abc import Sequence

from rlcli.config.compose import Composed, compose, compose_multirun, trains_elsewhere
from rlcli.config.search import Search, compose_search
from rlcli.errors import UserError
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
    job = compose(overrides, config_dir=config_dir, checks=CHECKS)
    if job.config.sweep.sampler != "none":
        raise UserError(
            f"sweep.sampler={job.config.sweep.sampler} asks for many runs; add -m: rlcli train -m ..."
        )
    return [job]


def plan_search(overrides: Sequence[str], *, config_dir: str | None = None) -> Search | None:
    """What a command line with -m searches for; None where no sampler is chosen.

    Raises:
        UserError: everything wrong with it.
    """
    asked = checks(elsewhere=trains_elsewhere(overrides, config_dir=config_dir))
    return compose_search(overrides, config_dir=config_dir, checks=asked)
