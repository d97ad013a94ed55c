"""Training of runs of one shape: from their configs or checkpoints to their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rlcli.actors.exactness import described
from rlcli.backends.kernel import decided
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint, Initial, Session
from rlcli.config.schema.run import RunConfig
from rlcli.config.shape import shape
from rlcli.envs.untrusted import folder_kept
from rlcli.errors import UserError
from rlcli.runs.loop import Loop, OnEnd, OnRow, ShouldStop, Verdict
from rlcli.runs.new_run import start_run
from rlcli.runs.recorder import Recorder
from rlcli.runs.result import Result
from rlcli.runs.schedules import schedule_warnings
from rlcli.runs.stop import quitting, stop_on_signals, stopping
from rlcli.runs.update_time import UpdateTime
from rlcli.store.start_file import read_beginning
from rlcli.streams import say_at_once

__all__ = ["Result", "Verdict", "train"]


def _sb3(
    configs: Sequence[RunConfig],
    checkpoints: Sequence[Checkpoint] | None = None,
    starts: Sequence[Initial | None] | None = None,
) -> Session:
    from rlcli.backends.sb3 import Sb3Session

    return Sb3Session(configs, checkpoints, starts)


BACKENDS: dict[str, Callable[..., Session]] = {"native": NativeSession, "sb3": _sb3}


OnStart = Callable[[int, int], Recorder]
"""(run, number of its environments whose episode could not be restored) -> its recorder."""


def train(
    configs: Sequence[RunConfig],
    dirs: Sequence[Path],
    *,
    overrides: Sequence[Sequence[str]] | None = None,
    on_row: OnRow = lambda run, row: Verdict.CONTINUE,
    should_stop: ShouldStop = lambda run, row: None,
    quiet: bool = False,
    checkpoints: Sequence[Checkpoint] | None = None,
    reproduces: str | None = None,
    on_signal: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
) -> list[Result]:
    """Trains runs of one shape together, each in its directory; results in the order of the configs.

    A run that fails, is pruned or is done is dropped; the others' numbers do not change. With `checkpoints`
    each run starts from the state given. A directory with start.safetensors becomes a fork, which begins from
    that. `reproduces` is the id of the run that is reproduced. `on_signal` is
    called at the first signal with the time that the update in progress still takes ('' if unknown).

    Raises:
        UserError: the configs cannot be trained, or a directory contains a run.
        StorageError: a run directory cannot be written to from the start, or a checkpoint does not fit.
    """
    check_one_shape(configs)
    spec = described(configs[0])
    frozen = [decided(config.resolved(), spec) for config in configs]
    beginnings = [read_beginning(one, config) for one, config in zip(dirs, frozen, strict=True)]
    parents = [None if one is None else one.parent for one in beginnings]
    words = overrides or [()] * len(frozen)
    done = [0] * len(frozen) if checkpoints is None else [saved.update for saved in checkpoints]
    names = [directory.name for directory in dirs] if len(dirs) > 1 else []

    def start(run: int, restarted: int) -> Recorder:
        recorder = start_run(
            frozen[run], dirs[run], spec, overrides=words[run], cohort=names, updates=done[run], quiet=quiet,
            reproduces=reproduces, parent=parents[run],
        )  # fmt: skip
        if not spec.exact_resume:  # true of all, printed once
            recorder.warn(f"This run cannot be resumed exactly: {spec.inexact_reason}", aloud=run == 0)
        if spec.backend_reason is not None:
            text = f"Gymnasium steps {spec.id}, which is slower: {spec.backend_reason}"
            recorder.warn(f"{text}.", aloud=run == 0)
        if spec.unused_mask is not None:
            text = f"{spec.id} says which actions are allowed, and this run is trained without that"
            recorder.warn(f"{text}; to use it: env.action_mask={spec.unused_mask}", aloud=run == 0)
        if reproduces is None:
            for warning in schedule_warnings(frozen[run], done[run], recorder.id):
                recorder.warn(warning, aloud=run == 0)
        if restarted:
            recorder.warn(f"{restarted} environments begin a new episode: theirs could not be restored.")
        return recorder

    starts = [None if one is None else one.tensors for one in beginnings]
    return train_all(frozen, start, checkpoints, on_row, on_signal, on_end, should_stop, starts)


def train_all(
    configs: Sequence[RunConfig],
    start: OnStart,
    checkpoints: Sequence[Checkpoint] | None,
    on_row: OnRow,
    on_signal: Callable[[str], None] = lambda _: None,
    on_end: OnEnd = lambda run, result: None,
    should_stop: ShouldStop = lambda run, row: None,
    starts: Sequence[Initial | None] | None = None,
) -> list[Result]:
    """Trains a session of runs to their end; `start` is called for each once the session has its state.

    Without `checkpoints` forks begin from `starts`.
    """
    recorders: dict[int, Recorder] = {}

    clock = UpdateTime(configs[0].batch_size)

    def announce() -> None:
        left = clock.left()
        for recorder in recorders.values():
            recorder.announce(stopping(recorder.reference, left))
        on_signal(left)

    def abandon(code: int) -> None:
        for recorder in recorders.values():
            recorder.abandon(code)
        lone = len(recorders) == 1
        for text in {
            quitting(one.reference, one.saved_update if lone else None) for one in recorders.values()
        }:
            say_at_once(text)

    with folder_kept(), stop_on_signals(announce, abandon) as stop:
        with folder_kept():
            session = BACKENDS[configs[0].backend](configs, checkpoints, starts)
        loop = Loop(session, recorders, on_row, should_stop, on_end, stop, clock)
        try:
            for run in range(len(configs)):
                loop.add(start(run, session.restarted(run)))
            return loop.to_the_end()
        except Exception as error:
            loop.fail_all(error)
            raise
        finally:
            loop.close()


def check_one_shape(configs: Sequence[RunConfig]) -> None:
    """Raises `UserError` when runs differ in more than may differ within a cohort."""
    first, *others = map(shape, configs)
    differing = [name for name, value in first.items() if any(other[name] != value for other in others)]
    if differing:
        raise UserError(f"Runs trained together must agree on {', '.join(differing)}.")
