"""Progress in a notebook: one line that is written anew, found without importing IPython."""

from __future__ import annotations

import sys

import pytest

from rlcli.loggers.console import console_logger
from rlcli.loggers.lines import LineLogger
from rlcli.loggers.notebook import REFRESH, NotebookLogger, bar, in_notebook
from rlcli.sweeps.progress import Lines, Notebook, display
from rlcli.sweeps.sweep import Job
from tests.loggers.ipython import notebook


def test_a_kernel_is_told_from_a_terminal(monkeypatch, info):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    assert "IPython" not in sys.modules
    notebook(monkeypatch, kernel=False)
    assert not in_notebook()
    assert isinstance(console_logger(info), LineLogger)
    assert isinstance(display([], {}, quiet=False), Lines)
    notebook(monkeypatch)
    assert in_notebook()
    assert isinstance(console_logger(info), NotebookLogger)
    assert isinstance(display([], {}, quiet=False), Notebook)


def test_a_module_of_another_ipython_is_no_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", sys)
    assert not in_notebook()


def test_one_line_is_written_anew(monkeypatch, info, make_row, clock, capsys):
    handles = notebook(monkeypatch)
    logger = NotebookLogger(info, clock)
    for update in range(1, 101):
        clock.now += REFRESH / 4
        logger.log(make_row(update))
    logger.message("a message")
    logger.close("finished")
    [handle] = handles
    assert 25 <= len(handle.shown) <= 28
    assert repr(handle.shown[0]).startswith(
        "ppo on CartPole-v1, seed 0  ░░░░░░░░░░░░░░░░░░░░   0%  0 / 102,400 steps"
    )
    last = repr(handle.shown[-1])
    assert "████████████████████ 100%  102,400 / 102,400 steps  8,192 steps/s  finished after 12 s" in last
    assert last.endswith("return 120.5  KL 0.0081  ESS 0.985  clip 0.081")
    assert capsys.readouterr().err == "a message\n"


def test_text_of_a_run_is_harmless(monkeypatch, make_info, clock):
    handles = notebook(monkeypatch)
    NotebookLogger(make_info(algo="<script>\x1b[2J"), clock)
    shown = handles[0].shown[0]._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert shown.startswith("<pre>&lt;script&gt;\\x1b[2J on ")


def test_a_sweep_is_a_line_too(monkeypatch, clock, capsys):
    handles = notebook(monkeypatch)
    jobs = [Job(f"seed={seed}", ()) for seed in range(2)]
    shown = Notebook(jobs, {job.name: 1000 for job in jobs}, clock)
    for steps in (250, 500, 1000):
        clock.now += REFRESH
        for job in jobs:
            shown.row(job.name, {"env_steps": steps, "train/return_100": 20.0})
    shown.ended(Job("seed=0", (), status="failed", message="why", env_steps=1000))
    shown.close(interrupted=False)
    [handle] = handles
    assert len(handle.shown) == 4
    assert "100% of 2,000 steps" in repr(handle.shown[-1])
    assert "seed=0 failed: why" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0.0, "░" * 20 + "   0%"), (0.5, "█" * 10 + "░" * 10 + "  50%")]
)
def test_a_bar(fraction, shown):
    assert bar(fraction) == shown
