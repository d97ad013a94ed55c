"""The text of docs/extending.md."""

from __future__ import annotations

from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
