"""Failure of a run: its exit code and message, its traceback, the batch of the update that failed."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save

from rlcli.backends.session import Failure
from rlcli.envs.user_code import reported
from rlcli.errors import EXIT_CRASH, RlcliError
from rlcli.store.files import write_atomically
from rlcli.text import visible

FILE = "failed_batch.safetensors"
LONGEST_MESSAGE = 4000
"""Characters of an error message in manifest.json."""


def outcome(error: Exception) -> tuple[int, str]:
    """The exit code and the message of a run that ended with an exception; with the place in user code."""
    code = error.exit_code if isinstance(error, RlcliError) else EXIT_CRASH
    return code, visible(reported(error)[:LONGEST_MESSAGE])


def save_batch(run_dir: Path, failure: Failure) -> bool:
    """Saves the batch of the update that failed; whether there was one.

    Raises:
        StorageError: it cannot be written.
    """
    if not failure.batch:
        return False
    content = save({name: field.contiguous() for name, field in failure.batch.items()})
    write_atomically(run_dir / FILE, content)
    return True
