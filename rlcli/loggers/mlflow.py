"""MLflow logger: an MLflow run per run, in `mlruns` beside the runs, or where MLFLOW_TRACKING_URI says.

The local store is MLflow's store of plain files, since the package mlflow-skinny can write it: a database
needs packages of 560 MB and 12 s to make its tables. MLflow calls that store complete and unchanged from now
on, and asks for the variable MLFLOW_ALLOW_FILE_STORE. Usage is not reported to MLflow's makers.

The step is env steps. A resumed run continues the MLflow run that has its id as a tag. In the local store its
metric files are written anew from the recorded rows; elsewhere rows that are there already are not sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.errors import UserError
from rlcli.extras import extra_command
from rlcli.loggers.interface import Row, RunInfo, TimedRow
from rlcli.loggers.mlflow_files import UPDATES, append, figures, rewrite
from rlcli.plain import make_folder
from rlcli.variables import variables

STORE = "mlruns"
"""Folder of the local store, beside the runs."""
EXPERIMENT = "rlcli"
"""Experiment of runs that belong to no sweep; those of a sweep have one of its name."""
RUN_ID = "rlcli.run_id"
FLUSH_EVERY = 2.0
"""Maximum seconds before logged rows are handed over."""
BATCH = 500
"""Rows handed over at once when a run is resumed."""
METRICS, PARAMS = 1000, 100
"""Maximum numbers of metrics and parameters in one call."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
"""Variables while MLflow is imported and called, unless they are set: no reports of usage, plain files."""
LONGEST_PARAM = 6000
"""Characters of a parameter that MLflow stores."""
STATUSES = {"finished": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}
"""MLflow's status by that of the run; any other is FAILED."""


def available() -> str | None:
    """None when MLflow is installed, else a message with how to install it."""
    if importlib.util.find_spec("mlflow") is None:
        return f"logger=mlflow needs a package that is not installed: {extra_command('mlflow')}"
    return None


class MlflowLogger:
    """Logger of rows to one MLflow run; a list is logged as its last value.

    Raises:
        UserError: MLflow is not installed.
        OSError, StorageError: the local store cannot be written.
        Exception: what MLflow's client raises.
    """

    def __init__(self, info: RunInfo, _: Callable[[str], None] = lambda _: None) -> None:
        if missing := available():
            raise UserError(missing)
        self._waiting: list[TimedRow] = []
        self._due = time.monotonic() + FLUSH_EVERY
        self._step = -1
        """The last step that a store elsewhere has."""
        root = info.dir.absolute().parents[1 if info.sweep else 0]
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        self._dir: Path | None = None
        """The MLflow run's folder in the local store."""
        with variables(QUIET):
            from mlflow.tracking import MlflowClient

            if not uri:
                make_folder(root / STORE)
                uri = (root / STORE).as_uri()
                self._client = MlflowClient(tracking_uri=uri)
                with _locked(root / STORE):
                    experiment, self._run_id = self._begin(info)
                self._dir = root / STORE / experiment / self._run_id
            else:
                self._client = MlflowClient(tracking_uri=uri)
                experiment, self._run_id = self._begin(info)
            self._log_params(info.config_dict)
            self._log_earlier(info)

    def _begin(self, info: RunInfo) -> tuple[str, str]:
        """Experiment and id of the MLflow run: the one that has the run's id, else a new one."""
        name = Path(info.sweep).name if info.sweep else EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        if info.resumed:
            runs = self._client.search_runs([experiment], f"tags.`{RUN_ID}` = '{info.id}'", max_results=1)
            if runs:
                self._client.update_run(runs[0].info.run_id, status="RUNNING")
                return experiment, runs[0].info.run_id
        tags = {
            RUN_ID: info.id,
            "rlcli.tags": ", ".join(info.config.tags),
            "mlflow.note.content": info.config.notes,
        }
        made = self._client.create_run(
            experiment,
            start_time=int(1000 * (info.started or time.time())),
            run_name=info.name,
            tags={key: text for key, text in tags.items() if text},
        )
        return experiment, made.info.run_id

    def _log_params(self, config: Mapping[str, Any]) -> None:
        """Logs the settings by their names; those that a resume changed stay, as MLflow has each once."""
        from mlflow.entities import Param

        known = self._client.get_run(self._run_id).data.params
        params = [Param(name, text) for name, text in _leaves(config) if name not in known]
        for place in range(0, len(params), PARAMS):
            self._client.log_batch(self._run_id, params=params[place : place + PARAMS])

    def _log_earlier(self, info: RunInfo) -> None:
        """Logs the recorded rows of earlier processes."""
        rows = list(info.earlier())
        batches = [rows[place : place + BATCH] for place in range(0, len(rows), BATCH)]
        if self._dir is not None:
            if info.resumed:
                rewrite(self._dir, batches)
            return
        if info.resumed:
            there = self._client.get_metric_history(self._run_id, UPDATES)
            self._step = max((one.step for one in there), default=-1)
        for batch in batches:
            self._send(batch)

    def log(self, row: Row, /) -> None:
        """Queues a row; if due, hands over the queue."""
        self._waiting.append((dict(row), time.time()))
        if time.monotonic() >= self._due:
            self.settle()

    def settle(self) -> None:
        """Hands over the rows that wait."""
        batch, self._waiting = self._waiting, []
        if batch and self._dir is not None:
            append(self._dir, batch)
        elif batch:
            self._send(batch)
        self._due = time.monotonic() + FLUSH_EVERY

    def _send(self, rows: Sequence[TimedRow]) -> None:
        """Sends rows to a store elsewhere, except those that it has."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), int(1000 * at), row["env_steps"])
            for row, at in rows
            if row["env_steps"] > self._step
            for name, value in figures(row).items()
        ]
        for place in range(0, len(metrics), METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[place : place + METRICS])

    def message(self, text: str, /) -> None:
        """Does nothing: MLflow shows no messages."""

    def close(self, status: str, /) -> None:
        """Ends the MLflow run."""
        self.settle()
        with variables(QUIET):
            self._client.set_terminated(self._run_id, STATUSES.get(status, "FAILED"))


def _leaves(config: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of all settings."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", str(value)[:LONGEST_PARAM]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock on a folder: two processes that make one experiment would make two."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
