"""Upload of recorded runs to Weights & Biases: of each, the rows of metrics.jsonl that the server lacks.

`wandb sync` of a run's offline file gives another result. Its history begins after the rows that the server
says it has, so a second upload of a file may be stored twice; and a file that continues a run has its steps
moved behind the last one. Here the server is asked first, and each row has its update as the step. So an
upload can be repeated, and continues where a lost connection ended the one before. Nothing is written into
the run directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlcli.errors import RlcliError, UserError
from rlcli.loggers.interface import Row, RunInfo
from rlcli.loggers.wandb import EXIT_CODES
from rlcli.loggers.wandb_history import OtherHistory, batches, known
from rlcli.loggers.wandb_process import FINISH_TIMEOUT, begin, contained
from rlcli.loggers.wandb_rows import sender
from rlcli.text import as_typed, message_of

SECONDS_PER_ROW = 0.02
"""Added to the seconds that an upload may take to end, for each row."""
REFUSED = ("401", "403", "not logged in", "permission denied")
"""Parts of the SDK's messages that the server refuses the credentials."""


class UploadError(RlcliError):
    """The server did not answer, or the connection was lost: the same upload can be repeated."""


@dataclasses.dataclass(frozen=True)
class Uploaded:
    """Result of an upload."""

    url: str
    known: int
    """Rows that the server had before."""
    sent: int
    """Rows that were uploaded."""


@contextlib.contextmanager
def uploads() -> Iterator[Path]:
    """A temporary folder for the files of W&B's process, which ends with the `with`."""
    import wandb

    with tempfile.TemporaryDirectory(prefix="rlcli-wandb-") as name, contained(Path(name)):
        wandb.setup(wandb.Settings(silent=True))
        try:
            yield Path(name)
        finally:
            wandb.teardown()


def upload(
    info: RunInfo, wandb_id: str, status: str, folder: Path, progress: Callable[[int, int], None]
) -> Uploaded:
    """Uploads the recorded rows of a run that its W&B run lacks, within `uploads`, whose folder is given.

    `progress` is called with the rows handed over and those to hand over.

    Raises:
        UserError: the server refuses the credentials, the project or the id, or holds another history.
        UploadError: it does not answer, or did not confirm all rows.
    """
    import wandb

    updates = [row["update"] for row, _ in info.earlier()]
    patience = FINISH_TIMEOUT + SECONDS_PER_ROW * len(updates)
    try:
        run = begin(
            info, "online", wandb_id, folder, "allow", finish_timeout=patience, finish_timeout_raises=True,
            x_skip_transaction_log=True, x_disable_meta=True,
        )  # fmt: skip
    except wandb.errors.Error as error:
        raise _not_begun(info, error) from error
    code = EXIT_CODES.get(status, 0 if status == "running" else 1)
    try:
        there = known(run, updates)
    except OtherHistory as other:
        _end(run, code)
        raise UserError(
            f"{info.dir}: the W&B run {run.url} holds other rows than the record: {other}.",
            hint=f"Upload it as another W&B run: rlcli sync {as_typed(info.dir)} --id {info.id}-2; "
            "the other can be deleted on W&B's site.",
        ) from None
    url, last = str(run.url), _send(run, info, there, len(updates), progress)
    run.summary.update({**last, "status": status})
    if not _end(run, code):
        raise UploadError(
            f"{info.dir}: W&B's server did not confirm all rows within {patience:.0f} s. "
            "What it has stays; run the same command again to upload the rest."
        )
    return Uploaded(url, there, len(updates) - there)


def _send(
    run: Any, info: RunInfo, there: int, total: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Hands over the rows from number `there` on; returns the last figure of each metric in them."""
    run.define_metric("*", step_metric="env_steps")
    send, sent = sender(run, info.started), 0
    last: dict[str, Any] = {}
    for batch in batches(info.earlier(), there):
        progress(sent, total - there)
        send(batch)
        sent += len(batch)
        for row, _ in batch:
            last |= _figures(row)
    progress(sent, total - there)
    return last


def _figures(row: Row) -> dict[str, Any]:
    """A row with the last value of each list."""
    return {
        name: value[-1] if isinstance(value, list) else value for name, value in row.items() if value != []
    }


def _end(run: Any, code: int) -> bool:
    """Ends a W&B run; whether the server confirmed everything."""
    try:
        run.finish(exit_code=code)
    except TimeoutError:
        return False
    return True


def _not_begun(info: RunInfo, error: Exception) -> RlcliError:
    """The error of a W&B run that could not be begun."""
    import wandb

    text = message_of(error).partition("\n")[0].rstrip(".")
    if isinstance(error, wandb.errors.AuthenticationError) or any(one in text for one in REFUSED):
        return UserError(
            f"W&B's server refuses the credentials, or the project: {text}.",
            hint="Log in again: wandb login --relogin; another project: --project, --entity.",
        )
    if isinstance(error, wandb.errors.UsageError):
        return UserError(f"{info.dir} cannot be uploaded: {text}.")
    return UploadError(f"{info.dir}: W&B's server does not answer: {text}. Run the same command again later.")
