"""Nearest matches that messages name."""

from __future__ import annotations

import pytest

from rlcli.errors import nearest

KEYS = ("algo.clip", "algo.clip_high", "behaviour/ess", "update/ess", "seed")


@pytest.mark.parametrize(
    ("word", "first"),
    [("seeed", "seed"), ("algo.clipp", "algo.clip"), ("CLIPP", "algo.clip"), ("es", "behaviour/ess")],
)
def test_a_part_of_a_name_finds_it_where_no_whole_name_is_similar(word: str, first: str) -> None:
    assert nearest(word, KEYS)[0] == first


def test_every_name_with_that_last_part_is_a_match_up_to_the_limit() -> None:
    assert nearest("es", KEYS) == ["behaviour/ess", "update/ess"]
    assert nearest("es", KEYS, count=1) == ["behaviour/ess"]
    assert nearest("zzz", KEYS) == []
