"""Nothing that reads or writes a run directory can execute what it reads."""

from __future__ import annotations

import ast
import pickletools
from pathlib import Path

import pytest

import rlcli

EXECUTING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "yaml.load", "yaml.unsafe_load", "eval", "exec"}
FOLDERS = ("runs", "store", "backends", "collect")


def sources() -> list[Path]:
    package = Path(rlcli.__file__).parent
    return [path for folder in FOLDERS for path in (package / folder).rglob("*.py")]


def found(source: str) -> set[str]:
    """Imports and calls that could run what a file holds."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] in EXECUTING}
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in EXECUTING:
            names.add(str(node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            names.add(ast.unparse(node.func))
    return names


def test_no_module_can_run_what_it_reads() -> None:
    assert len(sources()) > 10
    assert {str(path): names for path in sources() if (names := found(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(path)",
        "import dill.source",
        "eval(x)",
    ],
)
def test_it_would_be_seen(source: str) -> None:
    assert found(source)


def test_no_file_of_a_run_is_a_pickle(finished: Path) -> None:
    for path in finished.rglob("*"):
        if path.is_file():
            with pytest.raises(Exception):  # noqa: B017 (any: it is not a pickle)
                list(pickletools.genops(path.read_bytes()))
