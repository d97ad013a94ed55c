"""Resuming runs in their own directories, as if they had never stopped: `rlcli resume`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rlcli.config.command import NO_OVERRIDES, Command
from rlcli.config.faults import Check
from rlcli.errors import EXIT_SIGINT, EXIT_SIGTERM
from rlcli.runs.loop import OnEnd, OnRow, Verdict
from rlcli.runs.recorder import Recorder
from rlcli.runs.result import Result
from rlcli.runs.stopped_run import Notify, StoppedRun
from rlcli.runs.train import OnStart, check_one_shape, train_all
from rlcli.store.lock import Lock

SIGNALS = (EXIT_SIGINT, EXIT_SIGTERM)


def resume(
    run_dir: Path,
    command: Command = NO_OVERRIDES,
    *,
    imports: Sequence[str] = (),
    checks: Iterable[Check] = (),
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    notify: Notify = lambda _: None,
    quiet: bool = False,
) -> Result:
    """Resumes a run that was killed, interrupted, failed, pruned, or finished with fewer steps.

    `command` may set resumable keys; `imports` are modules its environment may come from; `checks` are
    applied to the config as for a new run; `notify` is called with the point from which it is resumed. A
    finished run is left as it is, and its result says so.

    Raises:
        UserError: the overrides are refused, or another process uses the run; nothing was changed.
        StorageError: what is needed to resume is damaged, or the directory cannot be written to.
    """
    return resume_together(
        [run_dir], command, imports=imports, checks=checks, on_row=on_row, notify=notify, quiet=quiet
    )[0]


def resume_together(
    run_dirs: Sequence[Path],
    command: Command = NO_OVERRIDES,
    *,
    imports: Sequence[str] = (),
    checks: Iterable[Check] = (),
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    notify: Notify = lambda _: None,
    on_signal: Notify = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
    quiet: bool = False,
) -> list[Result]:
    """Resumes runs of one shape as a cohort, each from its own last checkpoint; otherwise as `resume`.

    If one of them cannot be resumed, none is. `on_signal` is called at the first signal, as by `train`.
    """
    all_checks = tuple(checks)
    with contextlib.ExitStack() as stack:
        locks = []
        for run_dir in run_dirs:
            locks.append(Lock(run_dir))
            stack.callback(locks[-1].release)
        stopped = {
            run: StoppedRun(run_dir, command, imports, all_checks) for run, run_dir in enumerate(run_dirs)
        }
        check_one_shape([one.config for one in stopped.values()])
        results: dict[int, Result] = {}
        for run, one in stopped.items():
            if one.finished:
                results[run] = one.finished_result(notify)
                on_end(run, results[run])

        def start(run: int, restarted: int) -> Recorder:
            return stopped[run].resume(locks[run], restarted, notify, quiet)

        for saved in (False, True):  # runs without a checkpoint begin again, in a session of their own
            chosen = {
                run: one
                for run, one in stopped.items()
                if run not in results and (one.recovered is not None) == saved
            }
            signal = next((result.exit_code for result in results.values() if result.exit_code in SIGNALS), 0)
            if signal:
                results |= {run: one.interrupted_result(signal) for run, one in chosen.items()}
            elif chosen:
                results |= _train_further(chosen, start, on_row, on_signal, on_end)
        return [results[run] for run in stopped]


def _train_further(
    stopped: Mapping[int, StoppedRun], start: OnStart, on_row: OnRow, on_signal: Notify, on_end: OnEnd
) -> dict[int, Result]:
    """Trains some of the runs in one session, all from a checkpoint or all from the beginning."""
    runs = list(stopped)
    checkpoints = [one.recovered.checkpoint for one in stopped.values() if one.recovered is not None]
    found = train_all(
        [one.config for one in stopped.values()],
        lambda place, restarted: start(runs[place], restarted),
        checkpoints or None,
        lambda place, row: on_row(runs[place], row),
        on_signal,
        lambda place, result: on_end(runs[place], result),
        starts=[None if one.beginning is None else one.beginning.tensors for one in stopped.values()],
    )
    return dict(zip(runs, found, strict=True))
