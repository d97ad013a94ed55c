"""Standard terms: no identifier of rlcli is a word of the private dialect that the field's terms replaced.

Texts for people (messages, README, docs) are plain English: none has a phrase that is not.
"""

from __future__ import annotations

import ast
import functools
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

PHRASES = {
    r"(?<!there )\b(is|are|was|were) no (?!longer|more|further|better|worse)\w": "is not a ..., cannot be",
    r"\blies in\b": "is in, saved to",
    r"\ball the same\b": "anyway",
    r"\bon the way\b": "during training",
    r"\bwho trains\b": "launcher",
    r"\bwhat was cut\b": "interrupted",
    r"\ba (line|row|file|job) an? (update|job|run|row)\b": "one line per update",
    r"\bone an? (line|row|job|core|update)\b": "one per core",
}
"""Phrases that are not plain English, as regular expressions, with what to write instead."""

parsed = functools.cache(ast.parse)
"""The tree of a source, which two tests read."""


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Names that a module defines (variables, fields, arguments, functions, classes), with their lines."""
    for node in ast.walk(parsed(source)):
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


def texts(source: str) -> Iterator[tuple[int, str]]:
    """String literals of a module other than docstrings, with their lines."""
    tree = parsed(source)
    bodies = [body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list)]
    described = {id(one.value) for body in bodies for one in body if isinstance(one, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.lineno, node.value


def phrases_of(text: str) -> list[str]:
    """The phrases in a text that are not plain English, each with what to write instead."""
    found = ((re.search(phrase, text, re.IGNORECASE), better) for phrase, better in PHRASES.items())
    return [f"{one[0]!r}: write {better}" for one, better in found if one]


def test_messages_are_plain_english() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {fault}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in texts(path.read_text(encoding="utf-8"))
        for fault in phrases_of(text)
    ]
    assert found == []


def test_pages_are_plain_english() -> None:
    root = PACKAGE.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]
    found = [
        f"{page.name}: {fault}"
        for page in pages
        for fault in phrases_of(" ".join(page.read_text(encoding="utf-8").split()))
    ]
    assert found == []


def test_phrases_are_found() -> None:
    source = 'def f():\n    """It lies in runs."""\n    return "It lies in runs", f"{1} is no run"\n'
    assert [text for _, text in texts(source)] == ["It lies in runs", " is no run"]
    assert phrases_of("It lies in runs") == ["'lies in': write is in, saved to"]
    assert all(map(phrases_of, ("'a' is no run", "A line an update", "one a core", "All the same")))
    assert not any(map(phrases_of, ("there is no run", "There are no runs", "it is no longer needed")))
