"""Recorded code of a run, run in a git worktree: its commit with its uncommitted changes.

The user's checkout is not touched: `git worktree` makes another folder of the same repository, which is
removed at the end. Unlike everything else in a run directory, code.diff is executed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rlcli.errors import EXIT_CRASH, UserError
from rlcli.store.files import read_bytes
from rlcli.store.manifest import DIFF, LARGEST_DIFF, Manifest
from rlcli.store.provenance import checkout, git, git_environment

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START = """
import contextlib, sys
from pathlib import Path

def refuse(text):
    with contextlib.suppress(OSError):
        sys.stderr.write(f"Error: {text}\\n")
    sys.exit(2)

tree = sys.argv.pop(1)
try:
    import rlcli
    from rlcli.cli.main import main
except ImportError as error:
    refuse(f"the recorded code cannot be loaded: {error}. Untracked files are not kept.")
if not Path(rlcli.__file__).resolve().is_relative_to(tree):
    refuse(f"{rlcli.__file__} was loaded, and not the code in {tree}.")
main()
"""
"""Script of the child process: the command line of the worktree's rlcli, and of no other."""


def run_recorded_code(
    run_dir: Path,
    words: Sequence[str],
    runs_root: Path,
    say: Callable[[str], None],
    results: int | None = None,
) -> int:
    """Runs `rlcli <words>` with the code that trained the run; returns its exit code.

    Its output goes to the descriptor `results`; None: to this process's stdout.

    Raises:
        UserError: the code is not available here.
        StorageError: code.diff is damaged.
    """
    manifest = Manifest.read(run_dir).content
    code = manifest["code"]
    repository = _repository(code["commit"])
    if code["dirty"] and code["diff"] is None:
        raise UserError(
            f"{run_dir} was trained by commit {code['commit'][:12]} with changes that were too large to keep."
        )
    changes = b"" if code["diff"] is None else read_bytes(run_dir / DIFF, LARGEST_DIFF)
    with _worktree(repository, code["commit"]) as tree:
        say(
            f"Running the code of commit {code['commit'][:12]}" + (f" with {DIFF} applied" if changes else "")
        )
        if changes:
            _apply(tree, changes)
        if manifest["kernel_version"] is not None:
            _build_kernels(tree)
        return _run(tree, words, runs_root.resolve(), results)


def _repository(commit: str | None) -> Path:
    """The repository of this code, if it has the commit.

    Raises:
        UserError: it is in no repository, or there is no such commit.
    """
    folder = checkout()
    if git(folder, "ls-files", "--error-unmatch", "rlcli/__init__.py") is None:
        raise UserError(
            "--checkout needs rlcli to run from its git repository; this one is installed without.",
            hint="Clone the repository, install it with pip install -e, and run the command there.",
        )
    if commit is None:
        raise UserError("The run's manifest.json names no commit: it was trained by code outside of git.")
    if git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        raise UserError(
            f"{folder} has no commit {commit}.", hint=f"Fetch it first: git -C {folder} fetch --all"
        )
    return folder


@contextmanager
def _worktree(repository: Path, commit: str) -> Iterator[Path]:
    """A folder with the files of a commit while the block runs; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="rlcli-checkout-"))
    tree = folder / "tree"
    before = {number: signal.signal(number, _end) for number in SIGNALS}
    try:
        # The repository's own hooks must not run here.
        _git(
            repository, "-c", f"core.hooksPath={os.devnull}", "worktree", "add", "--detach", str(tree), commit
        )
        yield tree
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        git(repository, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(folder, ignore_errors=True)
        git(repository, "worktree", "prune")
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    """Exits the process by an exception, so that `finally` blocks run."""
    sys.exit(128 + number)


def _apply(tree: Path, changes: bytes) -> None:
    """Applies a diff in the worktree; git refuses paths outside of it.

    Raises:
        UserError: it does not apply.
    """
    _git(tree, "apply", "--index", "--whitespace=nowarn", "-", given=changes)


def _build_kernels(tree: Path) -> None:
    """Builds the library of kernels in the worktree; where that fails, its code says why and ends."""
    subprocess.run([sys.executable, "-P", str(tree / "rlcli" / "kernels" / "build.py")], check=False)


def _run(tree: Path, words: Sequence[str], runs_root: Path, results: int | None) -> int:
    """Runs the command line of the worktree to its end; signals are passed on to it."""
    places = [str(tree), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", START, str(tree.resolve()), *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "RLCLI_RUNS": str(runs_root)},
        stdout=results,
        start_new_session=True,  # a Ctrl-C reaches it through us, once
    )

    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _git(folder: Path, *words: str, given: bytes = b"") -> None:
    """Runs git; raises `UserError` with its error output if it fails."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False, env=git_environment())
    except OSError as error:
        raise UserError(f"git cannot be run: {error}.") from error
    if done.returncode != 0:
        output = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode or EXIT_CRASH}"
        raise UserError(f"git {' '.join(words[:2])} failed: {output}")
