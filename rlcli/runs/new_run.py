"""Start of a new run: its directory, lock, config.yaml and manifest.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.envs.spec import EnvSpec
from rlcli.errors import UserError
from rlcli.runs.recorder import Recorder
from rlcli.store import own_runs
from rlcli.store.files import has_content, is_there, storage_error, write_atomically
from rlcli.store.layout import check_run
from rlcli.store.lock import Lock
from rlcli.store.manifest import FILE, Manifest
from rlcli.store.parent import Parent


def start_run(
    config: RunConfig,
    run_dir: Path,
    spec: EnvSpec,
    *,
    overrides: Sequence[str] = (),
    cohort: Sequence[str] = (),
    updates: int = 0,
    quiet: bool = False,
    reproduces: str | None = None,
    parent: Parent | None = None,
) -> Recorder:
    """The recorder of a new run in its directory; `updates` were done elsewhere; `parent` is that of a fork.

    Raises:
        UserError: the directory contains a run, or another process uses it.
        StorageError: it cannot be written to.
    """
    _check_unused(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(run_dir, error) from error
    lock = Lock(run_dir)
    try:
        _check_unused(run_dir)  # once more: another process may have come and gone
        check_run(run_dir)
        text = to_yaml(config).encode()
        if not has_content(run_dir / "config.yaml", text):  # a sweep has frozen its jobs' configs
            write_atomically(run_dir / "config.yaml", text)
        manifest = Manifest.begin(
            run_dir, config, overrides, spec, cohort, reproduces, None if parent is None else parent.row()
        )
        own_runs.remember(run_dir, config, manifest.content["id"])
        return Recorder(config, manifest, lock, spec, updates=updates, quiet=quiet)
    except BaseException:
        lock.release()
        raise


def _check_unused(run_dir: Path) -> None:
    """Raises `UserError` when a directory contains a run."""
    if is_there(run_dir / FILE):
        raise UserError(f"{run_dir} already contains a run.")
