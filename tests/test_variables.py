"""Environment variables that are set for the length of a block."""

from __future__ import annotations

import contextlib
import os

import pytest

from rlcli.variables import variables

NAME, OTHER = "RLCLI_TEST_VARIABLE", "RLCLI_TEST_OTHER"


def test_a_variable_is_gone_after_the_block_also_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with contextlib.suppress(ValueError), variables({NAME: "1"}):
        assert os.environ[NAME] == "1"
        raise ValueError
    assert NAME not in os.environ


def test_the_users_own_value_stays_unless_it_is_replaced_and_then_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(NAME, "theirs")
    monkeypatch.delenv(OTHER, raising=False)
    with variables({NAME: "ours", OTHER: "ours"}):
        assert (os.environ[NAME], os.environ[OTHER]) == ("theirs", "ours")
    with variables({NAME: "ours"}, replaced=True):
        assert os.environ[NAME] == "ours"
    assert os.environ[NAME] == "theirs"
    assert OTHER not in os.environ


def test_a_block_that_removes_a_variable_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with variables({NAME: "1"}):
        del os.environ[NAME]
    assert NAME not in os.environ
