"""Fixtures of tests that export tiny runs."""

from __future__ import annotations

from tests.cli.conftest import rlcli
from tests.runs.tiny import finished, trained

__all__ = ["finished", "rlcli", "trained"]
