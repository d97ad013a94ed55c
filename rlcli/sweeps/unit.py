"""One cohort of a sweep that lies on the disk, trained in this process: what workers of every kind do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlcli.sweeps.cohort_job import Jobs, OnEnd, OnRow, Tell, work
from rlcli.sweeps.sweep import Sweep


def train_unit(
    directory: Path, names: Sequence[str], *, on_row: OnRow, on_end: OnEnd, tell: Tell
) -> int | None:
    """Brings jobs of the sweep in `directory` to their end, each as its frozen config has it; see `work`."""
    sweep = Sweep.read(directory)
    jobs = {job.name: job for job in sweep.jobs}
    return work(
        Jobs(
            directory,
            names,
            [sweep.config(jobs[name]) for name in names],
            [jobs[name].overrides for name in names],
            [jobs[name].trial for name in names],
        ),
        on_row=on_row,
        on_end=on_end,
        tell=tell,
    )
