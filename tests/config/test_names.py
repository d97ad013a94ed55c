"""Names of folders: what may be given, and what is cut where."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.config.compose import compose
from rlcli.config.names import LONGEST, fault, shortened
from rlcli.errors import UserError


@pytest.mark.parametrize("name", ["1e3", "a", "_", "\u03b5=0.2,l\u00e4ngst", "x" * LONGEST, "\u00fc" * 100])
def test_a_name_may_be(name: str, tmp_path: Path) -> None:
    assert fault(name) is None
    (tmp_path / name).mkdir()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "-m", "=a", "a b", "a\n", "last", "x" * 201, "\u00fc" * 101, "\U0001d6fc" * 51],
)
def test_a_name_is_refused_before_anything_is_made(name: str) -> None:
    assert fault(name) is not None
    with pytest.raises(UserError, match="name="):
        compose([f"name='{name}'"])


@pytest.mark.parametrize("character", ["x", "\u00fc", "\u20ac", "\U0001f40d", "e\u0301"])
def test_text_is_cut_in_bytes_and_no_character_is_cut(character: str, tmp_path: Path) -> None:
    for size in range(95, 101):
        cut = shortened(character * 100, size)
        assert size - 4 < len(cut.encode()) <= size
        assert (character * 100).startswith(cut)
        (tmp_path / f"{size}{cut}").mkdir()
    assert shortened(character, 100) == character
