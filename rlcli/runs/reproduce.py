"""Reproduction of a run: it is trained again from its directory alone, and compared after every update.

config.yaml, manifest.json and digests.txt are read, as data; nothing in the directory is changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.backends.kernel import check_recorded
from rlcli.backends.session import Row
from rlcli.config.alerts import without_stops
from rlcli.config.schema.evaluation import StopAtConfig
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import display
from rlcli.errors import RlcliError, StorageError, UserError
from rlcli.runs.diff import Differing, provenance, provenance_changes
from rlcli.runs.early_stopping import EVALUATION
from rlcli.runs.evaluation_schedule import EvaluationSchedule
from rlcli.runs.result import Result
from rlcli.runs.train import Verdict, train
from rlcli.store import own_code
from rlcli.store.admission import admitted
from rlcli.store.config_file import absent_keys, read_config
from rlcli.store.digests import (
    FILE,
    VERSION,
    Comparison,
    Difference,
    Line,
    differing,
    last_line,
    read_lines,
    version,
)
from rlcli.store.manifest import Manifest
from rlcli.store.start_file import Beginning, recorded_beginning, write_beginning
from rlcli.store.versions import refusal

SHOWN = 3
"""Keys that a run's config is older than, shown by name."""


class Differs(RlcliError):
    """An update differs from the original."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained again."""

    original: Path
    manifest: Mapping[str, Any]
    config: RunConfig
    """The run's config with other loggers; its total_steps end with the last update compared."""
    provenance: Mapping[str, Any]
    """Its packages, machine and code."""
    beginning: Beginning | None
    """What the original began from; None if it is no fork."""
    notes: tuple[str, ...]
    """Assumptions, and reasons why the two may differ."""


@dataclass(frozen=True)
class Reproduction:
    """Outcome of a reproduction."""

    until: int
    """The last update to be compared."""
    comparison: Comparison
    result: Result
    provenance: list[Differing]
    """Differences of packages, machine and code: recorded, current."""

    @property
    def identical(self) -> bool:
        """Whether all updates were compared up to the last, and were equal."""
        return self.comparison.last == self.until and self.comparison.difference is None


def plan(run_dir: Path, until: int | None = None, imports: Sequence[str] = ()) -> Plan:
    """Reads a run to be reproduced up to update `until`; `imports` as in `admit`.

    Raises:
        UserError: the config is not admitted, its kernels are not here, or there are no digests up to there.
        StorageError: the run's files are damaged, or of a version that cannot be compared.
    """
    manifest = Manifest.read(run_dir).content
    config = admitted(read_config(run_dir), run_dir, imports)
    if config.collect.is_free:
        raise UserError(
            f"{run_dir} cannot be reproduced: its actors collected while the learner learnt "
            "(collect.order=free), so its numbers depended on time.",
            hint="Runs with collect.order=fixed, and those without actors, repeat to the last bit.",
        )
    check_recorded(run_dir, config, manifest["kernel_version"])
    last = _last_compared(run_dir, until)
    steps = config.total_steps if last == config.updates else last * config.batch_size
    evaluations = EvaluationSchedule.of(config, manifest["eval_every"])
    again = dataclasses.replace(
        config.resolved(),
        total_steps=steps,
        logger=("jsonl",),
        eval=dataclasses.replace(config.eval, every=0 if evaluations.undecided else evaluations.every),
        wandb=dataclasses.replace(config.wandb, mode="disabled"),
        stop_at=StopAtConfig() if _stop_at_changed(manifest, config) else config.stop_at,
        alerts=without_stops(config.alerts) if _alerts_changed(manifest) else config.alerts,
    )
    changed = (f"{text}; numbers may differ." for text in own_code.changes(manifest["own_code"], config))
    notes = (*changed, *_notes(run_dir, manifest, config, last, until))
    beginning = recorded_beginning(run_dir, config, Manifest.read(run_dir))
    return Plan(run_dir, manifest, again, provenance(run_dir), beginning, notes)


def reproduce(
    planned: Plan, into: Path, on_update: Callable[[int, int], None] = lambda update, of: None
) -> Reproduction:
    """Trains in the directory `into` until all updates are compared or one differs.

    `on_update(update, of)` is called after each update that is equal.

    Raises:
        UserError: the config cannot be trained here.
        StorageError: `into` cannot be written to, or the original's digests are damaged.
    """
    expected, equal, last = read_lines(planned.original), 0, None
    pending: Line | None = next(expected, None)
    difference: Difference | None = None

    def compare(_: int, row: Row) -> Verdict:
        nonlocal pending, equal, last, difference
        while pending is not None and pending.update < row["update"]:
            pending = next(expected, None)
        mine = last_line(into)
        if pending is not None and mine is not None and pending.update == mine.update == row["update"]:
            difference = differing(pending, mine)
            if difference is not None:
                raise Differs(f"Update {difference.update} differs in {', '.join(difference.quantities)}.")
            equal, last = equal + 1, mine.update
        on_update(row["update"], planned.config.updates)
        return Verdict.CONTINUE

    if planned.beginning is not None:
        into.mkdir(parents=True, exist_ok=True)
        write_beginning(into, planned.beginning)
    [result] = train(
        [planned.config],
        [into],
        overrides=[planned.manifest["overrides"]],
        on_row=compare,
        quiet=True,
        reproduces=planned.manifest["id"],
    )
    found = provenance_changes(planned.provenance, provenance(into))
    return Reproduction(planned.config.updates, Comparison(equal, last, difference), result, found)


def _last_compared(run_dir: Path, until: int | None) -> int:
    """The last update that has digests, up to `until`.

    Raises:
        UserError: there is none.
        StorageError: the digests are damaged or of another version.
    """
    if not (run_dir / FILE).exists():
        raise UserError(f"{run_dir} has no {FILE}: there is nothing to compare with.")
    found = version(run_dir)
    if found != VERSION:
        raise StorageError(refusal(run_dir / FILE, found, (VERSION,)))
    last, first = 0, 0
    for line in read_lines(run_dir):
        first = first or line.update
        if until is None or line.update <= until:
            last = line.update
    if last:
        return last
    if first:
        raise UserError(f"{run_dir} has no digests before update {first}: give --until {first} or more.")
    raise UserError(f"{run_dir} ended before its first digests: there is nothing to compare with.")


def _notes(
    run_dir: Path, manifest: Mapping[str, Any], config: RunConfig, last: int, until: int | None
) -> Iterator[str]:
    """Notes for the reader of the outcome."""
    absent = [f"{name}={display(value)}" for name, value in absent_keys(run_dir).items()]
    if absent:
        more = f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""
        yield (
            f"config.yaml is older than {', '.join(absent[:SHOWN])}{more}: keys that were not there have the "
            "values of what was done before."
        )
    if manifest["determinism"] != "bitwise":
        yield f"Not promised to the last bit: {manifest.get('tolerance_reason')}."
    if not manifest["exact_resume"]:
        yield f"The environment may not repeat itself: {manifest.get('inexact_reason')}."
    if manifest["resumes"]:
        times = "once" if len(manifest["resumes"]) == 1 else f"{len(manifest['resumes'])} times"
        yield f"The run was resumed {times}; it is reproduced as one run."
    if _stop_at_changed(manifest, config):
        yield "Its early stopping was changed by a resume: it is reproduced without, up to the last digests."
    if _alerts_changed(manifest):
        yield "Actions of its alerts were changed by a resume: none ends it before the last digests."
    if last < config.updates and until is None:
        stopped = manifest["status"] == "finished" and manifest["message"]
        why = f": {manifest['message']}" if stopped else ""
        yield f"The run is {manifest['status']}, with digests up to update {last} of {config.updates}{why}."


def _alerts_changed(manifest: Mapping[str, Any]) -> bool:
    """Whether a resume changed what alerts do: the config has only the last actions."""
    return any(name.startswith("alerts.") for entry in manifest["resumes"] for name in entry["changed"])


def _stop_at_changed(manifest: Mapping[str, Any], config: RunConfig) -> bool:
    """Whether a resume changed what early stopping depends on: the config has only the last values."""
    keys = ("stop_at.", "eval.") if config.stop_at.metric.startswith(EVALUATION) else ("stop_at.",)
    changed = [name for entry in manifest["resumes"] for name in entry["changed"] if name.startswith(keys)]
    return bool(changed) and (config.stop_at.threshold is not None or "stop_at.threshold" in changed)
