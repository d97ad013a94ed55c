"""manifest.json: what a run is, what it ran on, and how it ended."""

from __future__ import annotations

import datetime
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlcli.config.schema import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.errors import StorageError
from rlcli.runs.files import read_json, write_atomically, write_json
from rlcli.runs.machine import LARGEST_DIFF, code, machine, packages

VERSION = 1
FILE = "manifest.json"
STATUSES = ("running", "finished", "failed", "interrupted", "pruned")


class Manifest:
    """The manifest of one run directory, rewritten whole whenever it changes."""

    def __init__(self, run_dir: Path, content: dict[str, Any]) -> None:
        self.path = run_dir / FILE
        self.content = content

    @classmethod
    def begin(
        cls, run_dir: Path, config: RunConfig, overrides: Sequence[str], spec: EnvSpec, cohort: Sequence[str]
    ) -> Manifest:
        """The manifest of a run about to start; `cohort` are the directories it trains together with."""
        commit, diff = code()
        if commit.get("diff_kept"):
            write_atomically(run_dir / "code.diff", diff.encode()[:LARGEST_DIFF])
        exact = config.compute.threads == 1 and config.device == "cpu"
        sweep = run_dir.parent if (run_dir.parent / "sweep.json").is_file() else None
        content: dict[str, Any] = {
            "version": VERSION,
            "id": secrets.token_hex(4),
            "name": run_dir.name,
            "status": "running",
            "algo": config.algo.name,
            "env": config.env.id,
            "backend": config.backend,
            "seed": config.seed,
            "command": sys.argv,
            "overrides": list(overrides),
            "tags": list(config.tags),
            "notes": config.notes,
            "started": now(),
            "finished": None,
            "total_steps": config.updates * config.batch_size,
            "env_steps": 0,
            "updates": 0,
            "eval_return_mean": None,
            "best_return_mean": None,
            "exit_code": None,
            "message": None,
            "sweep": None if sweep is None else sweep.name,
            "cohort": list(cohort),
            "code": commit,
            "packages": packages(),
            "machine": machine(config.device),
            "threads": config.compute.threads,
            "determinism": "bitwise" if exact else "tolerance",
            "exact_resume": spec.exact_resume,
            "inexact_reason": spec.inexact_reason,
        }
        manifest = cls(run_dir, content)
        manifest.write()
        return manifest

    @classmethod
    def read(cls, run_dir: Path) -> Manifest:
        """The manifest of an existing run.

        Raises:
            StorageError: there is none, or it is damaged or of a version this rlcli does not know.
        """
        content = read_json(run_dir / FILE)
        if content.get("version") != VERSION:
            raise StorageError(
                f"{run_dir / FILE} has version {content.get('version')!r}; this rlcli reads {VERSION}."
            )
        missing = [name for name in ("id", "status", "started") if not isinstance(content.get(name), str)]
        if missing:
            raise StorageError(f"{run_dir / FILE} is damaged: it lacks {', '.join(missing)}.")
        return cls(run_dir, content)

    def update(self, **fields: Any) -> None:
        """Changes fields and writes the file."""
        self.content |= fields
        self.write()

    def write(self) -> None:
        """Writes the file, whole or not at all."""
        write_json(self.path, self.content)


def now() -> str:
    """UTC, to the microsecond, as text that sorts by time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
