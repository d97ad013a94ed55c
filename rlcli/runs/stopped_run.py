"""A stopped run read for resuming: everything is checked first, then its directory is changed.

Checked are the lock, the config, the newest whole checkpoint, the rows up to it, the overrides, and whether
the environments can be restored. Then, in this order, each step safe to be killed after: manifest.json (with
the resume recorded), config.yaml, leftovers deleted, metrics.jsonl truncated after the checkpoint's row,
index.json restored to the checkpoint's moment, digests.txt truncated. After a kill in between, the next
resume does the same again; a config.yaml older than the manifest is recognised by its checksum.

A run killed before its first checkpoint begins again; its rows and digests are renamed first, and kept. One
that had checkpoints, and has lost them, is refused: manifest.json records which was saved last.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path

from rlcli.actors.exactness import described
from rlcli.backends.kernel import check_recorded
from rlcli.config.alerts import FACTS
from rlcli.config.amend import amend
from rlcli.config.command import NO_OVERRIDES, Command
from rlcli.config.faults import Check
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.envs.spec import EnvSpec
from rlcli.errors import EXIT_DONE, StorageError, UserError
from rlcli.runs.alerts import Alerts, rules_of
from rlcli.runs.early_stopping import EarlyStopping, last_values
from rlcli.runs.recorder import Recorder
from rlcli.runs.result import Result
from rlcli.runs.schedules import ending_schedules, schedule_warnings
from rlcli.store import own_code, own_runs
from rlcli.store.admission import admitted
from rlcli.store.checkpoint_file import largest_checkpoint
from rlcli.store.checkpoint_index import Index
from rlcli.store.checkpoints import Checkpoints, Recovered
from rlcli.store.config_file import FILE as CONFIG
from rlcli.store.config_file import read_trained_config
from rlcli.store.digests import FILE as DIGESTS
from rlcli.store.digests import check_digests
from rlcli.store.earlier_rows import Earlier, EarlierRows
from rlcli.store.files import write_atomically
from rlcli.store.layout import check_run, remove_leftovers, set_aside
from rlcli.store.lock import Lock
from rlcli.store.manifest import Manifest, fingerprint, now
from rlcli.store.provenance import packages
from rlcli.store.rows import RECORD
from rlcli.store.start_file import recorded_beginning
from rlcli.text import as_typed

Notify = Callable[[str], None]
Changed = dict[str, list[str | None]]
"""Versions of packages by name: [recorded, installed]."""


class StoppedRun:
    """A run directory that may be resumed, as it was found."""

    def __init__(
        self,
        run_dir: Path,
        command: Command = NO_OVERRIDES,
        imports: Sequence[str] = (),
        checks: Iterable[Check] = (),
    ) -> None:
        """Reads and checks everything; changes nothing.

        Raises:
            UserError: the config is not admitted, or the overrides are refused.
            StorageError: something that is needed to resume is damaged or missing.
        """
        self._dir, self._manifest, self._command = run_dir, Manifest.read(run_dir), command
        check_run(run_dir)
        before, self._config_sha256 = read_trained_config(run_dir, self._manifest)
        before = admitted(before, run_dir, imports)
        check_recorded(run_dir, before, self._manifest.content["kernel_version"])
        check_digests(run_dir)
        self.recovered = _recovered(run_dir, before)
        """Its newest whole checkpoint; None if none was ever saved."""
        self.beginning = recorded_beginning(run_dir, before, self._manifest)
        """What it began from; None if it is no fork."""
        about = None if self.recovered is None else self.recovered.about
        self._rows = EarlierRows(run_dir, about, before.updates)
        self._done = 0 if about is None else about.update
        self._evaluates_again = about is not None and about.owed and self._rows.last is not None
        if about is None:
            _check_not_lost(run_dir, self._manifest, before, self._rows.last_update)
        amended = amend(before, command, updates=self._rows.last_update, checks=checks)
        self.config, self._changed = amended.config, amended.changed

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train or to evaluate."""
        over = self._over and not self._evaluates_again
        return over and self._manifest.content["status"] == "finished"

    @property
    def _over(self) -> bool:
        """Whether no update is left: all are done, or early stopping ended the run."""
        return self.config.updates <= self._done or self._stop_reason is not None

    @property
    def _stop_reason(self) -> str | None:
        """Why early stopping or an alert ends the run at its checkpoint."""
        return self._threshold_reached or self._alerts.stop_reason

    @property
    def _threshold_reached(self) -> str | None:
        settings = self.config.stop_at
        return EarlyStopping(settings, last_values(settings, self._rows)).reason

    @cached_property
    def _alerts(self) -> Alerts:
        """The alerts up to the checkpoint."""
        dimensions = self._manifest.content["action_dimensions"]
        return Alerts(rules_of(self.config), dimensions, self._rows.kept())

    def finished_result(self, notify: Notify) -> Result:
        """The result of a finished run, which is left as it is, except that its index is repaired.

        Raises:
            UserError: there are overrides, which would have no effect.
        """
        content, reason = self._manifest.content, self._stop_reason
        hint = f"Train it further with: rlcli resume {content['id']} {' '.join(self._further())}"
        why = f" ({reason})" if reason else ""
        if self._command.typed:
            typed = " ".join(self._command.typed)
            raise UserError(f"{self._dir} is finished{why}: {typed} has nothing left to apply to.", hint=hint)
        if self.recovered is not None and self.recovered.faults:
            Checkpoints(self._dir).adopt(self._index(self.recovered))
            for fault in self.recovered.faults:
                notify(fault)
        message = f"It is finished{why}, there is nothing to do. {hint}"
        return Result.of_manifest(self._dir, content, "finished", EXIT_DONE, message)

    def _further(self) -> list[str]:
        """The overrides with which a finished run trains further."""
        words = ["stop_at.threshold=null"] if self._threshold_reached else []
        words += [f"alerts.{name}.action=warn" for name in self._alerts.stopping if name in FACTS]
        if self.config.updates <= self._done:
            steps = 2 * self.config.updates * self.config.batch_size
            words.append(f"total_steps={steps}")
            words += [f"schedule_steps={steps}"] if ending_schedules(self.config) else []
        return words

    def interrupted_result(self, exit_code: int) -> Result:
        """The result of a run that a signal kept from being resumed."""
        message = "the signal came before it was resumed"
        return Result.of_manifest(self._dir, self._manifest.content, "interrupted", exit_code, message)

    def resume(self, lock: Lock, restarted: int, notify: Notify, quiet: bool) -> Recorder:
        """The recorder of the resumed run; from here on the directory changes.

        `restarted` of its environments could not be restored to where their episodes had been.
        """
        spec = described(self.config)
        exact = spec.exact_resume and restarted == 0
        pending, alerts = None, self._alerts
        if self._evaluates_again:
            pending = self._rows.drop_last()
            del self._alerts  # those of the row that is written again
            alerts = self._alerts
        updates = self._done - (pending is not None)
        rows_after = self._rows.rows_after if exact else {}
        earlier = Earlier(
            self._rows.last_return, pending, rows_after, self._rows.position,
            last_values(self.config.stop_at, self._rows),
        )  # fmt: skip
        changed = self._changed_packages()
        notify(self._starting_point(updates))
        if self._rows.recomputes_all:
            set_aside(self._dir / RECORD)
            set_aside(self._dir / DIGESTS)
        self._write_manifest_and_config(updates, exact, changed, spec)
        self._restore_files()
        recorder = Recorder(
            self.config, self._manifest, lock, spec, updates=updates, quiet=quiet,
            earlier=earlier, alerts=alerts,
        )  # fmt: skip
        for warning in self._warnings(exact, spec.inexact_reason, restarted, changed):
            recorder.warn(warning)
        return recorder

    def _starting_point(self, updates: int) -> str:
        later = self._rows.count_after
        if self.recovered is None:
            kept = f"; its {later:,} rows so far are kept as metrics.jsonl.before-N" if later else ""
            return f"No checkpoint was saved yet: the run starts again{kept}."
        again = f"; {later:,} rows after it are computed again" if later else ""
        steps, total = updates * self.config.batch_size, self.config.updates
        return f"Resuming after update {updates:,} of {total:,}, {steps:,} steps{again}."

    def _warnings(self, exact: bool, reason: str | None, restarted: int, changed: Changed) -> list[str]:
        recorded_code = self._manifest.content["own_code"]
        warnings = [] if self.recovered is None else list(self.recovered.faults)
        warnings += schedule_warnings(self.config, self._done, self._manifest.content["id"])
        if not self._rows.intact:
            warnings.append(
                f"{self._dir / RECORD}: the rows up to update {self._done} are not those that were "
                "written; they stay unchanged."
            )
        if changed:
            named = ", ".join(
                f"{name} {old or 'none'} -> {new or 'none'}" for name, (old, new) in changed.items()
            )
            warnings.append(f"Packages have changed since the run trained last, numbers may too: {named}.")
        warnings += [f"{text}; numbers may change." for text in own_code.changes(recorded_code, self.config)]
        if not exact and self.recovered is not None:
            why = reason or f"{restarted} environments could not be restored"
            warnings.append(f"Not resumed exactly, and unfinished episodes are given up: {why}.")
        return warnings

    def _changed_packages(self) -> Changed:
        """Packages of another version than when the run trained last."""
        recorded, current = self._manifest.last_packages, packages()
        names = sorted({*recorded, *current})
        versions = {name: [recorded.get(name), current.get(name)] for name in names}
        return {name: pair for name, pair in versions.items() if pair[0] != pair[1]}

    def _write_manifest_and_config(self, updates: int, exact: bool, changed: Changed, spec: EnvSpec) -> None:
        """Records the resume in manifest.json, then replaces config.yaml."""
        config, content = self.config, self._manifest.content
        own_runs.renew(self._dir, config)
        entry = {
            "time": now(),
            "update": updates,
            "command": sys.argv,
            "overrides": list(self._command.typed),
            "changed": self._changed,
            "config_before": self._config_sha256,
            "packages": changed,
            "exact": exact,
        }
        self._manifest.update(
            status="running", finished=None, exit_code=None, message=None, updates=updates,
            env_steps=updates * config.batch_size, total_steps=config.updates * config.batch_size,
            tags=list(config.tags), notes=config.notes, config_sha256=fingerprint(config),
            resumes=[*content["resumes"], entry], env_backend=spec.backend,
            env_backend_reason=spec.backend_reason,
        )  # fmt: skip
        write_atomically(self._dir / CONFIG, to_yaml(config).encode())

    def _restore_files(self) -> None:
        """Restores files to what they were when the checkpoint was saved, and deletes half-written ones."""
        remove_leftovers(self._dir)
        self._rows.truncate()
        if self.recovered is not None:
            Checkpoints(self._dir).adopt(self._index(self.recovered))

    def _index(self, found: Recovered) -> Index:
        """The index of a recovered checkpoint; if the run trains no further, its final evaluation counts."""
        shown = self._rows.final_return if self._over else None
        if shown is None or (found.index.best_return is not None and shown <= found.index.best_return):
            return found.index
        return dataclasses.replace(found.index, best=self._done, best_return=shown)


def _check_not_lost(run_dir: Path, manifest: Manifest, config: RunConfig, last_update: int) -> None:
    """Lets a run without checkpoints begin again only if it never had one.

    `last_update` is the last that has a row: if it is later than the first on the checkpoint schedule, there
    was a checkpoint.

    Raises:
        StorageError: it had.
    """
    saved, every = manifest.content["saved"], config.checkpoint.every
    first = -(-every // config.batch_size) if every else config.updates
    if saved is None and last_update <= first:
        return
    folder = Checkpoints(run_dir).dir
    what = "has no checkpoint" if folder.exists() else "is missing"
    after = min(first, last_update) if saved is None else saved
    raise StorageError(
        f"{folder} {what}, but the run saved its state after update {after:,}. Starting again would lose "
        "what it has recorded; nothing was changed. Restore the folder, or train the run again beside "
        f"this one: rlcli reproduce {as_typed(run_dir)}"
    )


def _recovered(run_dir: Path, config: RunConfig) -> Recovered | None:
    largest = partial(largest_checkpoint, config)
    try:
        return Checkpoints(run_dir, config.checkpoint.keep, largest).recover()
    except StorageError as error:
        raise StorageError(
            f"{error} No valid checkpoint is left to resume from; `rlcli reproduce` trains the run again."
        ) from error
