"""Comparison of returns between backend=native and backend=sb3, from the same commands: `make parity`.

Writes docs/results/parity.json and parity.md: for each algorithm and environment the difference of the mean
returns of the last checkpoints (100 deterministic episodes each) and its 95% bootstrap interval. Where the
peer itself does not learn, the pair is reported without a verdict. Rows that --algo or --env leave out stay
as they are.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
import numpy as np

import machine

RESAMPLES = 10_000
BACKENDS = ("native", "sb3")


@dataclass(frozen=True)
class Task:
    """An environment, and what is asked of the comparison on it."""

    margin: float
    """The lower end of the interval of native - sb3 must lie above minus this."""
    learned: float
    """The peer has learned when the median of its seeds reaches this."""


TASKS = {
    "CartPole-v1": Task(margin=15.0, learned=195.0),
    "Acrobot-v1": Task(margin=5.0, learned=-150.0),
    "Pendulum-v1": Task(margin=25.0, learned=-500.0),
}
ALGORITHMS = ("ppo", "a2c", "trpo")
OF_A2C = (
    "total_steps=300000", "env.num_envs=16", "algo.rollout_steps=8", "algo.gae_lambda=0.95",
    "algo.learning_rate=3e-3", "algo.learning_rate_schedule=linear",
)  # fmt: skip
SETTINGS = {
    ("ppo", "CartPole-v1"): ("total_steps=100000",),
    ("ppo", "Acrobot-v1"): ("total_steps=100000",),
    ("ppo", "Pendulum-v1"): ("total_steps=100000",),
    ("a2c", "CartPole-v1"): OF_A2C,
    ("a2c", "Acrobot-v1"): OF_A2C,
    ("a2c", "Pendulum-v1"): (
        *OF_A2C, "algo.gamma=0.9", "env.normalize_observation=true", "env.normalize_reward=true",
    ),
    ("trpo", "CartPole-v1"): ("total_steps=100000",),
    ("trpo", "Acrobot-v1"): ("total_steps=100000",),
    ("trpo", "Pendulum-v1"): ("total_steps=100000",),
}  # fmt: skip
"""What is typed beside algorithm, environment, backend and seed: the peer learns in it where it can."""
UNWATCHED = ("logger=[jsonl]", "eval.every=0", "eval.episodes=0")


def interval(native: list[float], sb3: list[float]) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of mean(native) - mean(sb3), seeds unpaired."""
    draws = np.random.default_rng(0)
    means = [draws.choice(np.array(returns), (RESAMPLES, len(returns))).mean(1) for returns in (native, sb3)]
    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    return float(low), float(high)


def compare(env: str, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One row of the table, from each backend's scored seeds."""
    task = TASKS[env]
    returns = {backend: [run["return_mean"] for run in found] for backend, found in runs.items()}
    low, high = interval(returns["native"], returns["sb3"])
    learned = statistics.median(returns["sb3"]) >= task.learned
    verdict = "not judged: the peer does not learn"
    if learned:
        verdict = "holds" if low > -task.margin else "does not hold"
    return {
        "runs": runs, "margin": task.margin,
        "mean": {backend: statistics.fmean(found) for backend, found in returns.items()},
        "median": {backend: statistics.median(found) for backend, found in returns.items()},
        "difference": statistics.fmean(returns["native"]) - statistics.fmean(returns["sb3"]),
        "interval": [low, high], "verdict": verdict,
    }  # fmt: skip


def typed(algo: str, env: str) -> tuple[str, ...]:
    """The overrides of a pair, as both backends get them."""
    return (f"algo={algo}", f"env={env}", *SETTINGS[algo, env])


def campaign(algo: str, env: str, options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Every seed of one algorithm on one environment, by both backends."""
    words = typed(algo, env)
    jobs = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for seed in range(options.seeds):
            for backend in BACKENDS:
                cell = figures.Cell((*words, f"backend={backend}", *UNWATCHED), options.seeds)
                jobs.append(pool.submit(figures.score, cell, seed, root))
    scored = [job.result() for job in jobs]
    halves = {backend: scored[index :: len(BACKENDS)] for index, backend in enumerate(BACKENDS)}
    return {"typed": words, "date": datetime.date.today().isoformat()} | compare(env, halves)


def table(rows: list[dict[str, Any]]) -> str:
    """The measured rows as a page of markdown."""
    lines = [
        "| command | env steps | seeds | native mean (median) | sb3 mean (median) | difference "
        "| 95% interval | must exceed | |",
        "|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for row in rows:
        seeds = row["runs"]["native"]
        means = " | ".join(f"{row['mean'][name]:.1f} ({row['median'][name]:.1f})" for name in BACKENDS)
        low, high = row["interval"]
        lines.append(
            f"| `rlcli train {' '.join(row['typed'])}` | {seeds[0]['env_steps']:,} | {len(seeds)} | {means} "
            f"| {row['difference']:+.1f} | [{low:.1f}, {high:.1f}] | {-row['margin']:g} | {row['verdict']} |"
        )
    lines += [
        "",
        f"Each command with `backend=native` and `backend=sb3`, `{' '.join(UNWATCHED)}` and every seed, then "
        f"`rlcli eval` of the last checkpoint, {figures.EPISODES} deterministic episodes; "
        f"{figures.period(rows)}. The difference is of means over seeds, its interval the percentile "
        f"bootstrap's, {RESAMPLES:,} resamples of each backend's seeds. The peer has learned when its median "
        f"reaches {', '.join(f'{task.learned:g} on {env}' for env, task in TASKS.items())}.",
        "",
        *machine.table(*(row["with"] for row in rows)),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the campaign, print the table, write it and its numbers; 1 where parity does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--algo", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--env", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each")
    parser.add_argument("--runs-dir", type=Path, help="keep the runs here")
    parser.add_argument(
        "--out", type=Path, default=machine.RESULTS, help="where parity.md and parity.json go"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / "parity.json"
    known = json.loads(written.read_text())["rows"] if written.exists() else []
    measured = {tuple(row["typed"]): row for row in known}
    described = machine.description()
    with tempfile.TemporaryDirectory(prefix="rlcli-parity-") as scratch:
        for algo, env in SETTINGS:
            if algo in options.algo and env in options.env:
                row = campaign(algo, env, options, options.runs_dir or Path(scratch))
                measured[typed(algo, env)] = row | {"with": described}
                rows = [measured[typed(*pair)] for pair in SETTINGS if typed(*pair) in measured]
                written.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
                (options.out / "parity.md").write_text("# Beside Stable-Baselines3\n\n" + table(rows))
    print("\n" + table(rows))
    return int(any(row["verdict"] == "does not hold" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
