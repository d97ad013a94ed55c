"""Recurrent state between steps. Shapes: R runs, N environments of one run, M numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.collect.state import CollectorState

Array = npt.NDArray[Any]


def forgotten(memory: Array | None, where: npt.NDArray[np.bool_]) -> Array | None:
    """Recurrent state [R, N, M], zero where episodes ended (mask [R, N])."""
    return None if memory is None else np.where(where[..., None], np.float32(0.0), memory)


def stacked(states: Sequence[CollectorState]) -> Array | None:
    """That of all runs [R, N, M]; None: their networks have none."""
    found = np.stack([state.memory for state in states])
    return found if found.shape[-1] else None
