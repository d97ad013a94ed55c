"""Sweeps whose cohorts train in other processes, which find the package and these tests."""

from __future__ import annotations

import pytest

from tests.sweeps.launchers.sweeps import ROOT


@pytest.fixture(autouse=True)
def found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
