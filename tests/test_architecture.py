"""The architecture page: its picture, the ten lines of an update, its table of changes, every name on it."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rlcli.config.compose import compose
from rlcli.config.schema.keys import KEYS
from rlcli.runs.train import train
from tests.test_imports import LAYERS, PACKAGE, ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
CHANGES = (
    "algorithm", "surrogate formula", "target formula", "penalty formula", "network", "distribution",
    "environment", "metric", "key", "what the user's own code may do", "wrapper of our own",
    "format of exports", "verb", "page of a report", "logger", "launcher", "sampler", "kernel",
    "figure of a comparison", "alert", "plot", "run-directory file",
)  # fmt: skip
NAMED = re.compile(r"`([\w./-]+\.py)::([\w.]+)`")
"""`file.py::name`."""
PLACEHOLDER = re.compile(r"\b(NAME|ID|ENV|N)\b")


def section(title: str) -> str:
    """The text below a heading."""
    [found] = re.findall(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def place(path: str) -> Path:
    """The file or folder that a path on the page means."""
    outside = path.startswith(("conf/", "docs/", "rlcli/", "scripts/", "tests/"))
    return (ROOT if outside else PACKAGE) / path


def names(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    """Functions, classes, their members, and variables of a module or class, dotted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from names(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def picture() -> list[str]:
    """The lines of the picture of the folders."""
    [found] = re.findall(r"```text\n(.*?)```", section("Folders"), re.DOTALL)
    return str(found).splitlines()


def boxes() -> list[list[str]]:
    """The parts of rlcli in the picture, layer by layer, the highest first."""
    rows = [line.strip("│") for line in picture() if line.startswith("│")]
    return [[re.split(r"/|\.py", cell.strip())[0] for cell in row.split("│")] for row in rows]


def test_the_picture_has_every_layer_and_folder_in_this_order() -> None:
    there = {path.stem if path.suffix else path.name for path in PACKAGE.iterdir()}
    layers = [[part for part in layer if part in there] for layer in reversed(LAYERS)]
    assert boxes() == layers


def test_the_picture_fits_100_columns() -> None:
    assert max(map(len, picture())) <= 100


def test_every_file_on_the_page_exists() -> None:
    spans = re.findall(r"`([^`\n]+)`", PAGE)
    paths = {
        span.partition("::")[0] for span in spans if re.fullmatch(r"[\w./-]+(\.py|\.yaml|/)(::.*)?", span)
    }
    of_a_run = {"config.yaml"}
    assert len(paths) > 80
    missing = [
        path
        for path in sorted(paths - of_a_run)
        if not (place(path) if not PLACEHOLDER.search(path) else _fixed_part(path)).exists()
    ]
    assert missing == []


def _fixed_part(path: str) -> Path:
    """The folder that a path with placeholders begins with."""
    parts = Path(path).parts
    fixed = next(index for index, part in enumerate(parts) if PLACEHOLDER.search(part))
    return place("/".join((*parts[:fixed], "")))


def test_every_name_on_the_page_exists() -> None:
    found = NAMED.findall(PAGE)
    assert len(found) > 40
    missing = [
        f"{path}::{name}"
        for path, name in found
        if name not in set(names(ast.parse(place(path).read_text())))
    ]
    assert missing == []


def test_every_key_on_the_page_exists() -> None:
    sections = {name.partition(".")[0] for name in KEYS if "." in name}
    keys = {
        span.partition("=")[0]
        for span in re.findall(r"`([a-z_]+\.[a-z_]+(?:=\w+)?)`", PAGE)
        if span.partition(".")[0] in sections and not span.endswith((".py", ".yaml"))
    }
    assert {"algo.anchor", "eval.every"} <= keys
    assert keys - set(KEYS) - {"sweep.json"} - {f"sweep.{name}" for name in _sweep_keys()} == set()


def _sweep_keys() -> set[str]:
    from rlcli.config.schema.keys import walk
    from rlcli.config.schema.sweep import SweepConfig

    return {found.name for found in walk(SweepConfig, "")}


def test_each_change_has_a_row_with_files_and_tests() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+) \| (.+) \|$", section("Where does my change go"), re.MULTILINE)
    head, *body = rows
    assert head == ("change", "what to touch", "tests")
    assert tuple(change for change, _, _ in body) == CHANGES
    for change, touched, tests in body:
        assert re.search(r"`[\w./]+(\.py|\.yaml)(::\w+)?`", touched), change
        assert re.search(r"`tests/[\w./]+`", tests), change


def lines_of_an_update() -> list[list[tuple[str, str]]]:
    """Files and names in each numbered line."""
    text = section("The life of an update").strip().partition("\n\n")[0]
    numbered = re.split(r"^(\d+)\. ", text, flags=re.MULTILINE)[1:]
    assert numbered[::2] == [str(number) for number in range(1, 11)]
    return [NAMED.findall(line) for line in numbered[1::2]]


def test_an_update_calls_what_the_ten_lines_name_in_their_order(tmp_path: Path) -> None:
    """Calls of a run of one update, each name at its first call; of three step rules one is called."""
    lines = lines_of_an_update()
    wanted = {(str(PACKAGE / path), name): (path, name) for line in lines for path, name in line}
    called: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        key = (os.path.normpath(frame.f_code.co_filename), frame.f_code.co_qualname)
        if event == "call" and key in wanted:
            called.setdefault(wanted[key])

    overrides = ["algo=ppo", "total_steps=32", "algo.rollout_steps=8", "env.num_envs=4", "algo.minibatches=2",
                 "tuned=none", "logger=[jsonl]", "eval.episodes=1", "compute.kernel=torch"]  # fmt: skip
    config = compose(overrides).config
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        [result] = train([config], [tmp_path / "run"], quiet=True)
    finally:
        sys.setprofile(before)
    assert result.status == "finished"
    functions = [
        (path, function)
        for line in lines
        for path, function in line
        if not function.split(".")[-1][0].isupper()
    ]
    others = {("learner/trust_region.py", "trust_region"), ("learner/ppg.py", "ppg")}
    assert list(called) == [named for named in functions if named not in others]


def test_names_of_a_module_are_its_functions_classes_members_and_variables() -> None:
    source = "X: int = 1\nclass A:\n    y = 2\n    def f(self): ...\ndef g(): ...\n"
    assert set(names(ast.parse(source))) == {"X", "A", "A.y", "A.f", "g"}
