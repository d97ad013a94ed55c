"""Manifest of a run (manifest.json): its command, versions, machine, status, result and resumes."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from rlcli.backends.kernel import TORCH, C, choose
from rlcli.config import schema
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.errors import StorageError
from rlcli.kernels import library
from rlcli.store import own_code
from rlcli.store.files import read_json, write_atomically, write_json
from rlcli.store.parent import is_parent
from rlcli.store.provenance import Code, code, machine, packages
from rlcli.store.versions import migrated

if TYPE_CHECKING:
    from rlcli.envs.spec import EnvSpec

VERSION = 2
FILE = "manifest.json"
STATUSES = ("running", "finished", "failed", "interrupted", "pruned")
DIFF = "code.diff"
LARGEST_DIFF = 2**20
"""Bytes of uncommitted changes that are kept beside the manifest."""

FIELDS: dict[str, tuple[type, ...]] = {
    "id": (str,), "status": (str,), "algo": (str,), "env": (str,), "backend": (str,), "seed": (int,),
    "env_steps": (int,), "updates": (int,), "eval_return_mean": (float, int, NoneType), "name": (str,),
    "sweep": (str, NoneType), "started": (str,), "finished": (str, NoneType), "total_steps": (int,),
    "best_return_mean": (float, int, NoneType), "exit_code": (int, NoneType), "message": (str, NoneType),
    "tags": (list,), "notes": (str,), "exact_resume": (bool,), "resumes": (list,),
    "config_sha256": (str, NoneType), "reproduces": (str, NoneType), "overrides": (list,),
    "kernel": (str,),
    "env_backend": (str, NoneType), "env_backend_reason": (str, NoneType),
    "eval_every": (int, NoneType), "eval_every_reason": (str, NoneType), "parent": (dict, NoneType),
    "action_dimensions": (int,),
}  # fmt: skip
"""Fields shown by `rlcli runs` and `rlcli show`, with their types."""

RESUME: dict[str, tuple[type, ...]] = {
    "time": (str,), "update": (int,), "command": (list,), "overrides": (list,), "changed": (dict,),
    "config_before": (str,), "packages": (dict,), "exact": (bool,),
}  # fmt: skip
"""Fields of each entry of `resumes`, with their types; `changed` and `packages` map names to [old, new]."""

DETAILS: dict[str, tuple[type, ...]] = {
    "packages": (dict,), "machine": (dict,), "threads": (int,), "code": (dict,), "cohort": (list,),
    "config_version": (int,), "determinism": (str,), "saved": (int, NoneType),
    "kernel_version": (int, NoneType), "own_code": (list,),
}  # fmt: skip
"""Other fields that are read, with their types."""

TEXTS = {"tags", "overrides", "cohort"}
"""Lists of text."""
LARGEST = 2**63


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no resumes, no reproductions, and a single version of the config schema."""
    added: dict[str, Any] = {"resumes": [], "reproduces": None, "config_version": 1, "config_sha256": None}
    return content | {"version": 2, **added}


MIGRATIONS = {1: _from_1}
"""By older version: the migration to the next."""


class Manifest:
    """The manifest of one run directory; the file is replaced at every change."""

    def __init__(self, run_dir: Path, content: dict[str, Any]) -> None:
        self.path = run_dir / FILE
        self.content = content

    @classmethod
    def begin(
        cls,
        run_dir: Path,
        config: RunConfig,
        overrides: Sequence[str],
        spec: EnvSpec,
        cohort: Sequence[str],
        reproduces: str | None = None,
        parent: dict[str, Any] | None = None,
    ) -> Manifest:
        """Writes the manifest of a run that is about to start.

        `cohort` are the names of the runs trained together, `reproduces` is the id of the run it reproduces,
        `parent` is the run that it is a fork of.
        """
        sweep = run_dir.parent if (run_dir.parent / "sweep.json").is_file() else None
        tolerance = _tolerance_reason(config)
        choice = choose(config, spec)
        content: dict[str, Any] = {
            "version": VERSION,
            "config_version": schema.VERSION,
            "id": secrets.token_hex(4),
            "name": run_dir.name,
            "status": "running",
            "algo": config.algo.name,
            "env": config.env.id,
            "backend": config.backend,
            "seed": config.seed,
            "command": sys.argv,
            "folder": str(Path.cwd()),
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
            "code": _code_entry(code(), run_dir),
            "packages": packages(),
            "machine": machine(config.device),
            "threads": config.compute.threads,
            "own_code": own_code.recorded(config),
            "kernel": str(choice),
            "kernel_version": library.version() if choice.kernel == C else None,
            "determinism": "tolerance" if tolerance else "bitwise",
            "tolerance_reason": tolerance,
            "exact_resume": spec.exact_resume,
            "inexact_reason": spec.inexact_reason,
            "action_dimensions": spec.action.dimensions,
            "env_backend": spec.backend,
            "env_backend_reason": spec.backend_reason,
            "resumes": [],
            "config_sha256": fingerprint(config),
            "reproduces": reproduces,
            "parent": parent,
            "saved": None,
            "eval_every": None,
            "eval_every_reason": None,
        }
        manifest = cls(run_dir, content)
        manifest.write()
        return manifest

    @classmethod
    def read(cls, run_dir: Path) -> Manifest:
        """Reads the manifest of a run.

        Raises:
            StorageError: there is none, or it is damaged or of a version this rlcli does not know.
        """
        path = run_dir / FILE
        content = migrated(path, read_json(path), VERSION, MIGRATIONS)
        # Before it was recorded, a run counted its updates when it saved its state.
        content.setdefault("saved", content.get("updates") or None)
        # Before there were kernels, a run trained with torch.
        content.setdefault("kernel", TORCH)
        content.setdefault("kernel_version", None)
        content.setdefault("action_dimensions", 1)  # it was not recorded
        content.setdefault("own_code", [])  # nor were files of the user's own code recorded
        content = {"env_backend": None, "env_backend_reason": None} | content
        # Evaluations were made as eval.every said, and there were no forks.
        for name in ("eval_every", "eval_every_reason", "parent"):
            content.setdefault(name, None)
        missing = [name for name in (*FIELDS, *DETAILS) if name not in content]
        if missing:
            raise StorageError(f"{path} is damaged: it lacks {', '.join(missing)}.")
        wrong = _invalid_fields(content)
        if wrong:
            raise StorageError(f"{path} is damaged: wrong values of {', '.join(wrong)}.")
        return cls(run_dir, content)

    @property
    def last_packages(self) -> dict[str, str | None]:
        """Versions of the packages with which the run trained last."""
        versions = dict(self.content["packages"])
        for entry in self.content["resumes"]:
            versions |= {name: pair[1] for name, pair in entry["packages"].items()}
        return versions

    def make_absolute(self) -> None:
        """Makes the path independent of the current directory."""
        self.path = self.path.absolute()

    def update(self, **fields: Any) -> None:
        """Changes fields and writes the file."""
        self.content |= fields
        self.write()

    def write(self) -> None:
        """Writes the file, whole or not at all."""
        write_json(self.path, self.content)


def _invalid_fields(content: dict[str, Any]) -> list[str]:
    """Fields with a value that rlcli does not write."""
    types = FIELDS | DETAILS
    wrong = {
        name
        for name in types
        if type(content[name]) not in types[name] or not _acceptable_size(content[name])
    }
    wrong |= {name for name in TEXTS - wrong if not all(isinstance(item, str) for item in content[name])}
    for name in {"packages", "machine"} - wrong:
        if not all(isinstance(value, (str, NoneType)) for value in content[name].values()):
            wrong.add(name)
    if content["status"] not in STATUSES:
        wrong.add("status")
    if "resumes" not in wrong and not all(map(_is_resume, content["resumes"])):
        wrong.add("resumes")
    if content["parent"] is not None and not is_parent(content["parent"]):
        wrong.add("parent")
    if "own_code" not in wrong and not own_code.is_recorded(content["own_code"]):
        wrong.add("own_code")
    if "code" not in wrong and not _is_code(content["code"]):
        wrong.add("code")
    return [name for name in types if name in wrong]


def _acceptable_size(value: Any) -> bool:
    """Whether a value is no number, or one of acceptable size."""
    return not isinstance(value, (int, float)) or abs(value) < LARGEST


def _is_code(code: dict[str, Any]) -> bool:
    """Whether commit, diff and dirty are valid."""
    commit = code.get("commit")
    named = commit is None or (
        isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40,64}", commit) is not None
    )
    return named and code.get("diff") in (None, DIFF) and type(code.get("dirty")) in (bool, NoneType)


def _is_resume(entry: Any) -> bool:
    """Whether it is a valid entry of `resumes`."""
    if not isinstance(entry, dict) or any(
        type(entry.get(name)) not in types for name, types in RESUME.items()
    ):
        return False
    return all(isinstance(pair, list) and len(pair) == 2 for pair in entry["packages"].values())


def fingerprint(config: RunConfig) -> str:
    """Checksum of a config as it is written to config.yaml."""
    return hashlib.sha256(to_yaml(config).encode()).hexdigest()


def now() -> str:
    """The time in UTC, to the microsecond, as text that sorts by time."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


def _tolerance_reason(config: RunConfig) -> str | None:
    """Why equal runs may differ in their last bits; None if they do not."""
    if config.device != "cpu":
        return f"{config.device} sums in another order"
    if config.env.backend == "torch":
        return "with env.backend=torch sines round by their place among the environments"
    if config.compute.threads > 1:
        return f"with compute.threads={config.compute.threads} large products may differ in the last bit"
    return None


def _code_entry(found: Code, run_dir: Path) -> dict[str, Any]:
    """The manifest's entry about the code; writes uncommitted changes to code.diff."""
    keeps = 0 < len(found.diff) <= LARGEST_DIFF
    if keeps:
        write_atomically(run_dir / DIFF, found.diff)
    return {"commit": found.commit, "dirty": found.dirty, "diff": DIFF if keeps else None}
