"""Benchmark of steps and resets of the array environments against Gymnasium's: `make envs`.

Stepping alone, without a policy: random actions, ended episodes restarted. Both versions take turns on one
core, round by round, so that a machine that slows down slows both; a round lasts a fixed time, at least a
step. Medians over the rounds; the comparison is the median of the ratios within each round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import machine
from rlcli.config.schema.env import EnvConfig
from rlcli.envs.backend import ARRAY_ENVS
from rlcli.envs.interface import VectorEnv
from rlcli.envs.registry import make

SIZES = {8: (1, 8), 256: (32, 8), 8192: (32, 256)}
"""Environments in all, as runs times environments of one run."""
BACKENDS = ("gymnasium", "array")


class Contestant:
    """One version of an environment, with actions and seeds drawn in advance."""

    def __init__(self, env: VectorEnv, draws: np.random.Generator) -> None:
        self.env = env
        shape = (env.num_runs, env.num_envs)
        action = env.spec.action
        self.actions: npt.NDArray[Any] = (
            draws.integers(action.width, size=(16, *shape))
            if action.kind == "discrete"
            else draws.uniform(action.low, action.high, size=(16, *shape, *action.shape)).astype(np.float32)
        )
        self.seeds = draws.integers(2**31, size=shape)
        self.everywhere = np.ones(shape, np.bool_)
        self.count = 0
        self.reset()

    def reset(self) -> None:
        """Begins a new episode in every environment."""
        self.seeds = (self.seeds + 1) % 2**31
        self.env.reset(self.seeds, self.everywhere)

    def step(self) -> None:
        """Steps every environment, and begins a new episode where one ended."""
        self.count += 1
        step = self.env.step(self.actions[self.count % len(self.actions)])
        ended = step.terminated | step.truncated
        if ended.any():
            self.seeds = (self.seeds + 1) % 2**31
            self.env.reset(self.seeds, ended)


def rate(once: Callable[[], None], seconds: float) -> float:
    """How many times a second, over that many seconds."""
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or not done:
        once()
        done += 1
    return done / spent


def measure(env_id: str, size: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Both versions of one environment at one size."""
    runs, count = SIZES[size]
    contestants = [
        Contestant(
            make(EnvConfig(id=env_id, backend=backend), runs, num_envs=count), np.random.default_rng(0)
        )
        for backend in BACKENDS
    ]
    found: dict[str, Any] = {"env": env_id, "environments": size}
    for what in ("step", "reset"):
        speeds = [[size * rate(getattr(one, what), seconds) for one in contestants] for _ in range(rounds)]
        for backend, column in zip(BACKENDS, zip(*speeds, strict=True), strict=True):
            found[f"{what}s_per_second_{backend}"] = statistics.median(column)
        found[f"{what}s_times"] = statistics.median(array / gymnasium for gymnasium, array in speeds)
    for one in contestants:
        one.env.close()
    return found


def table(result: dict[str, Any]) -> str:
    """The result as markdown."""
    lines = [
        "# Speed of environments",
        "",
        "Environments alone, without a policy: random actions, ended episodes begun anew. Every reset has a "
        "seed of its own.",
        "",
        "| environment | R x N | steps/s, Gymnasium | steps/s, array | times | resets/s, Gymnasium "
        "| resets/s, array | times |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        cells = [row["env"], f"{row['environments']:,}"]
        for what in ("step", "reset"):
            cells += [f"{row[f'{what}s_per_second_{backend}']:,.0f}" for backend in BACKENDS]
            cells.append(f"{row[f'{what}s_times']:,.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"One core; medians of {result['rounds']} rounds of {result['seconds']:g} s, alternating; load "
        f"before the start {result['load_before']:.2f}; {result['date']}.",
        "",
        *machine.table(result["with"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write it and its numbers under docs/results/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each measurement")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a round")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where envs.md and envs.json go")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for env_id in ARRAY_ENVS:
        for size in SIZES:
            rows.append(measure(env_id, size, options.rounds, options.seconds))
            print(rows[-1], flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "load_before": load,
        "rows": rows,
        "with": machine.description(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "envs.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "envs.md").write_text(table(result))
    print("\n" + table(result))


if __name__ == "__main__":
    main()
