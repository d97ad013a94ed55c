"""`rlcli runs --rm`: chooses runs and sweeps, asks, and removes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.cli.output import emit, result, say
from rlcli.errors import EXIT_CRASH, StorageError, UserError
from rlcli.streams import err
from rlcli.text import as_typed, counted

Run = Mapping[str, Any]
UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


@dataclass(frozen=True)
class Doomed:
    """A run or a whole sweep that is to be removed."""

    dir: Path
    members: Sequence[Run]
    """Summaries of its runs; of a lone run its own."""
    bytes: int
    is_sweep: bool

    def row(self) -> dict[str, Any]:
        """Plain data, for --json."""
        return {
            "removed": str(self.dir), "kind": "sweep" if self.is_sweep else "run", "bytes": self.bytes,
            "runs": [{"id": run["id"], "dir": run["dir"], "status": run["status"]} for run in self.members],
        }  # fmt: skip


def remove_runs(
    doomed: Sequence[Doomed],
    found: Sequence[Run],
    *,
    yes: bool,
    force: bool,
    as_json: bool,
    filtered: bool = False,
) -> int:
    """Removes runs and sweeps after a confirmation; the exit code. `found` are all runs there are.

    Of those that a filter chose, the ones that can be removed are, and the others are named at the end.

    Raises:
        UserError: one of them is not removed, or nobody can be asked; nothing was removed.
        StorageError: a file cannot be removed; all that can be were removed.
    """
    from rlcli.store.removal import remove

    doomed, faults = _removable(doomed, found, force=force)
    if faults and not (filtered and doomed):
        raise UserError(*faults, hint="Nothing was removed.")
    rows = [one.row() for one in doomed]
    if not yes:
        _show(doomed)
        if as_json or not (sys.stdin.isatty() and err().isatty()):
            raise UserError("Nothing was removed: confirm with --yes.")
        if not _confirmed():
            say("Nothing was removed.")
            return EXIT_CRASH
    removed, failed = [], []
    for one, row in zip(doomed, rows, strict=True):
        try:
            remove(one.dir, force=force)
        except StorageError as error:
            failed.append(str(error))
            continue
        removed.append(one)
        if as_json:
            emit(row)
        else:
            result(f"Removed {one.dir}")
    if removed and not as_json:
        result(f"{_amount(removed)} removed, {size(sum(one.bytes for one in removed))} freed")
    if failed:
        raise StorageError("\n".join([*failed, *faults]))
    if faults:
        raise UserError(*faults, hint="The others were removed.")
    return 0


def doomed_by_name(references: Sequence[str], root: Path) -> list[Doomed]:
    """The runs and sweeps that references mean, each once.

    Raises:
        UserError: there is none of that name, or it is one run of a sweep.
    """
    from rlcli.store.directory import SWEEP, find_run, find_sweep, list_runs

    folders: dict[Path, Path] = {}
    faults: list[str] = []
    for reference in references:
        try:
            named = next((one for one in (Path(reference), root / reference) if _leftover(one)), None)
            folder = named or find_sweep(reference, root) or find_run(reference, root)
        except UserError as error:
            faults += error.faults
            continue
        if (folder.parent / SWEEP).is_file():
            faults.append(
                f"{folder} is a run of the sweep {folder.parent}, which needs the folders of all its runs: "
                f"remove it whole, rlcli runs --rm {as_typed(folder.parent)}"
            )
        folders.setdefault(folder.absolute() if folder.is_symlink() else folder.resolve(), folder)
    if faults:
        raise UserError(*faults, hint="Nothing was removed. All runs: rlcli runs")
    return [_doomed(folder, list_runs(folder)) for folder in folders.values()]


def doomed_by_filter(
    chosen: Sequence[Run], found: Sequence[Run], root: Path
) -> tuple[list[Doomed], list[str]]:
    """Runs and sweeps all of whose runs were chosen; and a sentence on each that was chosen in part."""
    members: dict[Path, list[Run]] = {}
    for run in found:
        members.setdefault(_whole(run, root), []).append(run)
    dirs = {run["dir"] for run in chosen}
    wanted = dict.fromkeys(_whole(run, root) for run in chosen)
    whole = [folder for folder in wanted if all(run["dir"] in dirs for run in members[folder])]
    parts = [
        f"{folder} stays: {sum(run['dir'] in dirs for run in members[folder])} of its {len(members[folder])} "
        f"runs match, and a sweep is removed whole: rlcli runs --rm {as_typed(folder)}"
        for folder in wanted
        if folder not in whole
    ]
    return [_doomed(folder, members[folder]) for folder in whole], parts


def size(amount: int) -> str:
    """Bytes for people, in powers of 1000."""
    unit, factor = next(((unit, factor) for unit, factor in UNITS if amount >= factor), ("bytes", 1))
    return f"{amount / factor:.3g} {unit}" if factor > 1 else f"{amount} {unit}"


def _doomed(folder: Path, members: Sequence[Run]) -> Doomed:
    from rlcli.store.directory import SWEEP
    from rlcli.store.removal import disk_usage

    amount = 0 if folder.is_symlink() else disk_usage(folder)
    return Doomed(folder, members, amount, (folder / SWEEP).is_file())


def _leftover(folder: Path) -> bool:
    """Whether a folder is that of a run which never started, or whose removal was interrupted at its end."""
    from rlcli.store.unstarted import is_unstarted

    return folder.is_dir() and not folder.is_symlink() and is_unstarted(folder)


def _whole(run: Run, root: Path) -> Path:
    """The folder that is removed with a run: its own, or that of its sweep."""
    from rlcli.store.directory import SWEEP

    folder = Path(run["dir"])
    return folder.parent if folder.parent != root and (folder.parent / SWEEP).is_file() else folder


def _removable(
    doomed: Sequence[Doomed], found: Sequence[Run], *, force: bool
) -> tuple[list[Doomed], list[str]]:
    """Those without an obstacle, and why the others are not removed, each sentence once."""
    from rlcli.store.removal import obstacles

    found_faults = {one.dir: [*obstacles(one.dir, force=force)] for one in doomed}
    free = [one for one in doomed if not found_faults[one.dir]]
    faults = [text for one in doomed for text in found_faults[one.dir]]
    while not force:
        orphaned = {one.dir: _orphans(one, free, found) for one in free}
        faults += [text for one in free for text in orphaned[one.dir]]
        if not any(orphaned.values()):
            break
        free = [one for one in free if not orphaned[one.dir]]  # what stays may be a fork
    return free, list(dict.fromkeys(faults))


def _orphans(one: Doomed, doomed: Sequence[Doomed], found: Sequence[Run]) -> list[str]:
    """A fault for each parent in it of a fork that stays."""
    going = {Path(run["dir"]).resolve(): run["id"] for other in doomed for run in other.members}
    forks: dict[str, list[str]] = {}
    for run in found:
        if run.get("parent") and Path(run["dir"]).resolve() not in going:
            forks.setdefault(run["parent"]["id"], []).append(str(run["dir"]))
    return [
        f"{folder} is the parent of forks: {forks[name][0]}"
        + (f" and {len(forks[name]) - 1} more" if len(forks[name]) > 1 else "")
        + " that stay; --force removes it anyway: forks need nothing of their parent."
        for folder, name in going.items()
        if name in forks and any(Path(run["dir"]).resolve() == folder for run in one.members)
    ]


def _show(doomed: Sequence[Doomed]) -> None:
    """Print what would be removed, on stderr."""
    for one in doomed:
        statuses = ", ".join(dict.fromkeys(str(run["status"]) for run in one.members)) or "not begun"
        runs = f", {len(one.members)} runs" if one.is_sweep else ""
        say(f"{one.dir}: {statuses}{runs}, {size(one.bytes)}")
    say(f"{_amount(doomed)}, {size(sum(one.bytes for one in doomed))} on the disk")


def _amount(doomed: Sequence[Doomed]) -> str:
    sweeps = sum(one.is_sweep for one in doomed)
    runs = len(doomed) - sweeps
    kinds = ((runs, "run"), (sweeps, "sweep"))
    parts = [counted(many, name) for many, name in kinds if many]
    return " and ".join(parts)


def _confirmed() -> bool:
    err().write("Remove them? [y/N] ")
    err().flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
