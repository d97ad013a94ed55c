from __future__ import annotations

import importlib.util
import shutil
import threading

import pytest

from rlcli.errors import UserError
from rlcli.loggers import tensorboard
from rlcli.loggers.tensorboard import TensorboardLogger
from rlcli.loggers.tensorboard_layout import LAYOUT


def test_event_files_read_back(info, make_row):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorboardLogger(info)
    for update in (1, 2, 3):
        logger.log(make_row(update))
    logger.message("hello")
    logger.close("finished")
    (path,) = info.dir.glob("events.*")
    events = EventAccumulator(str(path)).Reload()

    def points(name):
        return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]

    assert points("train/return_100") == [(1024, 21.5), (2048, 22.5), (3072, 23.5)]
    assert points("behaviour/kl_mu_pi") == [(step, 0.0081) for step in (1024, 2048, 3072)]
    assert points("epochs/ess") == [(step, 0.99) for step in (1024, 2048, 3072)]
    assert (
        '"learning_rate": 0.00025'
        in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    )


@pytest.mark.broken_by(
    "files of earlier processes stay, and what they have is not ignored",
    "loggers/tensorboard.py",
    """            self._write(session_log=SessionLog(status=SessionLog.START))
""",
    """            earlier = []
""",
)
def test_a_resumed_run_has_each_point_once(make_info, make_row):
    """Rows 1 to 6, killed; then resumed from the checkpoint after update 4, twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for done, updates in ((0, range(1, 7)), (4, range(5, 7)), (5, range(6, 9))):
        earlier = [(make_row(update), 1000.0 + update) for update in range(1, done + 1)]
        logger = TensorboardLogger(
            make_info(resumed=done > 0, start_steps=1024 * done, earlier=lambda earlier=earlier: earlier)
        )
        for update in updates:
            logger.log(make_row(update))
        logger.close("interrupted")
    events = EventAccumulator(str(info_dir := make_info().dir)).Reload()
    for name in ("train/return_100", "behaviour/ess", "epochs/ess"):
        assert [event.step for event in events.Scalars(name)] == [1024 * update for update in range(1, 9)]
    assert [event.wall_time for event in events.Scalars("behaviour/ess")[:5]] == [
        1000.0 + update for update in range(1, 6)
    ]
    assert len(list(info_dir.glob("events.*"))) == 1


def test_what_a_killed_process_leaves_is_ignored_and_files_of_others_stay(make_info, make_row, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = make_info()
    logger = TensorboardLogger(first)
    for update in (1, 2, 3):
        logger.log(make_row(update))
    logger.close("failed")
    other = first.dir / "events.out.tfevents.notes"
    other.touch()
    monkeypatch.setattr(tensorboard, "_own_files", lambda _: [])  # killed before they were removed
    logger = TensorboardLogger(make_info(resumed=True, earlier=lambda: [(make_row(1), 1.0)]))
    logger.log(make_row(2))
    logger.close("finished")
    monkeypatch.undo()
    events = EventAccumulator(str(first.dir)).Reload()
    assert [event.step for event in events.Scalars("behaviour/ess")] == [1024, 2048]
    assert len(tensorboard._own_files(first.dir)) == 2
    assert other not in tensorboard._own_files(first.dir)


def test_the_layout_groups_metrics_by_health(info, make_row):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    from rlcli.catalog.table import METRICS

    logger = TensorboardLogger(info)
    logger.close("finished")
    events = EventAccumulator(str(info.dir)).Reload()
    (event,) = events.Tensors("custom_scalars__config__")
    found = Layout.FromString(event.tensor_proto.string_val[0])
    titles = [category.title for category in found.category]
    assert titles == list(LAYOUT)
    shown = {tag for category in found.category for chart in category.chart for tag in chart.multiline.tag}
    unknown = {tag.removesuffix("$") for tag in shown} - set(METRICS)
    assert not unknown
    assert {
        "behaviour/ess$",
        "behaviour/clip_fraction$",
        "behaviour/kl_mu_pi$",
        "update/budget_used$",
    } <= shown
    assert {name.partition("/")[0] for name in METRICS if "/" in name} == set(titles)


def test_without_tensorboard_the_message_says_how_to_install_it(info, monkeypatch):
    assert tensorboard.available() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        TensorboardLogger(info)


def test_a_directory_that_is_removed_ends_it_quietly(info, make_row, capfd):
    """Rows go on into a file that nobody sees any more; no thread is there to fail."""
    before = threading.active_count()
    logger = TensorboardLogger(info)
    assert threading.active_count() == before
    shutil.rmtree(info.dir)
    for update in (1, 2):
        logger._due = 0.0
        logger.log(make_row(update))
    logger.close("failed")
    assert capfd.readouterr() == ("", "")


def test_two_of_one_second_have_a_file_each(info, make_row):
    loggers = [TensorboardLogger(info) for _ in range(3)]
    for logger in loggers:
        logger.close("finished")
    assert len(list(info.dir.glob("events.*"))) == 3


def test_a_link_in_the_place_of_its_file_is_not_followed(info, monkeypatch, tmp_path):
    monkeypatch.setattr(tensorboard, "_files", iter([0]))
    monkeypatch.setattr(tensorboard.time, "time", lambda: 1.0)
    monkeypatch.setattr(tensorboard.socket, "gethostname", lambda: "here")
    monkeypatch.setattr(tensorboard.os, "getpid", lambda: 7)
    elsewhere = tmp_path / "elsewhere"
    (info.dir / "events.out.tfevents.0000000001.here.7.000000").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        TensorboardLogger(info)
    assert not elsewhere.exists()
