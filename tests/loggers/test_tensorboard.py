from __future__ import annotations

import importlib.util
import shutil
import threading

import pytest

from rlcli.errors import UserError
from rlcli.loggers import tensorboard
from rlcli.loggers.tensorboard import TensorboardLogger


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
    (info.dir / "events.out.tfevents.0000000001.here.7.0").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        TensorboardLogger(info)
    assert not elsewhere.exists()
