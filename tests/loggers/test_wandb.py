from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from rlcli.errors import UserError
from rlcli.loggers import wandb as wandb_logger
from rlcli.loggers import wandb_process, wandb_rows
from rlcli.loggers.interface import Loggers
from rlcli.loggers.wandb import WandbLogger
from tests.loggers.wandb_file import finished, of_type, records_to_the_end, rows


@pytest.fixture(autouse=True)
def _said_nothing_yet(monkeypatch):
    monkeypatch.setattr(wandb_logger, "_warned", set())


@pytest.fixture
def logged(make_info, make_row, capfd):
    """The records of an offline run of three updates, and what was printed meanwhile."""
    info = make_info(wandb={"mode": "offline", "project": "ratios", "entity": "team"}, sweep="clips")
    logger = WandbLogger(info, pytest.fail)
    for update in (1, 2, 3):
        logger.log(make_row(update))
    logger.message("hello")
    logger.close("finished")
    return finished(info.dir), capfd.readouterr()


def test_the_offline_file_holds_the_rows(logged):
    found, _ = logged
    history = rows(found)
    assert [row["update"] for row in history] == [1, 2, 3]
    assert [row["env_steps"] for row in history] == [1024, 2048, 3072]
    for row in history:
        assert row["behaviour/clip_fraction"] == 0.081
        assert row["behaviour/ess"] == 0.985
        assert row["behaviour/kl_mu_pi"] == 0.0081
        assert row["epochs/ess"] == 0.99


def test_an_alert_is_sent_once_and_not_again_by_a_resumed_run(make_info, make_row, monkeypatch):
    class Fake:
        sent: ClassVar[list[dict]] = []

        def alert(self, **given):
            self.sent.append(given)

        def define_metric(self, *_, **__):
            pass

    sent_rows = []
    monkeypatch.setattr(wandb_logger, "_resolve", lambda *_: "online")
    monkeypatch.setattr(wandb_logger, "_start", lambda *_: (Fake(), False))
    monkeypatch.setattr(wandb_logger, "through_log", lambda _: sent_rows.extend)
    logger = WandbLogger(make_info(), pytest.fail)
    loggers = Loggers({"wandb": lambda: logger}, pytest.fail)
    loggers.log(make_row(1))
    loggers.alert("low ESS", "Alert at update 1: ESS 0.3", 1)
    assert Fake.sent == [
        {"title": "ppo-CartPole-v1-0: low ESS", "text": "Alert at update 1: ESS 0.3", "level": "WARN"}
    ]
    assert [row["update"] for row, _ in sent_rows] == [1]
    logger._next_step = 3
    loggers.log(make_row(2))
    loggers.alert("heavy tail", "Alert at update 2", 2)
    assert len(Fake.sent) == 1


def test_the_offline_file_says_which_run_it_is(logged):
    (run,) = of_type(logged[0], "run")
    assert (run.display_name, run.run_group, list(run.tags), run.notes) == (
        "ppo-CartPole-v1-0", "clips", ["a", "b"], "why",
    )  # fmt: skip
    assert (run.project, run.entity) == ("ratios", "team")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["seed"] == 0
    assert config["algo"]["clip"] == 0.2
    assert config["run_id"] == "k3x9"


def test_env_steps_are_the_axis_of_every_metric(logged):
    defined = of_type(logged[0], "metric")
    assert [(metric.glob_name, metric.step_metric) for metric in defined if metric.glob_name] == [
        ("*", "env_steps")
    ]


def test_the_last_row_is_the_summary(logged):
    summary = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in of_type(logged[0], "summary")
        for item in record.update
    }
    assert (summary["env_steps"], summary["behaviour/ess"], summary["status"]) == (3072, 0.985, "finished")


def test_it_prints_nothing(logged):
    assert logged[1] == ("", "")


def test_rows_are_handed_over_together_and_keep_their_times(info, make_row, monkeypatch):
    class Run:
        summary: dict[str, object] = {}  # noqa: RUF012
        logged: list[tuple[int, float]] = []  # noqa: RUF012
        code = None

        def define_metric(self, *_, **__):
            pass

        def log(self, row, step):
            assert step == row["update"]
            self.logged.append((row["update"], row["_timestamp"]))

        def finish(self, exit_code):
            self.code = exit_code

    run, now = Run(), [1000.0]
    monkeypatch.setattr(wandb_logger, "_start", lambda *_: (run, True))
    monkeypatch.setattr(wandb_logger.time, "time", lambda: now[0])
    logger = WandbLogger(info, pytest.fail)
    handed_over = []
    for update in range(1, 8):
        logger.log(make_row(update))
        handed_over.append(len(run.logged))
        now[0] += 0.375
    assert handed_over == [0, 0, 3, 3, 5, 5, 7]
    logger.log(make_row(8))
    logger.close("finished")
    assert run.logged == [(update, 1000.0 + 0.375 * (update - 1)) for update in range(1, 9)]
    assert (run.summary["update"], run.code) == (8, 0)


@pytest.mark.broken_by(
    "a batch loses its last row",
    "loggers/wandb_rows.py",
    "for row, at in batch]",
    "for row, at in batch[:-1]]",
)
def test_rows_sent_as_messages_are_stored_as_rows_sent_one_by_one(make_info, make_row, monkeypatch, tmp_path):
    rows_of = {}
    for way in ("messages", "log"):
        if way == "log":
            monkeypatch.setattr(wandb_rows, "KNOWN", "none")
        info = make_info(wandb={"mode": "offline"}, dir=tmp_path / way)
        info.dir.mkdir()
        logger = WandbLogger(info, pytest.fail)
        for update in (1, 2, 3):
            logger.log(make_row(update, loss__policy=0.1 + update / 3, epochs__ess=[], train__episodes=0))
        logger.close("finished")
        found = finished(info.dir)
        steps = [record.step.num for record in of_type(found, "history")]
        names = {tuple(item.nested_key) for item in of_type(found, "history")[0].item}
        rows_of[way] = steps, names, [
            {name: value for name, value in row.items() if name not in ("_timestamp", "_runtime")}
            for row in rows(found)
        ]  # fmt: skip
    assert rows_of["messages"] == rows_of["log"]
    assert rows_of["messages"][0] == [1, 2, 3]
    assert [row["loss/policy"] for row in rows_of["messages"][2]] == [0.1 + n / 3 for n in (1, 2, 3)]


@pytest.mark.broken_by("long texts lose a bit", "loggers/wandb_rows.py", "number >>= 7", "number >>= 8")
def test_items_are_encoded_as_the_sdk_encodes_them():
    from wandb.proto.wandb_server_pb2 import ServerRequest

    items = [("update", "3"), ("loss/π", "0.1"), ("x" * 300, "1" * 40_000), ("none", "")]
    wanted, found = ServerRequest().record_publish.history, ServerRequest().record_publish.history
    for name, value in items:
        wanted.item.add(nested_key=(name,), value_json=value)
    found.MergeFromString(wandb_rows.Items(found.DESCRIPTOR).encode(items))
    assert found == wanted


def test_an_sdk_that_is_not_known_gets_rows_by_its_public_function(monkeypatch):
    monkeypatch.setattr(wandb_rows, "KNOWN", "0.9.")
    assert wandb_rows.messages(object()) is None
    monkeypatch.undo()
    assert wandb_rows.messages(object()) is None, "nor one without the parts that messages go through"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (0.1, "0.1"), (1e-300, "1e-300"), (3, "3"), (float("nan"), '"NaN"'),
     (float("-inf"), '"-Infinity"')],
)  # fmt: skip
def test_numbers_are_written_with_every_digit(value, text):
    assert wandb_rows.as_json([value]) == [text]


@pytest.mark.broken_by("rows wait past a checkpoint", "loggers/interface.py", "member.settle)", "str)")
def test_rows_before_a_checkpoint_do_not_wait(make_info, make_row):
    info = make_info(wandb={"mode": "offline"})
    logger = WandbLogger(info, pytest.fail)
    loggers = Loggers({"wandb": lambda: logger}, pytest.fail)
    for update in (1, 2, 3):
        loggers.log(make_row(update))
    assert [row["update"] for row, _ in logger._waiting] == [1, 2, 3]
    loggers.settle()
    assert logger._waiting == []
    loggers.close("finished")
    assert [row["update"] for row in rows(finished(info.dir))] == [1, 2, 3]


def test_a_group_named_wins_over_the_sweep(make_info):
    info = make_info(wandb={"mode": "offline", "group": "mine"}, sweep="clips")
    WandbLogger(info, pytest.fail).close("finished")
    (run,) = of_type(finished(info.dir), "run")
    assert run.run_group == "mine"


@pytest.mark.parametrize(
    ("status", "code"), [("finished", 0), ("pruned", 0), ("failed", 1), ("interrupted", 130)]
)
def test_it_is_finished_with_the_run_s_outcome(make_info, status, code):
    info = make_info(wandb={"mode": "offline"})
    logger = WandbLogger(info, pytest.fail)
    logger.close(status)
    logger.close("finished")
    (ended,) = of_type(finished(info.dir), "exit")
    assert ended.exit_code == code


def test_runs_side_by_side_keep_their_own_rows(make_info, make_row, tmp_path):
    infos = [
        make_info(wandb={"mode": "offline"}, dir=tmp_path / name, name=name, id=name)
        for name in ("left", "right")
    ]
    for info in infos:
        info.dir.mkdir()
    loggers = [WandbLogger(info, pytest.fail) for info in infos]
    for update in (1, 2):
        for logger, offset in zip(loggers, (0, 10), strict=True):
            logger.log(make_row(update + offset))
    for logger in loggers:
        logger.close("finished")
    updates = [[row["update"] for row in rows(finished(info.dir))] for info in infos]
    assert updates == [[1, 2], [11, 12]]


@pytest.mark.parametrize(("configured", "variable"), [("disabled", "online"), ("auto", "disabled")])
def test_disabled_leaves_no_trace(make_info, make_row, monkeypatch, configured, variable):
    monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: pytest.fail("looked for wandb"))
    info = make_info(wandb={"mode": configured})
    logger = WandbLogger(info, pytest.fail)
    logger.log(make_row(1))
    logger.close("finished")
    assert list(info.dir.iterdir()) == []


@pytest.mark.parametrize(
    ("configured", "variable", "key", "mode"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "offline", True, "offline"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "online", True, "online"),
        ("auto", "online", False, "offline"),
        ("online", "offline", True, "online"),
        ("online", None, False, "offline"),
        ("offline", "online", True, "offline"),
    ],
)
def test_the_mode(monkeypatch, configured, variable, key, mode):
    import wandb

    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)

    class Settings:
        mode = "online"

    class Setup:
        settings = Settings

    monkeypatch.setattr(wandb, "setup", lambda settings: Setup)
    monkeypatch.setattr(
        wandb, "login", lambda **how: key if how == {"prompt": False, "verify": False} else None
    )
    said: list[str] = []
    for _ in range(2):
        asked = wandb_logger.asked_mode(configured)
        assert wandb_logger._resolve(asked, said.append) == mode
    complained = (
        not key and "online" in (configured, variable) and mode == "offline" and configured != "offline"
    )
    assert len(said) == complained


def test_settings_files_are_respected(monkeypatch):
    import wandb

    class Setup:
        class settings:
            mode = "offline"

    monkeypatch.setattr(wandb, "setup", lambda settings: Setup)
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    assert wandb_logger._resolve(None, pytest.fail) == "offline"
    assert wandb_logger._resolve("online", pytest.fail) == "online"


def test_without_the_sdk_the_message_says_how_to_install_it(info, monkeypatch):
    assert wandb_logger.available() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install wandb"):
        WandbLogger(info)


def segments(run_dir):
    return sorted((run_dir / "wandb").glob("offline-run-*/run-*.wandb"))


@pytest.mark.broken_by(
    "a resumed run writes its own rows only",
    "loggers/wandb.py",
    "                self._log_earlier()\n",
    "                pass\n",
)
def test_a_run_resumed_offline_writes_one_complete_file(make_info, make_row):
    """Rows 1 to 3, the last of them after the checkpoint; then resumed twice."""
    for start, updates in ((0, (1, 2, 3)), (2, (3, 4)), (4, (5,))):
        earlier = [(make_row(update), 1000.0 + update) for update in range(1, start + 1)]
        info = make_info(
            wandb={"mode": "offline"}, start_steps=1024 * start, resumed=start > 0, started=1000.0,
            earlier=lambda earlier=earlier: earlier,
        )  # fmt: skip
        logger = WandbLogger(info, pytest.fail)
        for update in updates:
            logger.log(make_row(update))
        logger.close("interrupted")
    (only,) = segments(info.dir)
    found = records_to_the_end(only)
    assert [record.step.num for record in of_type(found, "history")] == [1, 2, 3, 4, 5]
    history = rows(found)
    assert [row["behaviour/kl_mu_pi"] for row in history] == [0.0081] * 5
    assert [(row["_timestamp"], row["_runtime"]) for row in history[:2]] == [(1001.0, 1.0), (1002.0, 2.0)]
    assert [run.run_id for run in of_type(found, "run")] == ["k3x9"]


def test_earlier_files_stay_until_the_new_one_is_whole(make_info, make_row, monkeypatch):
    info = make_info(wandb={"mode": "offline"})
    logger = WandbLogger(info, pytest.fail)
    logger.log(make_row(1))
    logger.close("interrupted")
    (before,) = segments(info.dir)
    info = make_info(wandb={"mode": "offline"}, resumed=True, earlier=lambda: [(make_row(1), 1.0)])
    logger = WandbLogger(info, pytest.fail)
    logger.log(make_row(2))
    logger.settle()
    assert before.exists()
    logger.close("finished")
    assert not before.exists()
    assert len(segments(info.dir)) == 1


def test_a_run_resumed_online_goes_on_in_the_same_run(make_info, monkeypatch):
    import wandb

    asked = []
    monkeypatch.setattr(wandb, "init", lambda **settings: asked.append((settings["id"], settings["resume"])))
    wandb_logger._init(make_info(), "online")
    wandb_logger._init(make_info(resumed=True), "online")
    wandb_logger._init(make_info(resumed=True), "offline")
    earlier = make_info(resumed=True).dir / "wandb"
    for name in ("run-20240102_000000-later", "offline-run-20240101_000000-k3x9-offline", "cache"):
        (earlier / name).mkdir(parents=True)
    wandb_logger._init(make_info(resumed=True), "online")
    assert asked == [("k3x9", None), ("k3x9", "allow"), ("k3x9", None), ("k3x9-offline", "allow")]


def test_what_starting_needs_is_not_left_to_child_processes(make_info, monkeypatch):
    ours = ("WANDB_CACHE_DIR", "WANDB_ERROR_REPORTING")
    for name in ours:
        monkeypatch.delenv(name, raising=False)
    WandbLogger(make_info(wandb={"mode": "offline"}), pytest.fail).close("finished")
    assert not set(ours) & set(os.environ)


def test_a_server_that_is_away_is_waited_for_once_and_earlier_segments_are_kept(info, monkeypatch):
    import wandb

    earlier, empty = (info.dir / "wandb" / f"run-2026010{day}_000000-k3x9" for day in (1, 2))
    earlier.mkdir(parents=True)
    tried: list[str] = []

    def init(_, mode, suffix=""):
        tried.append(mode + suffix)
        if mode == "online":
            empty.mkdir()
            raise wandb.errors.CommError("Timed out\nConsider something")
        return mode

    monkeypatch.setattr(wandb_logger, "_init", init)
    said: list[str] = []
    assert [wandb_logger._start(info, "online", said.append) for _ in range(2)] == [("offline", True)] * 2
    assert tried == ["online", "offline-offline", "offline"]
    assert said == [
        "W&B: no run could be started on its server: Timed out. "
        "Runs are logged offline; `rlcli sync` uploads them later."
    ]
    assert (earlier.exists(), empty.exists()) == (True, False)


def test_waiting_is_bounded_and_what_costs_time_is_off():
    settings = wandb_process.settings()
    assert (settings.init_timeout, settings.finish_timeout) == (10.0, 60.0)
    assert (settings.console, settings.save_code, settings.x_disable_stats) == ("off", False, True)
    assert not settings.x_save_requirements


LOGGED_IN = """
import pathlib, sys
from rlcli.config.schema.run import RunConfig
from rlcli.loggers import wandb, wandb_process
from rlcli.loggers.interface import RunInfo
wandb_process.INIT_TIMEOUT = 1.0
for name in ("first", "second"):
    path = pathlib.Path("runs", name)
    path.mkdir(parents=True)
    info = RunInfo(id=name, name=name, dir=path.resolve(), config=RunConfig(), config_dict={}, total_steps=1)
    logger = wandb.WandbLogger(info, lambda text: print("SAID", text))
    logger.log({"update": 1, "env_steps": 1024})
    logger.close("finished")
"""


@pytest.mark.parametrize("credentials", ["key", "netrc"])
def test_logged_in_without_a_network_goes_offline_and_says_so_once(tmp_path, credentials):
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(home), "WANDB_BASE_URL": "http://127.0.0.1:9", "PYTHONPATH": str(Path.cwd())}
    if credentials == "key":
        environment["WANDB_API_KEY"] = "0" * 40
    else:
        (home / ".netrc").write_text(f"machine 127.0.0.1:9 login user password {'0' * 40}\n")
        (home / ".netrc").chmod(0o600)
    kept = set(home.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOGGED_IN],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (said,) = done.stdout.splitlines()
    assert said.startswith("SAID W&B: no run could be started on its server: ")
    assert said.endswith("Runs are logged offline; `rlcli sync` uploads them later.")
    for name in ("first", "second"):
        assert [row["env_steps"] for row in rows(finished(tmp_path / "runs" / name))] == [1024]
        assert not list((tmp_path / "runs" / name / "wandb").glob("run-*"))
    assert set(home.rglob("*")) == kept
    assert {path.name for path in tmp_path.iterdir()} == {"home", "runs"}
