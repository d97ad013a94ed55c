"""Failed runs of a cohort: those whose environments raised, or returned numbers that are not finite.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

import numpy as np
from numpy import vdot

from rlcli.envs.interface import Array
from rlcli.errors import NonFiniteError

Failures = dict[int, Exception]
"""First error of each failed run, by run."""


def check_finite(
    failures: Failures,
    env_id: str,
    values: Array,
    what: str,
    subject: Callable[[int, int], str] | None = None,
) -> None:
    """Marks as failed every run of `values [R, N, ...]` that has a number which is not finite.

    `subject(run, index)` names an environment in the message.
    """
    # A sum of squares is finite only where all numbers are; it takes a quarter of the time.
    if values.dtype.kind != "f" or isfinite(vdot(values, values)) or np.isfinite(values).all():
        return
    for run, row in enumerate(values):
        wrong = ~np.isfinite(row)
        if run not in failures and wrong.any():
            index, *element = np.argwhere(wrong)[0].tolist()
            named = f"{env_id}: environment {index}" if subject is None else subject(run, index)
            value = str(row[wrong][0])
            if wrong[index].size > 1:
                value += f" at index {element[0] if len(element) == 1 else tuple(element)}"
            failures[run] = NonFiniteError(f"{named} gave a non-finite {what} ({value}).")


def clear_rows(failures: Failures, *arrays: Array) -> None:
    """Writes zeros to the rows of failed runs."""
    for run in failures:
        for array in arrays:
            array[run] = 0


def keep_rows(failures: Failures, rows: Sequence[int]) -> Failures:
    """Failures of these runs alone, renumbered."""
    return {new: failures[old] for new, old in enumerate(rows) if old in failures}
