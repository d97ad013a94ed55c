"""MLflow's store read back with MLflow's own client."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rlcli.errors import StorageError, UserError
from rlcli.loggers import mlflow as logger_module
from rlcli.loggers import mlflow_files
from rlcli.loggers.mlflow import MlflowLogger

pytestmark = pytest.mark.filterwarnings("ignore:::mlflow", "ignore::FutureWarning")


@pytest.fixture
def client(tmp_path, monkeypatch):
    """MLflow's client of the store beside a run directory `runs/one`, and of one elsewhere."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_ALLOW_FILE_STORE",
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
    ):
        monkeypatch.delenv(name, raising=False)

    def connect(uri=None):
        from mlflow.tracking import MlflowClient

        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return MlflowClient(tracking_uri=uri or (tmp_path / "runs" / "mlruns").as_uri())

    return connect


@pytest.fixture
def log(make_info, make_row, tmp_path):
    """Logs the updates after `done` up to `last` of the run `one`, as a process that resumed after `done`."""

    def run(done, last, *, name="one", status="finished", **more):
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True, exist_ok=True)
        earlier = [(make_row(update), 1000.0 + update) for update in range(1, done + 1)]
        info = make_info(
            dir=directory,
            name=name,
            id=f"id-{name}",
            resumed=done > 0,
            started=1000.0,
            earlier=lambda: earlier,
            **more,
        )
        logger = MlflowLogger(info, pytest.fail)
        for update in range(done + 1, last + 1):
            logger.log(make_row(update))
        logger.close(status)
        return info

    return run


def steps(client, run, name="behaviour/ess"):
    return [one.step for one in client.get_metric_history(run.info.run_id, name)]


@pytest.mark.broken_by(
    "the rows of earlier processes stay beside those that are written anew",
    "loggers/mlflow.py",
    "rewrite(self._dir, batches)",
    "[append(self._dir, batch) for batch in batches]",
)
def test_the_store_holds_each_update_once_after_a_resume(client, log, tmp_path, capfd):
    log(0, 6, status="failed")
    log(4, 8, status="interrupted")
    info = log(7, 9)
    assert capfd.readouterr() == ("", "")
    found = client()
    (run,) = found.search_runs([found.get_experiment_by_name("rlcli").experiment_id])
    for name in ("behaviour/ess", "behaviour/kl_mu_pi", "epochs/ess", "train/return_100"):
        assert steps(found, run, name) == [1024 * update for update in range(1, 10)]
    values = [one.value for one in found.get_metric_history(run.info.run_id, "train/return_100")]
    assert values == [20.5 + update for update in range(1, 10)]
    times = [one.timestamp for one in found.get_metric_history(run.info.run_id, "behaviour/ess")]
    assert times[:7] == [1_000_000 + 1000 * update for update in range(1, 8)]
    assert (run.info.run_name, run.info.status) == ("one", "FINISHED")
    assert run.data.tags["rlcli.run_id"] == info.id
    assert (run.data.tags["mlflow.note.content"], run.data.tags["rlcli.tags"]) == ("why", "a, b")
    assert (run.data.params["algo.clip"], run.data.params["seed"]) == ("0.2", "0")
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name != "one"] == ["mlruns"]
    assert list(info.dir.iterdir()) == []


def test_runs_of_a_sweep_are_an_experiment(client, log, tmp_path):
    for name in ("widths/left", "widths/right"):
        log(0, 2, name=name, sweep="widths")
    found = client()
    runs = found.search_runs([found.get_experiment_by_name("widths").experiment_id])
    assert {run.info.run_name for run in runs} == {"widths/left", "widths/right"}
    assert all(steps(found, run) == [1024, 2048] for run in runs)


@pytest.mark.broken_by(
    "rows that a store elsewhere has are sent again",
    "loggers/mlflow.py",
    'if row["env_steps"] > self._step',
    'if row["env_steps"] > -1',
)
def test_a_store_that_the_user_names_gets_the_rows_that_it_lacks(client, log, tmp_path, monkeypatch):
    uri = (tmp_path / "elsewhere").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    log(0, 3, status="failed")
    log(2, 4, status="failed")
    log(4, 5)
    found = client(uri)
    (run,) = found.search_runs([found.get_experiment_by_name("rlcli").experiment_id])
    assert steps(found, run) == [1024, 2048, 3072, 4096, 5120]
    assert not (tmp_path / "runs" / "mlruns").exists()


def test_nothing_is_reported_and_no_variable_is_left_behind(client, log, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    log(0, 2)
    from mlflow.telemetry.client import get_telemetry_client

    assert get_telemetry_client() is None
    assert not {"MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"} & set(os.environ)


def test_names_that_are_no_files_below_the_folder_are_left_out():
    row = {
        "update": 1,
        "env_steps": 8,
        "../../x": 1.0,
        "/etc/x": 1.0,
        "a//b": 1.0,
        "a/.b": 1.0,
        "a/b.c-d": 2.0,
        "e": [],
    }
    assert mlflow_files.figures(row) == {"updates": 1, "a/b.c-d": 2.0}


def test_links_in_the_store_are_not_followed(tmp_path, make_row):
    outside = tmp_path / "outside"
    outside.mkdir()
    run = tmp_path / "run"
    (run / "metrics").mkdir(parents=True)
    (run / "metrics" / "behaviour").symlink_to(outside)
    with pytest.raises(StorageError, match="link"):
        mlflow_files.append(run, [(make_row(1), 1.0)])
    (run / "metrics.new").symlink_to(outside)
    with pytest.raises(StorageError, match="link"):
        mlflow_files.rewrite(run, [])
    assert list(outside.iterdir()) == []


def test_without_mlflow_the_message_says_how_to_install_it(info, monkeypatch):
    assert logger_module.available() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"logger=mlflow needs a package .*mlflow"):
        MlflowLogger(info)


SKINNY = """
import pathlib, sys
for name in ("alembic", "flask", "matplotlib", "pandas", "pyarrow", "scipy", "sklearn", "sqlalchemy"):
    sys.modules[name] = None
from rlcli.config.schema.run import RunConfig
from rlcli.loggers.interface import RunInfo
from rlcli.loggers.mlflow import MlflowLogger
info = RunInfo(
    id="x", name="run", dir=pathlib.Path(sys.argv[1]), config=RunConfig(), config_dict={}, total_steps=1
)
logger = MlflowLogger(info)
logger.log({"update": 1, "env_steps": 1024, "behaviour/ess": 0.5})
logger.close("finished")
"""


def test_the_small_package_is_enough(tmp_path):
    """Without what mlflow-skinny does not bring."""
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", SKINNY, str(run)],
        env=environment | {"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (written,) = (tmp_path / "runs" / "mlruns").glob("*/*/metrics/behaviour/ess")
    assert written.read_text().split()[1:] == ["0.5", "1024"]
