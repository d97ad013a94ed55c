"""Weights & Biases logger: one W&B run per run, in the run directory; a copy of the record, metrics.jsonl.

The W&B run has the run's id, and a row has its update as the step. A resumed run continues the same W&B run;
offline it is a further segment of that id, and `wandb sync` joins them. Rows that are logged again after a
resume have steps that exist already, and W&B ignores them.

Offline unless the user is logged in or sets the mode. W&B itself prompts for nothing and prints nothing, and
what costs time beside the rows (system statistics, console capture, code saving) is off.

Server, mode, key and project come from the config, the user's environment and the user's own settings file
(`~/.config/wandb/settings`, or that of WANDB_CONFIG_DIR). W&B by itself also reads `wandb/settings`,
`.wandb/settings` and `config-defaults.yaml` in the current folder, and runs git there and in the run
directory, whose `.git/config` may name programs; these folders may be anybody's. So it starts in the root
folder, and without git.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from rlcli.errors import StorageError, UserError
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.wandb_rows import sender
from rlcli.plain import check_folder

Mode = Literal["online", "offline", "disabled"]

INIT_TIMEOUT = 10.0
"""Seconds to wait for W&B's server before a run is logged offline."""
FINISH_TIMEOUT = 60.0
"""Seconds to wait for the last rows to upload; what is left stays on disk for `wandb sync`."""
FLUSH_EVERY = 0.5
"""Seconds between batches of rows handed to W&B."""

MODES: dict[str, Mode] = {
    "online": "online", "run": "online", "shared": "online",
    "offline": "offline", "dryrun": "offline", "disabled": "disabled",
}  # fmt: skip
"""W&B's names for its modes, in WANDB_MODE and in its settings files."""
EXIT_CODES = {"finished": 0, "pruned": 0, "interrupted": 130}
"""Exit code of the W&B run by status; any other status is a failure, 1."""

_warned: set[str] = set()
"""Topics this process has warned about: each once, and no later run waits for the server again."""


def available() -> str | None:
    """None when W&B's SDK is installed, else a message with how to install it."""
    if importlib.util.find_spec("wandb") is None:
        return "logger=wandb needs a package that is not installed: pip install wandb"
    return None


class WandbLogger:
    """Logger of rows to one W&B run; `epochs/...` lists are logged as their last value.

    Raises:
        UserError: the SDK is not installed.
        StorageError: there is a link where W&B would write.
    """

    def __init__(self, info: RunInfo, warn: Callable[[str], None] = lambda _: None) -> None:
        self._info, self._warn = dataclasses.replace(info, dir=info.dir.absolute()), warn
        self._run: Any = None
        self._last: dict[str, Any] = {}
        self._waiting: list[tuple[Row, float]] = []
        """Rows, each with its time."""
        self._due: float | None = None
        """When they are handed over: not at once, as W&B takes a second to start."""
        self._requested = asked_mode(info.config.wandb.mode)
        self._started = self._requested == "disabled"
        if self._started:
            return
        if missing := available():
            raise UserError(missing)
        _check_links(info.dir)

    def log(self, row: Row, /) -> None:
        """Queues a row; if due, hands the queue to W&B's process, which writes and uploads it."""
        if self._started and self._run is None:
            return
        now = time.time()
        self._waiting.append((dict(row), now))
        if self._due is None:
            self._due = now + FLUSH_EVERY
        elif now >= self._due:
            self.settle()
            self._due = time.time() + FLUSH_EVERY

    def settle(self) -> None:
        """Hands over the rows that wait."""
        if not self._waiting:
            return
        if not self._started:
            self._start()
        batch, self._waiting = self._waiting, []
        if self._run is not None:
            self._send(batch)
            for row, _ in batch:
                self._last.update(row)

    def _start(self) -> None:
        """Starts W&B's process and its run, unless W&B's own settings disable it."""
        self._started = True
        with _contained(self._info.dir):
            mode = _resolve(self._requested, self._warn)
            if mode == "disabled":
                return
            self._run, self._offline = _start(self._info, mode, self._warn)
        # Offline nobody reads the summary, and keeping it costs a third of a row: written at the end.
        summary = {"summary": "none"} if self._offline else {}
        self._run.define_metric("*", step_metric="env_steps", **summary)
        self._send = sender(self._run, self._offline)

    def message(self, text: str, /) -> None:
        """Does nothing: W&B shows rows only."""

    def close(self, status: str, /) -> None:
        """Finishes the W&B run, as failed unless the run finished."""
        if not self._started:
            self._start()
        run = self._run
        if run is None:
            return
        try:
            self.settle()
            run.summary.update({**(self._last if self._offline else {}), "status": status})
        finally:
            self._run = None
            run.finish(exit_code=EXIT_CODES.get(status, 1))


def asked_mode(configured: str) -> Mode | None:
    """Mode set by the configuration, else by WANDB_MODE; None when neither sets one."""
    return MODES.get(os.environ.get("WANDB_MODE", "") if configured == "auto" else configured)


def _resolve(requested: Mode | None, warn: Callable[[str], None]) -> Mode:
    """Mode to start in: the one requested, else that of W&B's settings, else by whether there is an API key.

    Reads files and the environment only; neither the user nor a server is asked.
    """
    import wandb

    settings = wandb.setup(wandb.Settings(silent=True)).settings
    if requested is None and settings.mode in MODES and MODES[settings.mode] != "online":
        return MODES[settings.mode]
    if requested == "offline":
        return "offline"
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except wandb.errors.AuthenticationError as error:
        _warn_once("credentials", f"W&B: the credentials cannot be used: {error}", warn)
        return "offline"
    if requested == "online" and not logged_in:
        _warn_once("login", "W&B: nobody is logged in (try: wandb login).", warn)
    return "online" if logged_in else "offline"


def _start(info: RunInfo, mode: Mode, warn: Callable[[str], None]) -> tuple[Any, bool]:
    """The W&B run, and whether it is offline: also when the server did not answer, now or before."""
    import wandb

    if mode == "online" and "server" not in _warned:
        present = _segments(info.dir)
        try:
            return _init(info, "online"), False
        except wandb.errors.Error as error:
            reason = str(error).partition("\n")[0] or f"no answer within {INIT_TIMEOUT:.0f} s"
            _warn_once("server", f"W&B: no run could be started on its server: {reason}.", warn)
        for empty in _segments(info.dir) - present:
            shutil.rmtree(empty, ignore_errors=True)
        # What could not start keeps its id to itself as long as W&B's process lives.
        return _init(info, "offline", "-offline"), True
    return _init(info, "offline"), True


def _id(info: RunInfo) -> str:
    """The id of the W&B run: that of the first segment in the run directory, else the run's own."""
    earlier = sorted((info.dir / "wandb").glob("*run-*-*"), key=lambda path: path.name.rpartition("run-")[2])
    return earlier[0].name.rpartition("run-")[2].partition("-")[2] if earlier else info.id


def _segments(directory: Path) -> set[Path]:
    """Segments of online runs in a run directory."""
    return set((directory / "wandb").glob("run-*"))


def _init(info: RunInfo, mode: Literal["online", "offline"], suffix: str = "") -> Any:
    import wandb

    chosen = info.config.wandb
    return wandb.init(
        id=_id(info) + suffix,
        # Offline there is nobody to ask what is there; the id alone makes it a segment.
        resume="allow" if info.resumed and mode == "online" else None,
        project=chosen.project,
        entity=chosen.entity,
        group=chosen.group or info.sweep,
        name=info.name,
        tags=info.config.tags,
        notes=info.config.notes or None,
        config={**info.config_dict, "run_id": info.id},
        dir=info.dir,
        mode=mode,
        reinit="create_new",
        settings=_settings(),
    )


def _settings() -> Any:
    """W&B settings: quiet, with timeouts, without costly extras; private ones only where the SDK has them."""
    import wandb

    wanted: dict[str, Any] = {
        "silent": True,
        "init_timeout": INIT_TIMEOUT,
        "finish_timeout": FINISH_TIMEOUT,
        "console": "off",
        "disable_code": True,
        "disable_git": True,
        "save_code": False,
        "symlink": False,
        "use_dot_wandb": False,
        "x_disable_stats": True,
        "x_save_requirements": False,
    }
    return wandb.Settings(
        **{name: value for name, value in wanted.items() if name in wandb.Settings.model_fields}
    )


def _check_links(directory: Path) -> None:
    """Refuses links where W&B writes: `wandb` in the run directory, and its direct entries.

    Raises:
        StorageError: there is one.
    """
    folder = directory / "wandb"
    if check_folder(folder):
        check_folder(folder / "cache")
        for path in folder.iterdir():
            if path.is_symlink():
                raise StorageError(f"{path} is a link; files of a run directory may not lead out of it.")


@contextlib.contextmanager
def _contained(directory: Path) -> Iterator[None]:
    """Environment in which W&B starts its process: logs in the run directory, no error reports to its maker.

    The user's own variables win; none is left behind for child processes. The current folder is the root
    folder meanwhile: where only the machine's owner writes, no settings of somebody else are found.
    """
    wanted = {
        "WANDB_CACHE_DIR": str(directory / "wandb" / "cache"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with in_the_root_folder():
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def in_the_root_folder() -> Iterator[None]:
    """Makes the root folder the current one for the length of a `with`."""
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir("/")
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def _warn_once(topic: str, text: str, warn: Callable[[str], None]) -> None:
    if topic not in _warned:
        _warned.add(topic)
        warn(f"{text.rstrip('.')}. Runs are logged offline; `wandb sync` uploads them later.")
