"""Fixtures of tests that train tiny runs."""

from __future__ import annotations

from tests.runs.tiny import finished, trained

__all__ = ["finished", "trained"]
