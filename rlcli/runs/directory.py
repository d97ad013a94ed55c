"""Where runs lie and how they are found: by path, by id, by name, or as the last one started."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlcli.config.schema import RunConfig
from rlcli.errors import StorageError, UserError, nearest
from rlcli.runs.files import storage_error
from rlcli.runs.manifest import FILE, Manifest

DEFAULT_ROOT = "runs"
SUMMARY = (
    "id", "status", "algo", "env", "backend", "seed", "env_steps", "updates", "eval_return_mean", "name", "sweep",
    "started", "finished", "total_steps", "best_return_mean", "exit_code", "message", "tags", "notes",
)  # fmt: skip


def runs_root(explicit: str | None = None) -> Path:
    """The folder of all runs: `runs_dir=`, else $RLCLI_RUNS, else ./runs."""
    return Path(explicit or os.environ.get("RLCLI_RUNS") or DEFAULT_ROOT).expanduser()


def new_run_dir(config: RunConfig, root: Path) -> Path:
    """Makes the directory of a new run; a name that is taken is never used again.

    Raises:
        UserError: `name=` is taken, or no name of a folder.
        StorageError: the folder cannot be made.
    """
    described = f"{config.algo.name}-{config.env.id}-s{config.seed}"
    return _new(root, config.name, described)


def new_sweep_dir(config: RunConfig, root: Path) -> Path:
    """Makes the directory of a new sweep, named like a run of its first job."""
    return _new(root, config.name, f"sweep-{config.algo.name}-{config.env.id}")


def find_run(reference: str, root: Path) -> Path:
    """The run that a path, an id prefix, a name or `last` means.

    Raises:
        UserError: there is none, or several.
    """
    path = Path(reference).expanduser()
    if (path / FILE).is_file():
        return path
    runs = list(_run_dirs(root))
    if not runs:
        raise UserError(
            f"There is no run {reference!r}: no runs lie in {root}.", hint="Train one first: rlcli train"
        )
    known = {directory: _content(directory) for directory in runs}
    if reference == "last":
        return max(runs, key=lambda directory: str(known[directory].get("started", "")))
    named = [directory for directory in runs if reference in (directory.name, str(directory.relative_to(root)))]
    matches = named or [
        directory for directory in runs if str(known[directory].get("id", "")).startswith(reference)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(f"{known[match].get('id')} ({match})" for match in matches[:8])
        raise UserError(f"{reference!r} means several runs: {ids}.", hint="Give more of the id, or a path.")
    if (path / "sweep.json").is_file() or (root / reference / "sweep.json").is_file():
        raise UserError(
            f"{reference} is a sweep, not a run.", hint=f"Its runs: rlcli runs {reference}; name one of them."
        )
    similar = nearest(reference, [directory.name for directory in runs])
    suggestion = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    raise UserError(
        f"There is no run {reference!r} in {root}.{suggestion}",
        hint="A run is named by its path, the beginning of its id, or 'last'; see: rlcli runs",
    )


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Summaries of all runs below a folder, oldest first; a damaged one is listed as such."""
    found = []
    for directory in _run_dirs(root):
        try:
            found.append(summary(directory))
        except StorageError as error:
            blank = dict.fromkeys(SUMMARY)
            sweep = directory.parent.name if directory.parent != root else None
            found.append(
                blank | {"id": "-", "dir": str(directory), "name": directory.name, "status": "damaged",
                         "message": str(error), "sweep": sweep}
            )  # fmt: skip
    return sorted(found, key=lambda run: str(run["started"] or ""))


def summary(run_dir: Path) -> dict[str, Any]:
    """What `rlcli show` and `rlcli runs` tell of a run, from its manifest."""
    content = Manifest.read(run_dir).content
    told = {name: content.get(name) for name in SUMMARY}
    return {"id": told.pop("id"), "dir": str(run_dir), **told}


def _content(directory: Path) -> dict[str, Any]:
    try:
        return Manifest.read(directory).content
    except StorageError:
        return {}


def _run_dirs(root: Path) -> Iterator[Path]:
    """Folders with a manifest in `root` and one level down, where a sweep keeps its jobs."""
    for pattern in (FILE, f"*/{FILE}", f"*/*/{FILE}"):
        for found in sorted(root.glob(pattern)):
            yield found.parent


def _new(root: Path, name: str | None, described: str) -> Path:
    if name is not None and not re.fullmatch(r"[\w.+=,@-]+", name):
        raise UserError(f"name={name}: use letters, digits and . _ - + = , @ only.")
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    base = name or f"{re.sub(r'[^A-Za-z0-9_.+-]+', '-', described)}-{stamp}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            candidate = root / (base if number == 1 else f"{base}-{number}")
            try:
                candidate.mkdir()
            except FileExistsError:
                if name is not None:
                    raise UserError(
                        f"name={name} is taken: {candidate} exists.", hint="Choose another name, or none."
                    ) from None
                continue
            return candidate
    except OSError as error:
        raise storage_error(root, error) from error
    raise StorageError(f"{root} has no free name for {base}.")
