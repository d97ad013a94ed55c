"""Table of a sweep's results: one row per job with what was varied and its figures; results.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
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


def rows(sweep: Sweep) -> list[dict[str, Any]]:
    """One row per job: the settings that differ, results, health at the end, status and directory.

    Values have their own types; a figure that a job does not have is None.
    """
    return [_row(sweep, job, _varied(sweep, job)) | {"dir": str(sweep.dir / job.name)} for job in sweep.jobs]


def write_results(sweep: Sweep) -> None:
    """Writes results.csv, replacing the earlier one.

    Raises:
        StorageError: it cannot be written.
    """
    written = [_row(sweep, job, _as_text(_varied(sweep, job))) for job in sweep.jobs]
    text = io.StringIO()
    table = csv.DictWriter(
        text, list(dict.fromkeys(name for row in written for name in row)), lineterminator="\n"
    )
    table.writeheader()
    table.writerows(written)
    write_atomically(sweep.dir / FILE, text.getvalue().encode())


def _row(sweep: Sweep, job: Job, varied: Mapping[str, Any]) -> dict[str, Any]:
    """What the jobs differ in, results, health at the end, status and name of the directory."""
    return {
        "job": job.name,
        **({"trial": job.trial} if sweep.searches else {}),
        **varied,
        "status": job.status,
        "eval_return_mean": job.eval_return_mean,
        "best_return_mean": job.best_return_mean,
        "env_steps": job.env_steps,
        **health(sweep, job),
        "id": job.id,
        "dir": job.name,
    }


def _varied(sweep: Sweep, job: Job) -> dict[str, Any]:
    """Each varied setting with its value: that of the config, or as typed if it chose a group."""
    try:
        flat = flatten(sweep.config(job))
    except StorageError:
        flat = {}
    found = {}
    for text in job.varied:
        key, _, value = text.partition("=")
        found[key] = flat.get(key, value)
    return found


def _as_text(varied: Mapping[str, Any]) -> dict[str, str]:
    """Settings as they are typed."""
    return {key: display(value) for key, value in varied.items()}


def health(sweep: Sweep, job: Job) -> dict[str, float | None]:
    """Health figures of a job's last update; None for missing ones."""
    try:
        row = last_row(sweep.dir / job.name)
    except StorageError:
        row = {}
    return {name: row.get(name) for name in HEALTH}
