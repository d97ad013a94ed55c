"""Runs that exist in memory alone, for plots of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rlcli.analysis.history import History
from rlcli.analysis.selection import Run


class Made(Run):
    """A run with the given columns."""

    @cached_property
    def history(self) -> History:
        return HISTORIES[self.dir]


HISTORIES: dict[Path, History] = {}


def made(
    name: str,
    columns: dict[str, Sequence[float]],
    *,
    env: str = "CartPole-v1",
    algo: str = "ppo",
    seed: int = 0,
    status: str = "finished",
    overrides: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """A run; `algo__clip=0.1` is a setting."""
    folder = Path(name)
    count = max(map(len, columns.values()), default=0)
    updates = np.arange(1.0, count + 1)
    HISTORIES[folder] = History(
        {"update": updates, "env_steps": 100 * updates, "time/elapsed": updates}
        | {key: np.array(values, np.float64) for key, values in columns.items()},
        0,
    )
    summary = {"id": name, "name": name, "env": env, "algo": algo, "seed": seed, "status": status,
               "overrides": list(overrides)}  # fmt: skip
    flat = {"algo.name": algo, "env.id": env, "seed": seed}
    flat |= {key.replace("__", "."): value for key, value in settings.items()}
    return Made(folder, summary, flat)
