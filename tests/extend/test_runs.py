"""Runs with own code from the command line: recorded, refused where a copy names it, reproduced, told."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import from_yaml
from rlcli.errors import UserError
from rlcli.extend import importing
from rlcli.sweeps.cohort_job import CohortJob, train_cohort
from tests.cli.conftest import Rlcli
from tests.extend.conftest import ALGORITHM, METRIC, NETWORK, Write
from tests.runs.tiny import manifest_of

Forget = Callable[[], None]
WORDS = ("network=two", "algo=damped", "total_steps=64", "algo.rollout_steps=8", "algo.minibatches=2",
         "env.num_envs=2", "eval.episodes=1", "logger=jsonl", "name=one")  # fmt: skip


@pytest.fixture
def run(rlcli: Rlcli, write: Write) -> Path:
    write(NETWORK, ALGORITHM, METRIC, load=False)
    ended = rlcli("train", "--import", "mine", *WORDS)
    assert ended.code == 0, ended.err
    return Path("runs/one")


def test_a_run_records_its_module_and_is_read_without_it(run: Path, rlcli: Rlcli, forget: Forget) -> None:
    [code] = manifest_of(run)["own_code"]
    assert code["module"] == "mine"
    assert code["file"] == "mine.py"
    assert len(code["sha256"]) == 64
    forget()
    found = from_yaml((run / "config.yaml").read_text())
    assert found.own == {"network.two.width": 8, "algo.damped.damping": 0.5}
    assert rlcli("show", "runs/one").code == 0
    assert "mine" not in sys.modules


@pytest.mark.broken_by("a copied run imports its module", "store/modules.py", "*config.imports]", "]")
def test_a_copy_imports_nothing_until_the_module_is_named(run: Path, rlcli: Rlcli, forget: Forget) -> None:
    forget()
    shutil.copytree(run, "copy")
    for verb in ("eval", "resume", "reproduce"):
        ended = rlcli(verb, "copy")
        assert ended.code == 2
        assert "names the module 'mine'; no module is imported just because" in ended.err
        assert "mine" not in sys.modules
    assert rlcli("eval", "copy", "--import", "mine", "-n", "1").code == 0
    assert "mine" in sys.modules


def test_a_change_of_the_file_is_told(run: Path, rlcli: Rlcli) -> None:
    same = rlcli("reproduce", str(run))
    assert same.code == 0, same.err
    assert "has changed since" not in same.err
    with Path("mine.py").open("a") as file:
        file.write("# another\n")
    for words in (("reproduce", str(run)), ("resume", str(run), "total_steps=96")):
        ended = rlcli(*words)
        assert ended.code == 0, ended.err
        assert "mine.py has changed since (sha256" in ended.err


def test_a_module_that_lost_its_network_is_told(run: Path, rlcli: Rlcli, forget: Forget) -> None:
    forget()
    Path("mine.py").write_text(ALGORITHM + METRIC)
    ended = rlcli("eval", str(run))
    assert ended.code == 2
    assert "mine registers no network.name=two" in ended.err


def test_a_module_that_changed_its_keys(run: Path, rlcli: Rlcli, forget: Forget) -> None:
    """A new one has its default; a value that is not admitted any more is told."""
    forget()
    deeper = NETWORK.replace("outputs, width):\n    return", "outputs, width, depth):\n    return").replace(
        'keys={"width"', 'keys={"depth": rlcli.Setting(1, "Depth."), "width"'
    )
    Path("mine.py").write_text(deeper + ALGORITHM + METRIC)
    assert rlcli("eval", str(run), "-n", "1").code == 0
    forget()
    Path("mine.py").write_text(
        NETWORK.replace("Setting(8", "Setting(16").replace("ge=1", "ge=16") + ALGORITHM
    )
    ended = rlcli("eval", str(run))
    assert ended.code == 2
    assert "mine does not take network.two.width=8 any more" in ended.err
    assert "must be >= 16" in ended.err


def test_jobs_whose_module_a_worker_does_not_find_fail_with_its_name(tmp_path: Path) -> None:
    lost = dataclasses.replace(RunConfig(), imports=("no_such_module",))
    events: list[Any] = []
    job = CohortJob(tmp_path, ["a", "b"], [lost, lost], [(), ()], [None, None])
    assert train_cohort(job, events.append) is None
    assert [(one.name, one.result.status, one.result.exit_code) for one in events] == [
        ("a", "failed", 2),
        ("b", "failed", 2),
    ]
    assert "there is no module 'no_such_module'" in events[0].result.message


class _Package:
    name = "somebodys-package"


class _Entry:
    def __init__(self, module: str) -> None:
        self.name, self.module, self.dist = "mine", module, _Package


def test_an_installed_plug_in_needs_no_import(
    rlcli: Rlcli, write: Write, forget: Forget, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(NETWORK, ALGORITHM, load=False)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [_Entry("mine")])
    ended = rlcli("train", *WORDS)
    assert ended.code == 0, ended.err
    shutil.copytree("runs/one", "copy")
    forget()
    assert rlcli("eval", "copy", "-n", "1").code == 0


def test_an_installed_plug_in_that_raises_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("raise OSError('no disk')", load=False)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [_Entry("mine")])
    message = (
        r"plug-in 'mine' of the installed package somebodys-package: importing mine failed: mine.py:1: OSE"
    )
    with pytest.raises(UserError, match=message) as caught:
        importing.start()
    assert caught.value.hint == "Correct it, or remove it: pip uninstall somebodys-package"


def test_the_variable_imports_too(rlcli: Rlcli, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(NETWORK, ALGORITHM, load=False)
    monkeypatch.setenv("RLCLI_IMPORT", "mine")
    assert rlcli("train", "-m", *WORDS[:-1], "seed=0,1", "name=sweep", "cohort.workers=1").code == 0
    assert "network.two.width" in rlcli("explain", "network.two.width").out
    assert "damped" in rlcli("list", "algos").out
