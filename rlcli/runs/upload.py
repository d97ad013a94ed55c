"""Plan and execution of uploads to Weights & Biases: what `rlcli sync` reads of a run directory.

A run that is being trained is uploaded as far as it has come, unless it uploads itself. A lock on
metrics.jsonl, which changes nothing in the directory, keeps two uploads of a run apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rlcli.config.serialise import to_dict
from rlcli.errors import UserError
from rlcli.loggers.interface import RunInfo
from rlcli.loggers.wandb_history import run_id, segments
from rlcli.loggers.wandb_upload import Uploaded, upload
from rlcli.store.config_file import read_config
from rlcli.store.directory import summary
from rlcli.store.files import open_plain
from rlcli.store.manifest import Manifest
from rlcli.store.record import Record, overview, started, timed_rows
from rlcli.store.rows import RECORD


@dataclasses.dataclass(frozen=True)
class Planned:
    """Upload of one run."""

    dir: Path
    """The run directory as the user named it."""
    info: RunInfo
    record: Record
    status: str
    wandb_id: str

    def begin(self, folder: Path, progress: Callable[[int, int], None]) -> Uploaded:
        """Uploads what W&B's server lacks; see `loggers/wandb_upload.py::upload`.

        Raises:
            UserError: as there; also if there are no rows.
        """
        if not self.record.rows:
            raise UserError(f"{self.dir} has no rows to upload yet.")
        with _alone(self.info.dir, self.dir):
            return upload(self.info, self.wandb_id, self.status, folder, progress)


def plan(run_dir: Path, project: str | None, entity: str | None, wandb_id: str | None) -> Planned:
    """The upload of a run: of the rows that it has now, to the project of its config unless one is given.

    Raises:
        UserError: it uploads itself.
        StorageError: its files are damaged.
    """
    about, content, config = summary(run_dir), Manifest.read(run_dir).content, read_config(run_dir)
    folder = run_dir.absolute()
    own = segments(folder)
    if about["status"] == "running" and own and not own[-1].name.startswith("offline-"):
        raise UserError(f"{run_dir} is being trained, and uploads to W&B itself.")
    record = overview(run_dir)
    chosen = dataclasses.replace(
        config.wandb, project=project or config.wandb.project, entity=entity or config.wandb.entity
    )
    info = RunInfo(
        id=content["id"], name=content["name"], dir=folder,
        config=dataclasses.replace(config, wandb=chosen), config_dict=to_dict(config),
        total_steps=content["total_steps"], start_steps=record.last * config.batch_size, resumed=True,
        started=started(content), earlier=partial(timed_rows, folder, content, record.last),
        sweep=content["sweep"],
    )  # fmt: skip
    return Planned(run_dir, info, record, about["status"], wandb_id or run_id(folder, info.id))


@contextlib.contextmanager
def _alone(run_dir: Path, named: Path) -> Iterator[None]:
    """Lock on a run's record for the length of a `with`.

    Raises:
        UserError: another upload has it.
    """
    with open_plain(run_dir / RECORD) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{named} is being uploaded by another process.") from None
        except OSError:
            pass  # a file system without locks
        yield
