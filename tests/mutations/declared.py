"""Mutations declared beside the tests that must notice them: reader of the `broken_by` markers.

    @pytest.mark.broken_by("name", "maths/returns.py", "source text", "replacement", case="parameter id")
    def test_...

The files are parsed and not imported, so that collecting the mutations takes a moment.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MARKER = "broken_by"
FIELDS = ("name", "file", "text", "replacement", "case")
"""Arguments of a marker, in this order or by name; the last is optional."""


class Mutation(NamedTuple):
    """One replacement in one source file."""

    name: str
    file: str
    """Below rlcli/."""
    text: str
    """Occurs there exactly once."""
    replacement: str
    test: str
    """The node id, below tests/, of a test that passes before and fails after."""


def mutations(tests: Path) -> tuple[Mutation, ...]:
    """All mutations declared in the test files below `tests`, by file and line.

    ValueError, with file and line: a marker whose arguments are not literal strings, that has too few or too
    many, or that is not a decorator of a test; a name that another mutation has.
    """
    found: dict[str, Mutation] = {}
    places: dict[str, str] = {}
    for path in sorted(tests.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if MARKER not in source:
            continue
        tree = ast.parse(source, str(path))
        file = path.relative_to(tests).as_posix()
        unread = {id(node): node for node in ast.walk(tree) if _is_marker(node)}
        for test, decorator in _decorators(tree, file):
            if isinstance(decorator, ast.Call) and unread.pop(id(decorator.func), None):
                place = f"{path}:{decorator.lineno}"
                mutation = _mutation(decorator, test, place)
                if mutation.name in found:
                    raise ValueError(
                        f"{place}: another mutation is named {mutation.name!r}, at {places[mutation.name]}"
                    )
                found[mutation.name], places[mutation.name] = mutation, place
        for node in unread.values():
            raise ValueError(f"{path}:{node.lineno}: {MARKER}(...) may only decorate a test")
    return tuple(found.values())


def _is_marker(node: ast.AST) -> bool:
    """Whether this is the expression `pytest.mark.broken_by`."""
    return isinstance(node, ast.Attribute) and node.attr == MARKER


def _decorators(scope: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.expr]]:
    """The decorators of all tests of a module or class, each with the test's node id."""
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _decorators(node, f"{prefix}::{node.name}")
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            for decorator in node.decorator_list:
                yield f"{prefix}::{node.name}", decorator


def _mutation(marker: ast.Call, test: str, place: str) -> Mutation:
    """The mutation that one marker of a test declares."""
    if len(marker.args) > len(FIELDS):
        raise ValueError(f"{place}: {MARKER}(...) takes {', '.join(FIELDS)}")
    named = [(keyword.arg, keyword.value) for keyword in marker.keywords]
    given = [*zip(FIELDS, marker.args, strict=False), *named]
    values: dict[str | None, str] = {}
    for field, node in given:
        if field not in FIELDS or field in values:
            raise ValueError(f"{place}: {MARKER}(...) takes {', '.join(FIELDS)}, not {field or '**'}")
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            raise ValueError(f"{place}: {field} is not a literal string: {ast.unparse(node)}")
        values[field] = node.value
    missing = [field for field in FIELDS[:-1] if field not in values]
    if missing:
        raise ValueError(f"{place}: {MARKER}(...) without {', '.join(missing)}")
    case = values.pop("case", None)
    return Mutation(*(values[field] for field in FIELDS[:-1]), test if case is None else f"{test}[{case}]")
