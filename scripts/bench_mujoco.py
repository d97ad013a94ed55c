"""Benchmark of MuJoCo environments stepped by rlcli against Gymnasium's: `make mujoco`.

Stepping alone, without a policy, on one core. Both versions play the same episodes under the same random
actions, in turns, so that a machine that slows down slows both. Times are of the processor: waiting for it
does not count. A third player is rlcli's version again, of which only the time inside MuJoCo's `mj_step`
counts: what would remain if all around it were free. Medians over the rounds; the comparison is the median of
the ratios within each round.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import shlex
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

import machine
from rlcli.config.schema.env import EnvConfig
from rlcli.envs.interface import VectorEnv
from rlcli.envs.mujoco.choice import MUJOCO_ENVS
from rlcli.envs.mujoco.vector import MujocoVectorEnv
from rlcli.envs.registry import make

ENVIRONMENTS = 8
"""Environments of one run."""
BACKENDS = ("gymnasium", "mujoco")


class Player:
    """An environment that plays episodes; `seconds` is the time that counts."""

    def __init__(self, env: VectorEnv) -> None:
        self.env = env
        self.seconds = 0.0

    def play(self, steps: int, seed: int) -> tuple[float, float]:
        """Microseconds per environment of a step and of a reset."""
        draws = np.random.default_rng(seed)
        action, shape = self.env.spec.action, (1, ENVIRONMENTS)
        ended = np.ones(shape, np.bool_)
        stepping = resetting = 0.0
        resets = 0
        for _ in range(steps):
            seeds = draws.integers(2**31, size=shape)
            actions = draws.uniform(action.low, action.high, (*shape, *action.shape)).astype(np.float32)
            begun = time.thread_time()
            if ended.any():
                self.env.reset(seeds, ended)
                resets += int(ended.sum())
            reset = time.thread_time()
            step = self.env.step(actions)
            stepping += time.thread_time() - reset
            resetting += reset - begun
            ended = step.terminated | step.truncated
        return stepping / steps / ENVIRONMENTS * 1e6, resetting / resets * 1e6


class InsideMujoco(Player):
    """rlcli's version, of which only the time inside `mj_step` counts."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        assert isinstance(env, MujocoVectorEnv)
        env._simulations._mujoco = types.SimpleNamespace(**vars(mujoco) | {"mj_step": self._step})

    def _step(self, model: Any, data: Any, frames: int) -> None:
        begun = time.thread_time()
        mujoco.mj_step(model, data, frames)
        self.seconds += time.thread_time() - begun

    def play(self, steps: int, seed: int) -> tuple[float, float]:
        """Microseconds per environment inside `mj_step`, and of a reset."""
        self.seconds = 0.0
        _, reset = super().play(steps, seed)
        return self.seconds / steps / ENVIRONMENTS * 1e6, reset


def measure(env_id: str, rounds: int, steps: int) -> dict[str, Any]:
    """All players of one environment."""
    envs = [
        make(EnvConfig(id=env_id, backend=backend, num_envs=ENVIRONMENTS), 1)
        for backend in (*BACKENDS, "mujoco")
    ]
    players = [Player(envs[0]), Player(envs[1]), InsideMujoco(envs[2])]
    found = [[player.play(steps, seed) for player in players] for seed in range(rounds)]
    for env in envs:
        env.close()
    columns = list(zip(*found, strict=True))
    return {
        "env": env_id,
        **{
            f"step_us_{name}": statistics.median(step for step, _ in column)
            for name, column in zip((*BACKENDS, "inside_mj_step"), columns, strict=True)
        },
        **{
            f"reset_us_{name}": statistics.median(reset for _, reset in column)
            for name, column in zip(BACKENDS, columns, strict=False)
        },
        "step_times": statistics.median(theirs[0] / ours[0] for theirs, ours, _ in found),
        "step_times_rounds": [round(theirs[0] / ours[0], 3) for theirs, ours, _ in found],
        "reset_times": statistics.median(theirs[1] / ours[1] for theirs, ours, _ in found),
    }


def table(result: dict[str, Any]) -> str:
    """The result as markdown."""
    lines = [
        "# Speed of MuJoCo environments",
        "",
        "Environments alone, without a policy: random actions, ended episodes begun anew, the same episodes "
        "for both versions. Microseconds of processor time per step of one environment, of "
        f"{ENVIRONMENTS} in a run, and per reset; `mj_step` is the part of rlcli's time that MuJoCo itself "
        "takes.",
        "",
        "| environment | step, Gymnasium | step, rlcli | `mj_step` alone | times | range of times "
        "| reset, Gymnasium | reset, rlcli | times |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        times = row["step_times_rounds"]
        cells = [
            row["env"],
            *(f"{row[f'step_us_{name}']:,.1f}" for name in (*BACKENDS, "inside_mj_step")),
            f"{row['step_times']:.2f}",
            f"{min(times):.2f} to {max(times):.2f}",
            *(f"{row[f'reset_us_{name}']:,.0f}" for name in BACKENDS),
            f"{row['reset_times']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"`{result['command']}`: one core; medians of {result['rounds']} rounds of {result['steps']} steps, "
        f"alternating; load {result['load_before']:.2f} before, {result['load_after']:.2f} after; "
        f"{result['date']}.",
        "",
        *machine.table(result["with"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write it and its numbers under docs/results/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each measurement")
    parser.add_argument("--steps", type=int, default=100, help="steps of a round")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where mujoco.md and .json go")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = []
    for env_id in MUJOCO_ENVS:
        rows.append(measure(env_id, options.rounds, options.steps))
        print(rows[-1], flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["scripts/bench_mujoco.py", *sys.argv[1:]]),
        "rounds": options.rounds,
        "steps": options.steps,
        "load_before": load,
        "load_after": os.getloadavg()[0],
        "rows": rows,
        "with": {**machine.description(), "mujoco": importlib.metadata.version("mujoco")},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "mujoco.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "mujoco.md").write_text(table(result))
    print("\n" + table(result))


if __name__ == "__main__":
    main()
