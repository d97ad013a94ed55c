"""Reference of a sweep on the command line: what follows `rlcli resume`."""

from __future__ import annotations

import contextlib

from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError, UserError
from rlcli.runs.reference import Reference, import_flags, sweep_reference
from rlcli.sweeps.sweep import Sweep


def reference(sweep: Sweep) -> Reference:
    """The folder of a sweep, and `--import MODULE` for modules of its jobs that the user has to name."""
    found = sweep_reference(sweep.dir)
    flags: dict[str, None] = {}
    with contextlib.suppress(StorageError, UserError):
        for name, config in _one_job_per_environment(sweep).items():
            flags |= dict.fromkeys(import_flags(sweep.dir / name, config))
    return Reference(found.name, " ".join((found.words, *flags)))


def _one_job_per_environment(sweep: Sweep) -> dict[str, RunConfig]:
    """Configs of jobs by their names, one for each environment with its arguments."""
    chosen: dict[str, tuple[str, RunConfig]] = {}
    for job in sweep.jobs:
        config = sweep.config(job)
        chosen.setdefault(repr((config.env.id, config.env.kwargs, config.env.wrappers)), (job.name, config))
    return dict(chosen.values())
