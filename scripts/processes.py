"""Short runs in processes that can be killed at any moment, and their comparison with uninterrupted runs.

Processes are forked from one that has loaded torch, so that a run takes a fraction of a second.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rlcli.backends.session import Row
from rlcli.cli.main import main
from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.errors import RlcliError
from rlcli.runs.resume import resume
from rlcli.runs.train import Verdict, train

SMALL = (
    "tuned=none", "total_steps=512", "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[16]",
    "eval.every=96", "eval.episodes=2", "checkpoint.every=64", "checkpoint.keep=3", "logger=[jsonl]",
    "checkpoint.seconds=0",
    "env.normalize_observation=true", "env.normalize_reward=true",
)  # fmt: skip
"""Sixteen updates, eight of which are saved and five evaluated."""
FIGURES = ("status", "env_steps", "updates", "total_steps", "eval_return_mean", "best_return_mean")
KILLED = -signal.SIGKILL
PATIENCE = 120.0
"""Seconds a process may take; it needs one."""


class Kind:
    """One sort of run: its config, a run of it that was left alone, and how long that took."""

    def __init__(self, words: Sequence[str], root: Path) -> None:
        self.words = (*SMALL, *words)
        self.config = compose(self.words).config
        self.name = " ".join(words)
        self.whole = root / "whole" / str(abs(hash(self.name)))
        begun = time.perf_counter()
        code = ended(forked(functools.partial(trains, self.config, self.whole), self.whole))
        self.seconds = time.perf_counter() - begun
        if code != 0:
            sys.exit(f"{self.name} does not train: {log(self.whole).read_text()}")

    def differences(self, run_dir: Path) -> list[str]:
        """In what a run is not the one that was left alone."""
        return [name for name, read in PARTS.items() if read(run_dir) != read(self.whole)]


def _rows(run_dir: Path) -> list[Any]:
    rows: list[Any] = []
    for line in (run_dir / "metrics.jsonl").read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
            rows.append({name: value for name, value in row.items() if not name.startswith("time/")})
        except ValueError:
            rows.append(line)
    return rows


def checkpoints(run_dir: Path) -> dict[str, bytes]:
    """The files by name."""
    return {path.name: path.read_bytes() for path in (run_dir / "checkpoints").iterdir()}


def _figures(run_dir: Path) -> list[Any]:
    content = json.loads((run_dir / "manifest.json").read_text())
    return [content[name] for name in FIGURES]


PARTS: dict[str, Callable[[Path], object]] = {
    "checkpoints": checkpoints,
    "rows": _rows,
    "digests": lambda run_dir: (run_dir / "digests.txt").read_bytes(),
    "statistics": _figures,
}
"""What equal runs have in common, to the last bit."""


def log(run_dir: Path) -> Path:
    """Where a process of ours writes what it has to say about a run."""
    return run_dir.with_name(f"{run_dir.name}.said")


def forked(call: Callable[[], int], run_dir: Path) -> int:
    """Starts a process that makes the call; its id."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)

    def logged() -> int:
        with log(run_dir).open("a") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        try:
            return call()
        except RlcliError as error:
            print(f"Error: {error}", file=sys.stderr)
            return error.exit_code

    process = os.fork()
    if process == 0:
        exit_after(logged)
    return process


def exit_after(call: Callable[[], int | None]) -> NoReturn:
    """Ends this process, a fork, with what the call returns or exits with; None is 0, an exception 70."""
    code = 70
    try:
        code = call() or 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], patience: float = PATIENCE
) -> Said:
    """`rlcli WORDS` in a fork of this process, in a folder and with an environment of its own.

    Whatever it loads stays with it, and what this process has loaded it need not load again.
    """
    with tempfile.TemporaryDirectory(prefix="rlcli-said-") as said:
        streams = [Path(said) / name for name in ("out", "err")]
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            exit_after(functools.partial(_as_command, words, folder, variables, streams))
        code = ended(process, patience)
        out, err = (path.read_text(errors="replace") for path in streams)
    return Said(code, out, err)


class Said(NamedTuple):
    """Exit code of a command, that of a kill when it took too long, and its output."""

    code: int
    out: str
    err: str


def _as_command(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], streams: Sequence[Path]
) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["rlcli", *words]
    main()


def ended(process: int, after: float | None = None) -> int:
    """The exit code of a process, which is killed after some seconds when they are given."""
    deadline = time.monotonic() + (PATIENCE if after is None else after)
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if after is None:
        sys.exit(f"A process did not end within {PATIENCE:.0f} s.")
    return code


def trains(config: RunConfig, run_dir: Path) -> int:
    """A run from its beginning to its end."""
    return train([config], [run_dir], quiet=True)[0].exit_code


def resumes(run_dir: Path) -> int:
    """A run to its end."""
    return resume(run_dir, quiet=True).exit_code


def has_begun(run_dir: Path) -> bool:
    """Whether there is a run yet; killed before that, a run directory says nothing."""
    return (run_dir / "manifest.json").exists()


def stopped(config: RunConfig, run_dir: Path, after: int = 9) -> int:
    """A run that kills itself after an update."""

    def on_row(_: int, row: Row) -> Verdict:
        if row["update"] == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return Verdict.CONTINUE

    return train([config], [run_dir], on_row=on_row, quiet=True)[0].exit_code


@contextlib.contextmanager
def killed_before(operation: int) -> Iterator[None]:
    """This process kills itself before its operation of that number on the disk."""
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def made(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return made

    places = ((os, "fsync"), (os, "truncate"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink"))
    before = [getattr(owner, name) for owner, name in places]
    for (owner, name), call in zip(places, before, strict=True):
        setattr(owner, name, counted(call))
    try:
        yield
    finally:
        for (owner, name), call in zip(places, before, strict=True):
            setattr(owner, name, call)
