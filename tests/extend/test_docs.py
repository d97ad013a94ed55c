"""The examples of docs/extending.md train as written, and what `rlcli new` writes passes as written."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli
from tests.extend.page import PAGE
from tests.test_examples import FILE, commands, words_of

FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```python\n(.*?)^```", PAGE, FILE))
TRAINED = [words_of(command) for command in commands(PAGE) if command.startswith("rlcli train")]
TINY = ("total_steps=256", "algo.rollout_steps=16", "algo.minibatches=2", "env.num_envs=4",
        "eval.episodes=1", "logger=jsonl", "tuned=none")  # fmt: skip


@pytest.fixture
def page(workplace: Path) -> Path:
    for name, text in FILES.items():
        (workplace / name).write_text(text)
    return workplace


def test_there_is_an_example_of_each() -> None:
    assert list(FILES) == ["guess.py", "residual.py", "quadratic.py", "tails.py"]
    assert len(TRAINED) == 6


@pytest.mark.parametrize("words", TRAINED, ids=" ".join)
def test_an_example_trains_as_written(words: list[str], page: Path, rlcli: Rlcli) -> None:
    sweep = ("cohort.workers=1",) if "-m" in words else ()
    ended = rlcli(*words, *TINY, *sweep, "name=made")
    assert ended.code == 0, ended.err
    rows = [
        json.loads(row)
        for path in (page / "runs").rglob("metrics.jsonl")
        for row in path.read_text().splitlines()
    ]
    assert rows
    assert all(("mine/kurtosis" in row) == ("tails" in words) for row in rows)


@pytest.mark.parametrize(
    ("part", "name"),
    [("environment", "begun"), ("network", "mine"), ("algorithm", "mine"), ("environment", "env"),
     ("network", "module"), ("network", "nn"), ("algorithm", "rho")],
)  # fmt: skip
def test_what_new_writes_passes_as_written(part: str, name: str, workplace: Path, rlcli: Rlcli) -> None:
    """Whatever its name, also where the files have a variable of that name."""
    ended = rlcli("new", part, name)
    assert ended.code == 0, ended.err
    assert f"python -m pytest test_{name}.py, then rlcli train" in ended.out
    before = {path: path.read_bytes() for path in workplace.iterdir()}
    again = rlcli("new", part, name)
    assert again.code == 2
    assert f"{name}.py and test_{name}.py exist already; nothing was written" in again.err
    assert {path: path.read_bytes() for path in workplace.iterdir()} == before
    sys.path.append(str(workplace))
    written = importlib.import_module(f"test_{name}")
    tests = [found for name, found in vars(written).items() if name.startswith("test_")]
    assert len(tests) >= 2
    for number, test in enumerate(tests):
        given = {"tmp_path": workplace / str(number)}
        test(**{name: given[name] for name in inspect.signature(test).parameters})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("network", "mlp"), "network 'mlp' is rlcli's own"),
        (("algorithm", "clipped"), "algorithm 'clipped' is rlcli's own"),
        (("network", "My-Net"), "Such as: rlcli new network my_net"),
        (("network", "class"), "cannot be the name of a module"),
        (("environment", "none"), "Such as: rlcli new environment my_none"),
        (("network", "random"), "Python has a module 'random' already"),
        (("netwrk", "mine"), "Did you mean 'network'?"),
    ],
)
def test_a_wrong_name_writes_nothing(
    words: tuple[str, ...], message: str, workplace: Path, rlcli: Rlcli
) -> None:
    ended = rlcli("new", *words)
    assert ended.code == 2
    assert message in ended.err
    assert list(workplace.iterdir()) == []
