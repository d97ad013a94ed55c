"""Commands run on directories that were made to do harm, and what holds however they end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlcli.runs.train import train
from tests.cli.conftest import Ended, Rlcli
from tests.cli.hostile.harm import (
    REFUSED,
    VERBS,
    Harm,
    contents,
    sign,
)
from tests.runs.tiny import tiny


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("honest") / "run"
    train([tiny(name="good")], [run])
    return run


@pytest.fixture
def secret(workplace: Path) -> Path:
    """A file that no run directory may reach."""
    path = workplace / "secret"
    path.write_text('{"version": 2, "password": "hunter2"}')
    return path


@pytest.fixture
def attack(
    honest: Path, workplace: Path, secret: Path, rlcli: Rlcli, quick_ope: None
) -> Callable[[Harm, str], Ended]:
    """Runs a verb on a copy of an honest run that was harmed; checks what holds for every ending."""

    def run(harm: Harm, verb: str) -> Ended:
        root = workplace / "stolen"
        hostile, good = root / "run", workplace / "good"
        shutil.copytree(honest, hostile)
        shutil.copytree(honest, good)
        harm(hostile)
        sign(hostile)
        before = contents(workplace)
        places = {"run": hostile, "root": root, "good": good}
        ended = rlcli(*(word.format(**places) for word in VERBS[verb]))
        assert "Traceback" not in ended.err
        assert "defect of rlcli" not in ended.err
        assert not list(workplace.rglob("pwned*")), "something in the directory was executed"
        assert contents(workplace) == before, "something outside of runs/ was written"
        for stream in (ended.out, ended.err):
            assert not set("\x1b\x07\x9b\x00\x08\r") & set(stream), "control characters reach the terminal"
            assert "hunter2" not in stream
        if ended.code in REFUSED:
            assert ended.err.startswith("Error: ")
            assert len(ended.err) < 4000
        return ended

    return run


@pytest.fixture(autouse=True)
def modules_as_before() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("evil"):
            del sys.modules[name]
