"""Forks of runs with own code, and own code that a fork brings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlcli.store.config_file import read_config
from tests.cli.conftest import Rlcli
from tests.extend.conftest import ALGORITHM, METRIC, NETWORK, Write

TINY = ("total_steps=64", "algo.rollout_steps=8", "algo.minibatches=2", "env.num_envs=2", "eval.episodes=1",
        "logger=jsonl", "tuned=none")  # fmt: skip


@pytest.fixture
def parent(rlcli: Rlcli, write: Write, forget: Callable[[], None]) -> None:
    """A run with a network and an algorithm of its own, in a process that knows nothing of them."""
    write(NETWORK, ALGORITHM, METRIC, load=False)
    ended = rlcli("train", "--import", "mine", "network=two", "algo=damped", *TINY, "name=parent")
    assert ended.code == 0, ended.err
    forget()


@pytest.mark.broken_by(
    "a fork reads its overrides before it imports its parent's modules",
    "cli/fork.py",
    "    source = read_source(named_run(run, quiet=quiet), which, imports or ())\n"
    "    command = parse_command(overrides or [], multirun=multirun)",
    "    command = parse_command(overrides or [], multirun=multirun)\n"
    "    source = read_source(named_run(run, quiet=quiet), which, imports or ())",
)
def test_a_fork_has_its_parents_code(parent: None, rlcli: Rlcli, forget: Callable[[], None]) -> None:
    ended = rlcli("fork", "parent", "algo.damped.damping=0.25", "name=child")
    assert ended.code == 0, ended.err
    config = read_config(Path("runs/child"))
    assert config.imports == ("mine",)
    assert config.own == {"network.two.width": 8, "algo.damped.damping": 0.25}
    forget()
    assert rlcli("reproduce", "child").out.startswith("identical: 4 updates")
    forget()
    shutil.copytree("runs/parent", "copy")
    refused = rlcli("fork", "copy")
    assert (refused.code, "names the module 'mine'" in refused.err) == (2, True)
    assert rlcli("fork", "copy", "--import", "mine", "-m", "seed=1,2", "cohort.workers=1").code == 0


def test_a_fork_brings_an_algorithm_and_leaves_one(
    rlcli: Rlcli, write: Write, forget: Callable[[], None]
) -> None:
    write(ALGORITHM, load=False)
    assert rlcli("train", *TINY, "network.hidden=[4]", "name=plain").code == 0
    ended = rlcli("fork", "plain", "--import", "mine", "algo=damped", "name=child")
    assert ended.code == 0, ended.err
    assert read_config(Path("runs/child")).imports == ("mine",)
    assert rlcli("fork", "child", "algo=ppo", "name=again").code == 0
    assert read_config(Path("runs/again")).imports == ()


def test_keys_of_another_network_are_refused(rlcli: Rlcli, write: Write) -> None:
    write(NETWORK, load=False)
    assert rlcli("train", *TINY, "network.hidden=[4]", "name=plain").code == 0
    ended = rlcli("fork", "plain", "--import", "mine", "network.two.width=3")
    assert ended.code == 2
    assert "network.two.width=3: a fork keeps its parent's network, mlp, which has no such key." in ended.err
