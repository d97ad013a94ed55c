"""Whether both backends learn equally well: the same commands with backend=native and backend=sb3.

Writes docs/results/parity.json and parity.md: for each algorithm and environment the difference of the mean
returns of the last checkpoints (100 deterministic episodes each) and its 95% bootstrap interval. Where the
peer itself does not learn, the pair is reported and not judged.
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
STEPS = {"ppo": 100_000, "a2c": 500_000, "trpo": 100_000}


def interval(native: list[float], sb3: list[float]) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of mean(native) - mean(sb3), seeds unpaired."""
    draws = np.random.default_rng(0)
    means = [draws.choice(np.array(returns), (RESAMPLES, len(returns))).mean(1) for returns in (native, sb3)]
    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    return float(low), float(high)


def compare(algo: str, env: str, steps: int, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One row of the table, from each backend's scored seeds."""
    task = TASKS[env]
    returns = {backend: [run["return_mean"] for run in found] for backend, found in runs.items()}
    low, high = interval(returns["native"], returns["sb3"])
    learned = statistics.median(returns["sb3"]) >= task.learned
    verdict = "not judged: the peer does not learn"
    if learned:
        verdict = "holds" if low > -task.margin else "does not hold"
    return {
        "algo": algo, "env": env, "total_steps": steps, "runs": runs, "margin": task.margin,
        "mean": {backend: statistics.fmean(found) for backend, found in returns.items()},
        "median": {backend: statistics.median(found) for backend, found in returns.items()},
        "difference": statistics.fmean(returns["native"]) - statistics.fmean(returns["sb3"]),
        "interval": [low, high], "verdict": verdict,
    }  # fmt: skip


def campaign(algo: str, env: str, options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Every seed of one algorithm on one environment, by both backends."""
    steps = options.total_steps or STEPS[algo]
    jobs = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for backend in BACKENDS:
            words = (f"algo={algo}", f"env={env}", f"backend={backend}", f"total_steps={steps}")
            cell = figures.Cell((*words, "logger=[jsonl]", "eval.every=0", "eval.episodes=0"), options.seeds)
            jobs += [pool.submit(figures.score, cell, seed, root) for seed in range(options.seeds)]
    scored = [job.result() for job in jobs]
    halves = {"native": scored[: options.seeds], "sb3": scored[options.seeds :]}
    return compare(algo, env, steps, halves)


def table(result: dict[str, Any]) -> str:
    """The result as a page of markdown."""
    lines = [
        "| algorithm | environment | env steps | native mean (median) | sb3 mean (median) | difference "
        "| 95% interval | must exceed | |",
        "|---|---|---:|---:|---:|---:|---|---:|---|",
    ]
    for row in result["rows"]:
        means = " | ".join(f"{row['mean'][name]:.1f} ({row['median'][name]:.1f})" for name in BACKENDS)
        low, high = row["interval"]
        lines.append(
            f"| {row['algo']} | {row['env']} | {row['total_steps']:,} | {means} | {row['difference']:+.1f} "
            f"| [{low:.1f}, {high:.1f}] | {-row['margin']:g} | {row['verdict']} |"
        )
    lines += [
        "",
        f"{result['seeds']} seeds a backend: `rlcli train algo=... env=... backend=native|sb3 "
        "total_steps=... seed=...`, then `rlcli eval` of the last checkpoint, "
        f"{figures.EPISODES} deterministic episodes; {result['date']}. The difference is of means over "
        f"seeds, its interval the percentile bootstrap's, {RESAMPLES:,} resamples of each backend's seeds. "
        "`scripts/parity.py` writes this page.",
        "",
        *machine.table(result["with"]),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the campaign, print the table, write it and its numbers; 1 where parity does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--algo", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--env", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--total-steps", type=int, help="instead of each algorithm's own")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one core each")
    parser.add_argument("--runs-dir", type=Path, help="keep the runs here")
    parser.add_argument(
        "--out", type=Path, default=machine.RESULTS, help="where parity.md and parity.json go"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rlcli-parity-") as scratch:
        root = options.runs_dir or Path(scratch)
        rows = [campaign(algo, env, options, root) for algo in options.algo for env in options.env]
    result = {
        "date": datetime.date.today().isoformat(), "with": machine.description(), "seeds": options.seeds,
        "rows": rows,
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "parity.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "parity.md").write_text("# Beside Stable-Baselines3\n\n" + table(result))
    print("\n" + table(result))
    return int(any(row["verdict"] == "does not hold" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
