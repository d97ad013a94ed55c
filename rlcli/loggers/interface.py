"""Logger interface, and the composite logger that keeps a failing one from stopping a run.

A row is a flat mapping: `update` and `env_steps` (int), `group/name` (float), `epochs/name` (list of
float); a figure that is undefined is absent. The names are those of `rlcli.catalog`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlcli.config.schema.run import RunConfig

Row = Mapping[str, Any]
TimedRow = tuple[Row, float]
"""A row and its time in seconds since 1970."""

RECORD = "jsonl"
"""The logger that writes the run's record, metrics.jsonl: its errors stop the run."""

MAKERS = {
    "jsonl": "rlcli.loggers.jsonl:JsonlLogger",
    "tensorboard": "rlcli.loggers.tensorboard:TensorboardLogger",
    "mlflow": "rlcli.loggers.mlflow:MlflowLogger",
    "wandb": "rlcli.loggers.wandb:WandbLogger",
    "console": "rlcli.loggers.console:console_logger",
}
"""Loggers by name, imported only when selected, in order of start: the record first, the panel last."""


@dataclass(frozen=True)
class RunInfo:
    """Description of the run, which a logger gets when it starts."""

    id: str
    name: str
    dir: Path
    config: RunConfig
    config_dict: Mapping[str, Any]
    """The configuration as nested plain data."""
    total_steps: int
    """Env steps the run will do, rounded up to whole updates."""
    start_steps: int = 0
    """Env steps already done when this process started or resumed the run."""
    resumed: bool = False
    """Whether an earlier process logged those; rows it logged after them are logged again."""
    exact: bool = True
    """Whether those that are logged again are the same to the last bit."""
    started: float = 0.0
    """When the run was started, in seconds since 1970; 0 if unknown."""
    earlier: Callable[[], Iterable[TimedRow]] = tuple
    """The recorded rows of earlier processes: those up to `start_steps`, in order."""
    sweep: str | None = None
    quiet: bool = False
    algo: str = ""
    env: str = ""
    seed: int = 0


class Logger(Protocol):
    """Destination of rows. Made from a RunInfo and `warn`, a function that shows a line to the user."""

    def log(self, row: Row, /) -> None:
        """Logs the row of one update."""

    def message(self, text: str, /) -> None:
        """Shows a line of text beside the rows, where there is a reader."""

    def close(self, status: str, /) -> None:
        """Ends the log: finished, failed, interrupted or pruned."""


@runtime_checkable
class Ticking(Protocol):
    """Logger with a clock, which ticks between two rows."""

    def tick(self, steps: int, phase: str, /) -> None:
        """Shows the time; see `Loggers.tick`."""


@runtime_checkable
class Queueing(Protocol):
    """Logger that keeps rows for a while and hands over many at once."""

    def settle(self) -> None:
        """Hands over the rows that wait."""


@runtime_checkable
class Alerting(Protocol):
    """Logger that hands alerts to somebody who does not look."""

    def alert(self, title: str, text: str, update: int, /) -> None:
        """Hands over the alert of the update whose row was logged last."""


class Loggers:
    """Composite of all loggers of a run.

    A member that raises at its start, at a row or at its end is switched off and reported once through
    `warn`; training continues. The record is the exception: its errors are raised.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Logger]], warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._members: dict[str, Logger] = {}
        # Asking an object for a protocol takes longer than what is asked of it, so each is asked once.
        self._ticking: dict[str, Ticking] = {}
        for name, make in makers.items():
            self._guarded(name, "start", self._start, name, make)

    def log(self, row: Row) -> None:
        """Logs a row with every logger that is still on.

        Raises:
            StorageError: the record could not be written.
            NonFiniteError: the row holds a number the record cannot.
        """
        for name, member in tuple(self._members.items()):
            self._guarded(name, "log a row", member.log, row)

    def tick(self, steps: int, phase: str) -> None:
        """Lets clocks tick; `steps` are the env steps collected of the update in progress.

        `phase`: collecting, learning or evaluating.
        """
        for name, member in tuple(self._ticking.items()):
            self._guarded(name, "show the time", member.tick, steps, phase)

    def settle(self) -> None:
        """Hands over all rows that wait: what a checkpoint follows is not logged again by a resumed run."""
        for name, member in tuple(self._members.items()):
            if isinstance(member, Queueing):
                self._guarded(name, "hand over rows", member.settle)

    def message(self, text: str) -> None:
        """Shows a line of text wherever a logger has a reader."""
        for name, member in tuple(self._members.items()):
            self._guarded(name, "show a message", member.message, text)

    def alert(self, title: str, text: str, update: int) -> None:
        """Hands an alert to whom it concerns; the other loggers show it as a message."""
        for name, member in tuple(self._members.items()):
            if isinstance(member, Alerting):
                self._guarded(name, "send an alert", member.alert, title, text, update)
            else:
                self._guarded(name, "show a message", member.message, text)

    def close(self, status: str) -> None:
        """Closes every logger, also where another fails to close; closing again does nothing.

        Raises:
            StorageError: the record could not be written to its end.
        """
        members, self._members, self._ticking = self._members, {}, {}
        # The record, first in order, is ended last: only its end can raise.
        for name, member in reversed(tuple(members.items())):
            self._guarded(name, "close", member.close, status)

    def _start(self, name: str, make: Callable[[], Logger]) -> None:
        self._members[name] = member = make()
        if isinstance(member, Ticking):
            self._ticking[name] = member

    def _guarded(self, name: str, action: str, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception as error:
            if name == RECORD:
                raise
            reason = str(error) or type(error).__name__
            self._warn(
                f"The {name} logger could not {action} and is switched off; training continues. {reason}"
            )
            self._switch_off(name)

    def _switch_off(self, name: str) -> None:
        """Removes a member and closes it, so that no terminal or file is left half open."""
        member = self._members.pop(name, None)
        self._ticking.pop(name, None)
        if member is not None:
            with contextlib.suppress(Exception):
                member.close("failed")


def make_loggers(info: RunInfo, warn: Callable[[str], None]) -> Loggers:
    """The loggers that `logger=` names, started; no console when the run is quiet.

    Raises:
        StorageError: the record cannot be opened.
    """
    selected = [name for name in info.config.logger if not (name == "console" and info.quiet)]
    return Loggers({name: partial(_made, name, info, warn) for name in MAKERS if name in selected}, warn)


def _made(name: str, info: RunInfo, warn: Callable[[str], None]) -> Logger:
    module, _, attribute = MAKERS[name].partition(":")
    make: Callable[[RunInfo, Callable[[str], None]], Logger] = getattr(
        importlib.import_module(module), attribute
    )
    return make(info, warn)
