"""Rows as JSON: the very text that the standard library writes, with the kernels and without."""

from __future__ import annotations

import json
import math

import pytest

from rlcli.kernels import library
from rlcli.loggers.numbers import row_as_json

ROWS = [
    {},
    {"update": 3, "env_steps": 2**62, "loss/policy": -0.1, "epochs/ess": [1.0, 1 / 3], "no": [], "z": -0.0},
    {"100% of π": 1e-300, 'a "quoted" name': 1e22, "below": -5, "nothing": 0, "naught": 0.0},
    {"text": "a, b", "number": 0.5},
    {"whole": [1, 2], "mixed": [1, 2.5], "true": True, "null": None},
]  # fmt: skip


@pytest.fixture(params=["c", "python"])
def way(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(library, "problem", lambda: "none was built")
    elif library.problem() is not None:
        pytest.skip("there is no library")


@pytest.mark.broken_by(
    "lists lose their brackets",
    "loggers/numbers.py",
    "f\"[{', '.join(['%s'] * size)}]\"",
    "', '.join(['%s'] * size)",
)
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.usefixtures("way")
def test_rows_are_written_as_json_writes_them(row):
    assert row_as_json(row) == json.dumps(row)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, [0.0, math.nan]], ids=str)
@pytest.mark.usefixtures("way")
def test_what_json_has_no_number_for_is_refused(odd):
    with pytest.raises(ValueError, match="finite"):
        row_as_json({"update": 1, "loss/policy": odd})
