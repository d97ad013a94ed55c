"""Rows of metrics as a table, one column per metric: a pandas DataFrame, or arrays without pandas."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.catalog.table import METRICS
from rlcli.errors import UserError, unknown

Table = Any
"""pandas.DataFrame, or a dictionary of numpy arrays."""
Row = Mapping[str, Any]


def metrics_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> Table:
    """A table of rows; `columns` are the metrics it has, by default all that a row has.

    Raises:
        UserError: there is no metric of that name.
    """
    found = arrays(rows, _names(rows, columns))
    if importlib.util.find_spec("pandas") is None:
        return found
    import pandas

    return pandas.DataFrame(found)


def arrays(rows: Sequence[Row], names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """One array per metric; NaN where a row lacks it.

    Whole numbers that no row lacks stay whole. What is a list per update (`epochs/...`) is an array of
    objects.
    """
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    kinds = {type(value) for value in values}
    filled = [np.nan if value is None else value for value in values]
    if kinds <= {int, float, bool, type(None)}:
        with contextlib.suppress(OverflowError):
            return np.array(filled, np.int64 if kinds == {int} else np.float64)
    objects = np.empty(len(filled), object)
    objects[:] = filled
    return objects


def _names(rows: Sequence[Row], columns: Sequence[str] | None) -> list[str]:
    present = dict.fromkeys(name for row in rows for name in row)
    if columns is None:
        return list(present)
    names = [columns] if isinstance(columns, str) else list(columns)
    known = {**dict.fromkeys(METRICS), **present}
    faults = [unknown("metric", name, list(known)) for name in names if name not in known]
    if faults:
        raise UserError(*faults, hint="All metrics: rlcli explain")
    return names
