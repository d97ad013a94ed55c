"""Forks of a run: planned, checked, and trained as one run or as a sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rlcli.config.command import Command
from rlcli.config.compose import Composed
from rlcli.config.faults import Fault
from rlcli.config.forked import fork_jobs
from rlcli.config.schema.run import RunConfig
from rlcli.errors import UserError
from rlcli.runs.fork import Source, beginning, spaces_fit
from rlcli.store.start_file import Beginning
from rlcli.sweeps.preflight import checks


@dataclass(frozen=True)
class Forks:
    """The forks of a command, one unless it is a multirun."""

    jobs: list[Composed]
    beginnings: list[Beginning]
    notes: list[str]
    """What is taken from the parent, and what begins anew; each sentence once."""


def plan_forks(source: Source, command: Command, *, fresh_optimiser: bool = False) -> Forks:
    """The forks of a run that a command asks for; `fresh_optimiser` as in `beginning`.

    Raises:
        UserError: everything wrong with any of them.
    """

    def spaces(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
        with contextlib.suppress(UserError):  # another check says that there is no such environment
            yield from (Fault(text, frozenset({"env.id"})) for text in spaces_fit(source, config))

    every = (*checks(elsewhere=command.launching.elsewhere), spaces)
    jobs = fork_jobs(source.config, source.overrides, command, every)
    found = [beginning(source, job.config, fresh_optimiser=fresh_optimiser) for job in jobs]
    notes = dict.fromkeys(
        note for (_, text), job in zip(found, jobs, strict=True) for note in (text, *job.notes)
    )
    return Forks(jobs, [one for one, _ in found], list(notes))
