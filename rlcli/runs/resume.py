"""`rlcli resume`: a run goes on in its own directory, as if it had never stopped.

Everything is looked at before anything is changed: the lock, the config, the newest whole checkpoint, the
rows up to it, the overrides, and whether the environments can be put back. Then, in this order, each step
safe to be killed after: manifest.json (with the resume recorded), config.yaml, leftovers go, metrics.jsonl is
cut after the checkpoint's row, index.json is put back to the checkpoint's moment, digests.txt is cut. A kill
in between leaves what the next resume begins with again; a config.yaml that the manifest is ahead of is
recognised by the checksum of the one before.

A run killed before its first checkpoint begins again; the rows and digests it has are renamed first, and
kept. One that had checkpoints, and has them no more, is refused: manifest.json says what was saved last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from rlcli.config.amend import amend
from rlcli.config.command import NO_OVERRIDES, Command
from rlcli.config.faults import Check
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.envs import registry
from rlcli.errors import EXIT_DONE, EXIT_SIGINT, EXIT_SIGTERM, StorageError, UserError
from rlcli.runs.admission import admit
from rlcli.runs.checkpoint import Checkpoints, Recovered
from rlcli.runs.digests import FILE as DIGESTS
from rlcli.runs.digests import check_digests
from rlcli.runs.files import read_text, write_atomically
from rlcli.runs.index import Index
from rlcli.runs.layout import check_run, remove_leftovers, set_aside
from rlcli.runs.lock import Lock
from rlcli.runs.machine import packages
from rlcli.runs.manifest import Manifest, fingerprint, now
from rlcli.runs.past import Past
from rlcli.runs.rows import RECORD
from rlcli.runs.run import Result, Run, TakenUp
from rlcli.runs.schedules import ends, run_out
from rlcli.runs.size import largest_checkpoint
from rlcli.runs.train import OnEnd, OnRow, Verdict, check_one_shape, train_all

Tell = Callable[[str], None]
SIGNALS = (EXIT_SIGINT, EXIT_SIGTERM)


def resume(
    run_dir: Path,
    command: Command = NO_OVERRIDES,
    *,
    imports: Sequence[str] = (),
    checks: Iterable[Check] = (),
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    tell: Tell = lambda _: None,
    quiet: bool = False,
) -> Result:
    """Goes on with a run that was killed, interrupted, failed, pruned, or finished with fewer steps.

    `command` may set resumable keys; `imports` are modules its environment may come from; `checks` are
    asked of the config as for a new run; `tell` hears from where it goes on. A run that has nothing left to
    do is left as it is, and its result says so.

    Raises:
        UserError: the overrides are refused, or another process is at the run; nothing was changed.
        StorageError: what a run needs to go on is damaged, or the directory cannot be written to.
    """
    return resume_together(
        [run_dir], command, imports=imports, checks=checks, on_row=on_row, tell=tell, quiet=quiet
    )[0]


def resume_together(
    run_dirs: Sequence[Path],
    command: Command = NO_OVERRIDES,
    *,
    imports: Sequence[str] = (),
    checks: Iterable[Check] = (),
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    tell: Tell = lambda _: None,
    announced: Tell = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
    quiet: bool = False,
) -> list[Result]:
    """Goes on with runs of one shape as a cohort, wherever each of them stands; else as `resume`.

    Where one of them cannot go on, none does. `announced` hears that a signal came.
    """
    asked = tuple(checks)
    with contextlib.ExitStack() as held:
        locks = []
        for run_dir in run_dirs:
            locks.append(Lock(run_dir))
            held.callback(locks[-1].release)
        taken = [_Taken(one, Manifest.read(one), command, imports, asked) for one in run_dirs]
        check_one_shape([one.config for one in taken])
        results: dict[int, Result] = {}
        going: dict[bool, list[int]] = {False: [], True: []}
        for run, one in enumerate(taken):
            if one.nothing_to_do:
                results[run] = one.as_it_is(command, tell)
                on_end(run, results[run])
            else:
                going[one.found is not None].append(run)
        for saved, runs in going.items():
            stopped = next((one.exit_code for one in results.values() if one.exit_code in SIGNALS), None)
            if stopped is not None:
                results |= {run: taken[run].not_begun(stopped) for run in runs}
            if stopped is not None or not runs:
                continue

            def start(index: int, restarted: int, runs: Sequence[int] = runs) -> Run:
                run = runs[index]
                return taken[run].up(locks[run], command, restarted, tell, quiet)

            checkpoints = [one.found.checkpoint for run in runs if (one := taken[run]).found is not None]
            found = train_all(
                [taken[run].config for run in runs],
                start,
                checkpoints if saved else None,
                lambda index, row, runs=runs: on_row(runs[index], row),  # type: ignore[misc]
                announced,
                lambda index, result, runs=runs: on_end(runs[index], result),  # type: ignore[misc]
            )
            results |= dict(zip(runs, found, strict=True))
        return [results[run] for run in range(len(run_dirs))]


class _Taken:
    """A run directory as it was found, and what is to become of it."""

    def __init__(
        self,
        run_dir: Path,
        manifest: Manifest,
        command: Command,
        imports: Sequence[str],
        checks: Iterable[Check],
    ) -> None:
        self._dir, self._manifest = run_dir, manifest
        check_run(run_dir)
        before, self._config_sha256 = _config(run_dir, manifest)
        admit(before, run_dir, imports)
        check_digests(run_dir)
        self.found: Recovered | None = _recovered(run_dir, before)
        about = None if self.found is None else self.found.about
        self._past = Past(run_dir, about, before.updates)
        self._done = 0 if about is None else about.update
        self._owed = about is not None and about.owed and self._past.last is not None
        if about is None:
            _check_not_lost(run_dir, manifest, before, self._past.reached)
        amended = amend(before, command, updates=self._past.reached, checks=checks)
        self.config, self._changed = amended.config, amended.changed

    @property
    def nothing_to_do(self) -> bool:
        """Whether the run had come to its end."""
        over = self.config.updates <= self._done and not self._owed
        return over and self._manifest.content["status"] == "finished"

    def as_it_is(self, command: Command, tell: Tell) -> Result:
        """The result of a run that is left alone, but for an index that can be made whole."""
        content = self._manifest.content
        further = 2 * self.config.updates * self.config.batch_size
        longer = f" schedule_steps={further}" if ends(self.config) else ""
        hint = f"Train it further with: rlcli resume {content['id']} total_steps={further}{longer}"
        if command.typed:
            raise UserError(
                f"{self._dir} is finished: {' '.join(command.typed)} has nothing left to apply to.", hint=hint
            )
        if self.found is not None and self.found.faults:
            Checkpoints(self._dir).adopt(self._index(self.found))
            for fault in self.found.faults:
                tell(fault)
        return Result(
            self._dir, content["id"], "finished", content["env_steps"], content["updates"],
            content["eval_return_mean"], EXIT_DONE, f"It is finished, there is nothing to do. {hint}",
        )  # fmt: skip

    def not_begun(self, exit_code: int) -> Result:
        """The result of a run that a signal kept from going on."""
        content = self._manifest.content
        return Result(
            self._dir, content["id"], "interrupted", content["env_steps"], content["updates"],
            content["eval_return_mean"], exit_code, "the signal came before it went on",
        )  # fmt: skip

    def up(self, lock: Lock, command: Command, restarted: int, tell: Tell, quiet: bool) -> Run:
        """The record of the run that goes on; from here on the directory changes."""
        spec = registry.describe(self.config.env)
        exact = spec.exact_resume and restarted == 0
        owed = self._past.drop_last() if self._owed else None
        updates = self._done - (owed is not None)
        rows = self._past.after if exact else {}
        last_return = self._past.last_return
        updated = self._packages()
        tell(self._from_where(updates))
        if self._past.all_again:
            set_aside(self._dir / RECORD)
            set_aside(self._dir / DIGESTS)
        self._record(command, updates, exact, updated)
        self._bring_to_the_checkpoint()
        run = Run(
            self.config, self._manifest, lock, spec, updates=updates,
            taken_up=TakenUp(last_return, owed, rows, self._past.position), quiet=quiet,
        )  # fmt: skip
        for warning in self._warnings(exact, spec.inexact_reason, restarted, updated):
            run.warn(warning)
        return run

    def _from_where(self, updates: int) -> str:
        later = self._past.later
        if self.found is None:
            kept = f"; its {later:,} rows so far stay beside it, as metrics.jsonl.before-N" if later else ""
            return f"No checkpoint was saved yet: the run begins again{kept}."
        again = f"; {later:,} rows after it are computed again" if later else ""
        steps, total = updates * self.config.batch_size, self.config.updates
        return f"Going on after update {updates:,} of {total:,}, {steps:,} steps{again}."

    def _warnings(
        self, exact: bool, reason: str | None, restarted: int, updated: dict[str, list[str | None]]
    ) -> list[str]:
        said = [] if self.found is None else list(self.found.faults)
        said += run_out(self.config, self._done, self._manifest.content["id"])
        if not self._past.intact:
            said.append(
                f"{self._dir / 'metrics.jsonl'}: the rows up to update {self._done} are not those that were "
                "written; they stay as they are."
            )
        if updated:
            named = ", ".join(
                f"{name} {old or 'none'} -> {new or 'none'}" for name, (old, new) in updated.items()
            )
            said.append(f"Packages have changed since the run trained last, numbers may too: {named}.")
        if not exact and self.found is not None:
            why = reason or f"{restarted} environments did not come back to where they had been"
            said.append(f"Not resumed exactly: unfinished episodes are given up. {why}.")
        return said

    def _packages(self) -> dict[str, list[str | None]]:
        """Packages that are of another version than when the run trained last: [then, now]."""
        content = self._manifest.content
        then = dict(content["packages"])
        for entry in content["resumes"]:
            then |= {name: pair[1] for name, pair in entry["packages"].items()}
        current = packages()
        names = sorted({*then, *current})
        return {
            name: [then.get(name), current.get(name)] for name in names if then.get(name) != current.get(name)
        }

    def _record(
        self, command: Command, updates: int, exact: bool, updated: dict[str, list[str | None]]
    ) -> None:
        """Tells the manifest, then replaces the config."""
        config, content = self.config, self._manifest.content
        entry = {
            "time": now(),
            "update": updates,
            "command": sys.argv,
            "overrides": list(command.typed),
            "changed": self._changed,
            "config_before": self._config_sha256,
            "packages": updated,
            "exact": exact,
        }
        self._manifest.update(
            status="running", finished=None, exit_code=None, message=None, updates=updates,
            env_steps=updates * config.batch_size, total_steps=config.updates * config.batch_size,
            tags=list(config.tags), notes=config.notes, config_sha256=fingerprint(config),
            resumes=[*content["resumes"], entry],
        )  # fmt: skip
        write_atomically(self._dir / "config.yaml", to_yaml(config).encode())

    def _bring_to_the_checkpoint(self) -> None:
        """Files hold what they held when the checkpoint was saved, and nothing half written."""
        remove_leftovers(self._dir)
        self._past.cut()
        if self.found is not None:
            Checkpoints(self._dir).adopt(self._index(self.found))

    def _index(self, found: Recovered) -> Index:
        """The index of a recovered checkpoint; the final evaluation of a run that goes no further counts."""
        shown = self._past.final_return if self.config.updates <= self._done else None
        if shown is None or (found.index.best_return is not None and shown <= found.index.best_return):
            return found.index
        return dataclasses.replace(found.index, best=self._done, best_return=shown)


def _check_not_lost(run_dir: Path, manifest: Manifest, config: RunConfig, reached: int) -> None:
    """Lets a run without checkpoints begin again only if it never had one.

    `reached` is the last update that has a row: one after the first on the schedule has a checkpoint before.

    Raises:
        StorageError: it had.
    """
    saved, every = manifest.content["saved"], config.checkpoint.every
    first = -(-every // config.batch_size) if every else config.updates
    if saved is None and reached <= first:
        return
    folder = Checkpoints(run_dir).dir
    what = "holds no checkpoint" if folder.exists() else "is missing"
    after = min(first, reached) if saved is None else saved
    raise StorageError(
        f"{folder} {what}, but the run saved its state after update {after:,}. To begin again would throw "
        "away what it has recorded; nothing was changed. Put the folder back, or train the run again beside "
        f"this one: rlcli reproduce {run_dir}"
    )


def _recovered(run_dir: Path, config: RunConfig) -> Recovered | None:
    largest = partial(largest_checkpoint, config)
    try:
        return Checkpoints(run_dir, config.checkpoint.keep, largest).recover()
    except StorageError as error:
        raise StorageError(
            f"{error} No whole checkpoint is left to go on from; `rlcli reproduce` trains the run again."
        ) from error


def _config(run_dir: Path, manifest: Manifest) -> tuple[RunConfig, str]:
    """The config of a run, the very one it trained with last, and its file's checksum.

    Raises:
        StorageError: it is missing or damaged, or was changed by hand.
    """
    path = run_dir / "config.yaml"
    text = read_text(path)
    resumes, recorded = manifest.content["resumes"], manifest.content["config_sha256"]
    found = hashlib.sha256(text.encode()).hexdigest()
    known = {recorded, resumes[-1]["config_before"] if resumes else recorded}
    if recorded is not None and found not in known:
        raise StorageError(
            f"{path} is not the config this run trained with: it is damaged, or was changed by hand. "
            "Settings of a resumed run are changed with overrides."
        )
    return from_yaml(text, str(path)), found
