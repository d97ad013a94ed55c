"""Jobs and search of a command: composed and checked before the first job starts."""

from __future__ import annotations

from rlcli.config.command import Command
from rlcli.config.compose import Composed, compose_jobs
from rlcli.config.search import Search, compose_search
from rlcli.errors import UserError
from rlcli.sweeps.preflight import checks


def plan(command: Command) -> list[Composed]:
    """The jobs of a command, one unless it is a multirun.

    Raises:
        UserError: everything wrong with any of them.
    """
    jobs = compose_jobs(command, checks(elsewhere=command.launching.elsewhere))
    sampler = jobs[0].config.sweep.sampler
    if not command.multirun and sampler != "none":
        raise UserError(f"sweep.sampler={sampler} asks for many runs; add -m: rlcli train -m ...")
    return jobs


def plan_search(command: Command) -> Search | None:
    """What a command searches for; None where it is no multirun or chooses no sampler.

    Raises:
        UserError: everything wrong with it.
    """
    if not command.multirun:
        return None
    return compose_search(command, checks(elsewhere=command.launching.elsewhere))
