"""Standard terms: no identifier of rlcli is a word of the private dialect that the field's terms replaced."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "rlcli"

DIALECT = {
    "said": "output, message",
    "told": "reported, event, message",
    "heard": "received, on_event",
    "judged": "objective advantages, assessed",
    "standing": "status, state",
}
"""Each word with what to write instead."""


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Names that a module defines (variables, fields, arguments, functions, classes), with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def dialect_of(name: str) -> set[str]:
    """The words of the dialect in a name, such as `_said`, `by_said` or `ToldEvent`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)} & DIALECT.keys()


def test_no_identifier_is_a_word_of_the_dialect() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}: write {', or '.join(DIALECT[word] for word in words)}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, name in identifiers(path.read_text(encoding="utf-8"))
        if (words := dialect_of(name))
    ]
    assert found == []


def test_every_kind_of_definition_is_read() -> None:
    source = (
        "import json as heard\n"
        "class Said:\n    told: int = 0\n"
        "def _said(by_said, *, judged): self.standing = [heard for heard in ()]\n"
        "def fine(seed): taken = seed\n"
    )
    names = {name for _, name in identifiers(source) if dialect_of(name)}
    assert names == {"Said", "told", "_said", "by_said", "judged", "standing", "heard"}
