"""Commands and jobs from overrides, as `rlcli train -m` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlcli.config.command import Command
from rlcli.config.compose import Composed, compose_jobs
from rlcli.config.faults import Check
from rlcli.config.overrides import parse_command


def multirun(overrides: Sequence[str], config_dir: str | None = None) -> Command:
    """The command of `rlcli train -m`."""
    return parse_command(overrides, multirun=True, config_dir=config_dir)


def compose_multirun(
    overrides: Sequence[str], *, config_dir: str | None = None, checks: Iterable[Check] = ()
) -> list[Composed]:
    """The jobs of `rlcli train -m`."""
    return compose_jobs(multirun(overrides, config_dir), checks)
