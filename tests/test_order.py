"""The order in which files of tests are handed out."""

from __future__ import annotations

from tests.conftest import LONGEST, ROOT


def test_the_files_that_come_first_are_there() -> None:
    assert [file for file in LONGEST if not (ROOT / file).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
