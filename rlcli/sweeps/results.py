"""results.csv: one row per job with what was varied and its results."""

from __future__ import annotations

import csv
import io
from typing import Any

from rlcli.config.serialise import flatten
from rlcli.config.values import display
from rlcli.errors import StorageError
from rlcli.store.files import write_atomically
from rlcli.store.rows import last_row
from rlcli.sweeps.sweep import Job, Sweep

FILE = "results.csv"
HEALTH = (
    "train/return_100", "behaviour/ess", "behaviour/clip_fraction", "behaviour/kl_mu_pi", "update/entropy",
    "update/explained_variance",
)  # fmt: skip
"""Health figures of a job's last update."""


def write_results(sweep: Sweep) -> None:
    """Writes results.csv, replacing the earlier one.

    Raises:
        StorageError: it cannot be written.
    """
    rows = [_row(sweep, job) for job in sweep.jobs]
    text = io.StringIO()
    table = csv.DictWriter(
        text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
    )
    table.writeheader()
    table.writerows(rows)
    write_atomically(sweep.dir / FILE, text.getvalue().encode())


def _row(sweep: Sweep, job: Job) -> dict[str, Any]:
    """What the jobs differ in, results, health at the end, status and directory."""
    return {
        "job": job.name,
        **({"trial": job.trial} if sweep.searches else {}),
        **_varied(sweep, job),
        "status": job.status,
        "eval_return_mean": _number(job.eval_return_mean),
        "best_return_mean": _number(job.best_return_mean),
        "env_steps": _number(job.env_steps),
        **{name: _number(value) for name, value in health(sweep, job).items()},
        "id": job.id or "",
        "dir": job.name,
    }


def _varied(sweep: Sweep, job: Job) -> dict[str, str]:
    """Each varied setting with its value: that of the config, or as typed if it chose a group."""
    try:
        flat = flatten(sweep.config(job))
    except StorageError:
        flat = {}
    found = {}
    for text in job.varied:
        key, _, value = text.partition("=")
        found[key] = display(flat[key]) if key in flat else value
    return found


def health(sweep: Sweep, job: Job) -> dict[str, float | None]:
    """Health figures of a job's last update; None for missing ones."""
    try:
        row = last_row(sweep.dir / job.name)
    except StorageError:
        row = {}
    return {name: row.get(name) for name in HEALTH}


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
