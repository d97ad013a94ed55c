"""Imports point one way: the folders of rlcli form layers, and a module imports only layers below its own."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.cli.loaded import loaded_by

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rlcli"

LAYERS = (
    ("errors", "text"),
    ("streams", "plain", "extras", "variables"),
    ("config", "catalog"),
    ("maths",),
    ("kernels", "theory"),
    ("envs", "nets"),
    ("extend",),
    ("collect",),
    ("learner",),
    ("actors",),
    ("backends", "loggers", "standalone"),
    ("store",),
    ("runs",),
    ("sweeps", "export"),
    ("analysis",),
    ("cli",),
    ("__init__", "__main__"),
)
"""Lowest first: what a layer holds may import the layers before it, and its own folder."""

RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

ONLY_IN = {
    "hydra": ("config",),
    "typer": ("cli",),
    # config: the ids a glob over env= is matched against; backends: the spaces SB3 wants; extend: the ids
    # that a module registers
    "gymnasium": ("envs", "config", "backends", "extend"),
    "ale_py": ("envs",),
    "minari": ("envs",),
    "wandb": ("loggers",),
    "mlflow": ("loggers",),
    "optuna": ("sweeps",),
    "stable_baselines3": ("backends",),
    "sb3_contrib": ("backends",),
    "joblib": ("sweeps",),
    "submitit": ("sweeps",),
    "ray": ("actors", "sweeps"),
    "scipy": ("analysis",),
    "matplotlib": ("analysis",),
    "imageio_ffmpeg": ("runs",),
    "onnx": ("export",),
    "onnxruntime": ("export",),
    "pandas": ("runs",),
}
"""Libraries that one folder wraps for all the others."""

PURE = {"maths": {"torch", "numpy"}, "theory": {"torch"}}
"""Folders of pure functions: besides rlcli and the standard library they know these alone."""


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Everything in a module, which several tests look through."""
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> Iterator[str]:
    """The dotted name of everything a module imports, in functions too; `from a import b` gives 'a.b'."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    """The part of rlcli a dotted name belongs to: 'rlcli.envs.spec' is of 'envs'."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__"


def faults(module: str, source: str) -> list[str]:
    """What is wrong with the imports of one module, as sentences."""
    part = part_of(module)
    found = []
    for name in imports(source):
        top = name.split(".")[0]
        if name == "rlcli.__version__":
            continue
        if top == "rlcli":
            target = part_of(name)
            if target != part and RANK[target] >= RANK[part]:
                found.append(f"{module} imports {name}: {part} may not know {target}")
        elif top in ONLY_IN and part not in ONLY_IN[top]:
            found.append(f"{module} imports {name}: only {ONLY_IN[top][0]} may know {top}")
        elif part in PURE and top not in PURE[part] | set(sys.stdlib_module_names):
            found.append(f"{module} imports {name}: {part} is pure")
    if part in PURE and any(name.startswith("rlcli.config") for name in imports(source)):
        found.append(f"{module} imports the config: {part} is pure")
    return found


def modules() -> dict[str, Path]:
    """Every module of rlcli by its dotted name."""
    return {
        ".".join(("rlcli", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_every_module_has_a_layer() -> None:
    tops = {name.split(".")[1] for name in modules()}
    assert tops - set(RANK) == set()


def test_imports_point_one_way() -> None:
    found = [fault for name, path in modules().items() for fault in faults(name, path.read_text())]
    assert found == []


@pytest.mark.parametrize("folder", ["cli", "config"])
def test_no_module_imports_itself_by_way_of_others(folder: str) -> None:
    """Imports in functions count too; those for types alone, under TYPE_CHECKING, do not."""
    known = modules()
    imported = {
        name: {
            module
            for found in imports(_at_run_time(path.read_text()))
            for module in (found, found.rpartition(".")[0])
            if module in known and module != name
        }
        for name, path in known.items()
        if name.startswith(f"rlcli.{folder}.")
    }

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = list(imported[start])
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += imported.get(name, ())
        return found

    assert [name for name in imported if name in reached(name)] == []


def _at_run_time(source: str) -> str:
    """The source without what only a type checker runs."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if ast.unparse(getattr(node, "test", node)) != "TYPE_CHECKING"]
    return ast.unparse(tree)


def test_hydra_is_imported_by_the_modules_named_after_it() -> None:
    importers = [
        name
        for name, path in modules().items()
        if any(found.split(".")[0] == "hydra" for found in imports(path.read_text()))
    ]
    assert all(name.startswith("rlcli.config.hydra_") for name in importers), importers


def assignments(source: str) -> Iterator[str]:
    """Attributes of other objects than `self` that a module assigns."""
    for node in nodes(source):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            text = ast.unparse(node)
            if not text.startswith("self.") or text.count(".") > 1:
                yield text


def test_nobody_writes_into_a_recorder_or_another_object_of_a_run() -> None:
    found = {name: list(assignments(path.read_text())) for name, path in modules().items()}
    folders = ("store", "runs")
    assert {name: texts for name, texts in found.items() if part_of(name) in folders and texts} == {}
    assert list(assignments("self.a = 1\nrun.updates += 1\nself.run.owed = None")) == [
        "run.updates",
        "self.run.owed",
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rlcli.maths.health", "from rlcli.learner import state"),
        ("rlcli.maths.health", "from rlcli.config.schema.algo import AlgoConfig"),
        ("rlcli.maths.health", "import yaml"),
        ("rlcli.envs.spec", "import rlcli.nets.mlp"),
        ("rlcli.config.schema", "def late():\n    from rlcli.envs import registry"),
        ("rlcli.catalog", "import rlcli"),
        ("rlcli.errors", "from rlcli import catalog"),
        ("rlcli.runs.train", "import wandb"),
        ("rlcli.collect.collector", "import gymnasium as gym"),
        ("rlcli.cli.train", "from hydra import compose"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("explain", "behaviour/ess"),
        ("explain", "algo.clip"),
    ],
    ids=" ".join,
)
def test_light_commands_load_no_heavy_library(command: tuple[str, ...]) -> None:
    assert loaded_by(*command) == set()
