"""A row is resolved once: nothing else in the learner asks for the name of a choice."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rlcli.learner
from rlcli.config.schema.keys import KEYS

FOLDER = Path(rlcli.learner.__file__).parent
CHOICES = {
    word for name, key in KEYS.items() if name.startswith("algo.") for word in (key.declaration.choices or ())
}


def compared(source: str) -> list[str]:
    """Choices of the schema that a module compares something with, or matches it against."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            inside = [part for one in (node.left, *node.comparators) for part in ast.walk(one)]
        elif isinstance(node, ast.MatchValue):
            inside = list(ast.walk(node))
        else:
            continue
        found += [part.value for part in inside if isinstance(part, ast.Constant) and part.value in CHOICES]
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_choices_are_compared_with_names_in_the_table_alone(path: Path) -> None:
    found = compared(path.read_text())
    if path.name == "table.py":
        assert len(found) > 10
    elif path.name == "hyperparameters.py":
        assert found == ["linear"], "schedules are declared beside their number"
    else:
        assert found == []
