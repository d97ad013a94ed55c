"""Run directories: made for new runs, found by path, id, name or `last`, listed with their status."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rlcli.config import names
from rlcli.config.schema.run import RunConfig
from rlcli.errors import StorageError, UserError, nearest
from rlcli.store.files import read_json, storage_error
from rlcli.store.lock import holder
from rlcli.store.manifest import FIELDS, FILE, STATUSES, Manifest
from rlcli.store.unstarted import is_unstarted, take_over
from rlcli.text import as_typed

DEFAULT_ROOT = "runs"
SWEEP = "sweep.json"
LISTED = (*STATUSES, "killed", "damaged", "waiting", "not begun")
"""Statuses of listed runs; of a run that is neither damaged nor gone, the one in its manifest."""


def runs_root(explicit: str | None = None) -> Path:
    """The folder that contains all runs: `runs_dir=`, else $RLCLI_RUNS, else ./runs."""
    return _expanded(explicit or os.environ.get("RLCLI_RUNS") or DEFAULT_ROOT)


def new_run_dir(config: RunConfig, root: Path) -> Path:
    """Makes the directory of a new run; a name that is taken is never used again.

    Raises:
        UserError: `name=` is taken, or no name of a folder.
        StorageError: the folder cannot be made.
    """
    described = f"{config.algo.name}-{config.env.id}-s{config.seed}"
    return _new(root, config.name, described)


def new_sweep_dir(config: RunConfig, root: Path, *, jobs_named: bool = False) -> Path:
    """Makes the directory of a new sweep; `config` is that of its first job.

    It has the name of the config, unless that is a name for each job.
    """
    name = None if jobs_named else config.name
    return _new(root, name, f"sweep-{config.algo.name}-{config.env.id}")


def new_reproduction_dir(run_dir: Path, root: Path) -> Path:
    """Makes the directory of a reproduction of a run: `[<sweep>-]<its name>-reproduction`."""
    folder = run_dir.resolve()
    sweep = f"{folder.parent.name}-" if _has(folder.parent, SWEEP) else ""
    return _numbered(root, f"{_folder_name(sweep + folder.name)}-reproduction")


def manifests(root: Path) -> dict[Path, dict[str, Any]]:
    """The manifests of all runs below a folder, by directory; empty where one is damaged."""
    return {directory: _content_or_empty(directory) for directory in _run_dirs(root)}


def find_run(
    reference: str, root: Path, listing: Callable[[Path], dict[Path, dict[str, Any]]] = manifests
) -> Path:
    """The run that a path, an id prefix, a name or `last` means.

    `listing` gives the manifests below `root`; who looks for many runs reads them once.

    Raises:
        UserError: there is none, or several.
    """
    path = _expanded(reference)
    if reference and _has(path, FILE):
        return path
    runs = listing(root)
    _check_started([folder for folder in (path, root / reference) if reference and folder not in runs], root)
    if not runs:
        raise UserError(
            f"There is no run {reference!r}: no runs are in {root}.",
            hint="Train one first: rlcli train",
        )
    if reference == names.LAST:
        return max(runs, key=lambda directory: _start_key(runs[directory]))
    matches = _matches(reference, runs, root)
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(f"{runs[match].get('id', '-')} ({match})" for match in matches[:8])
        raise UserError(f"{reference!r} means several runs: {ids}.", hint="Give more of the id, or a path.")
    if any(_has(folder, SWEEP) for folder in (path, root / reference)):
        raise UserError(
            f"{reference} is a sweep, not a run.",
            hint=f"Its runs: rlcli runs {as_typed(reference)}; name one of them.",
        )
    sweeps = {directory.parent.name for directory in runs if _has(directory.parent, SWEEP)}
    known = sorted({names.LAST, *sweeps, *(directory.name for directory in runs)})
    begun = [name for name in known if reference and name.startswith(reference)]
    similar = begun[:3] or nearest(reference, known)
    suggestion = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    raise UserError(
        f"There is no run {reference!r} in {root}.{suggestion}",
        hint="A run is named by its path, the beginning of its id, or 'last'; see: rlcli runs",
    )


def find_sweep(reference: str, root: Path) -> Path | None:
    """The sweep that a path, a name or `last` means; None when it means none.

    `last` means a sweep if a sweep, or a run of one, was started last in `root`.
    """
    folders = (_expanded(reference), root / reference)
    found = next((folder for folder in folders if reference and _has(folder, SWEEP)), None)
    if found is not None or reference != names.LAST:
        return found
    runs = manifests(root)
    run = max(runs, key=lambda directory: _start_key(runs[directory]), default=None)
    if run is not None and _has(run.parent, SWEEP):
        return run.parent
    sweep = _last_sweep(root)
    newer = sweep is not None and (run is None or _sweep_start(sweep) > _start_key(runs[run])[1])
    return sweep if newer else None


def require_sweep(reference: str, root: Path) -> Path:
    """The sweep that a path, a name, the beginning of one, or `last` means.

    Raises:
        UserError: there is none, or several.
    """
    found = find_sweep(reference, root)
    if found is not None:
        return found
    sweeps = sorted(path.parent for path in root.glob(f"*/{SWEEP}"))
    if not sweeps:
        raise UserError(
            f"There is no sweep {reference!r}: there are none in {root}.",
            hint="Start one: rlcli train -m sweep=ppo, or rlcli train -m seed=0,1,2",
        )
    last = _last_sweep(root) if reference == names.LAST else None
    if last is not None:
        return last
    begun = [folder for folder in sweeps if reference and folder.name.startswith(reference)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        several = ", ".join(folder.name for folder in begun[:8])
        raise UserError(f"{reference!r} means several sweeps: {several}.", hint="Give more of the name.")
    similar = nearest(reference, [names.LAST, *(folder.name for folder in sweeps)])
    suggestion = f" Did you mean {' or '.join(map(repr, similar))}?" if similar else ""
    raise UserError(
        f"There is no sweep {reference!r} in {root}.{suggestion}",
        hint="A sweep is named by its path, the beginning of its name, or 'last'; see: rlcli runs",
    )


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Summaries of all runs below a folder, oldest first; damaged ones have the status `damaged`.

    Jobs of a sweep that have not started come last, and folders whose process was killed before it started.
    """
    found = []
    for directory in _run_dirs(root):
        try:
            found.append(summary(directory))
        except StorageError as error:
            found.append(_summary_without_manifest(directory, root, "damaged", str(error)))
    found.sort(key=lambda run: str(run["started"] or ""))
    found += [_summary_without_manifest(job, root, "waiting", "not begun") for job in _waiting_jobs(root)]
    return found + [
        _summary_without_manifest(
            folder, root, "not begun", f"killed before it started; name={folder.name} may be used again"
        )
        for folder in _unstarted_folders(root)
    ]


def summary(run_dir: Path) -> dict[str, Any]:
    """Summary of a run for `rlcli show` and `rlcli runs`, from its manifest.

    A run with the status `running` whose lock no process has was killed.

    Raises:
        StorageError: the manifest is damaged.
    """
    content = Manifest.read(run_dir).content
    row = {"id": content["id"], "dir": str(run_dir)} | {name: content[name] for name in FIELDS}
    if row["status"] == "running" and holder(run_dir) is None:
        row |= {"status": "killed", "message": f"its process is gone; resume with: rlcli resume {row['id']}"}
    return row


def _summary_without_manifest(directory: Path, root: Path, status: str, reason: str) -> dict[str, Any]:
    """Summary of a run whose manifest is damaged or does not exist yet."""
    sweep = directory.parent.name if directory.parent != root else None
    known = {"name": directory.name, "status": status, "message": reason, "sweep": sweep}
    return {"id": "-", "dir": str(directory)} | dict.fromkeys(FIELDS) | {"id": "-"} | known


def _start_key(content: dict[str, Any]) -> tuple[bool, str]:
    """Sort key of runs: the greatest is the one meant by `last`."""
    return content.get("reproduces") is None, str(content.get("started", ""))


def _last_sweep(root: Path) -> Path | None:
    """The sweep that was started last."""
    return max((path.parent for path in sorted(root.glob(f"*/{SWEEP}"))), key=_sweep_start, default=None)


def _sweep_start(sweep: Path) -> str:
    """The time at which a sweep was started; empty if its sweep.json is damaged."""
    try:
        return str(read_json(sweep / SWEEP).get("started", ""))
    except StorageError:
        return ""


def _matches(reference: str, runs: dict[Path, dict[str, Any]], root: Path) -> list[Path]:
    """Runs of that name, else those whose id starts with it."""
    if not reference:
        return []
    named = [path for path in runs if reference in (path.name, str(path.relative_to(root)))]
    return named or [path for path in runs if str(runs[path].get("id", "")).startswith(reference)]


def _content_or_empty(directory: Path) -> dict[str, Any]:
    try:
        return Manifest.read(directory).content
    except StorageError:
        return {}


def _run_dirs(root: Path) -> Iterator[Path]:
    """Folders with a manifest: `root`, those in it, and one level down, where a sweep keeps its jobs."""
    for pattern in (FILE, f"*/{FILE}", f"*/*/{FILE}"):
        for found in sorted(root.glob(pattern)):
            if found.parent == root or not (found.parents[1] / FILE).exists():
                yield found.parent


def _waiting_jobs(root: Path) -> Iterator[Path]:
    """Job folders with a config and no manifest: in `root`, if that is a sweep, and one level down."""
    for pattern in ("config.yaml", "*/config.yaml"):
        for found in sorted(root.glob(f"*/{pattern}")):
            if _has(found.parents[1], SWEEP) and not (found.parent / FILE).exists():
                yield found.parent


def _unstarted_folders(root: Path) -> Iterator[Path]:
    """Folders directly in `root` whose process was killed before its run or sweep started."""
    if not root.is_dir() or any(_has(root, name) for name in (FILE, SWEEP)):
        return
    for folder in sorted(root.iterdir()):
        known = folder.name.startswith(".") or any(_has(folder, name) for name in (FILE, SWEEP))
        if not known and is_unstarted(folder):
            yield folder


def _check_started(folders: Sequence[Path], root: Path) -> None:
    """Raises `UserError` if the process of one of the folders was killed before its run started."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):
            if folder.is_dir() and is_unstarted(folder):
                if folder.parent.absolute() != root.absolute():
                    raise UserError(f"There is no run or sweep in {folder}.")
                raise UserError(
                    f"{folder} has no run: its process was killed before it started, and there is nothing "
                    "to resume.",
                    hint=f"Start it: rlcli train name={folder.name} ...; the folder is used again.",
                )


def _expanded(text: str) -> Path:
    """A path with a leading `~` expanded; an unknown `~name` stays as it is."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _has(folder: Path, file: str) -> bool:
    try:
        return (folder / file).is_file()
    except (OSError, ValueError):  # too long for a path, say
        return False


def _new(root: Path, name: str | None, described: str) -> Path:
    wrong = None if name is None else names.fault(name)
    if wrong is not None:
        raise UserError(wrong)
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    base = name or f"{_folder_name(described)}-{stamp}"
    return _numbered(root, base, once=name is not None)


def _folder_name(text: str) -> str:
    """The text with characters that are not allowed in a folder name replaced by `-`."""
    return re.sub(r"[^A-Za-z0-9_.+=,@-]+", "-", text)[: names.LONGEST]


def _numbered(root: Path, base: str, *, once: bool = False) -> Path:
    """Makes the folder `base` in `root`, or one with a number behind it unless `once`."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"Runs cannot be saved to {root}: it is not a folder.") from None
    except OSError as error:
        raise _unwritable(root, error) from error
    for number in range(1, 10_000):
        candidate = root / (base if number == 1 else f"{base}-{number}")
        try:
            candidate.mkdir()
        except FileExistsError:
            if once and is_unstarted(candidate):
                take_over(candidate)
                return candidate
            if once:
                raise UserError(
                    f"name={base} is taken: {candidate} exists.",
                    hint="Choose another name, or leave name= out.",
                ) from None
        except OSError as error:
            raise _unwritable(root, error) from error
        else:
            return candidate
    raise StorageError(f"{root} has no free name for {base}.")


def _unwritable(root: Path, error: OSError) -> StorageError:
    """Error that no run can be saved to a folder, with how another one is chosen."""
    return StorageError(
        f"Runs cannot be saved to {storage_error(root.absolute(), error)} Choose another folder: "
        "runs_dir=FOLDER, or RLCLI_RUNS=FOLDER in the environment."
    )
