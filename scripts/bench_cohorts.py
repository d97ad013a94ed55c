"""Benchmark of cohorts, runs trained together as one program: `make cohorts`.

Three measurements, each on one core in new processes that take turns:

- How many steps per second do 32 seeds of PPO make as one cohort, beside one run of Stable-Baselines3?
- What does an env step cost in a cohort of 1, 4, 16, 64 and 256 members, and how much memory do they take?
- How long does a sweep of 32 seeds and 100,000 steps take from the command to the prompt, beside as many
  runs of Stable-Baselines3, one after the other in one process?

Ours is `rlcli train -m` as it is typed, with one worker, default loggers and every health figure; only
evaluation is off, since the peer has none. Speeds are those of the steady state, all members together, by
the times in their records, and the peer's the difference of a short and a long run. Other load on the machine
distorts the result: the load before the start is reported too.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bench
from bench_contests import BENCHMARK_SHAPE, CONTESTS, IN_C, SB3, SETTINGS
from bench_page import ratios, summary
from bench_parts import WARM_UP

import machine

MEMBERS = 32
STEPS = 100_000
SIZES = (1, 4, 16, 64, 256)
PEER_RUNS = 2
"""Runs of the peer that are timed in a round; the others would take as long."""
WORKS = {"PPO": BENCHMARK_SHAPE, "TRPO": CONTESTS["trpo-cartpole"].work}
OURS = {"rlcli, cohort": (), "rlcli, cohort, without W&B": ("logger=[console,jsonl]",)}
COUNTED = 320
"""Updates after the first ones that all members of a measured cohort make together, within bounds."""


class Cohort(NamedTuple):
    """What one sweep took."""

    steps_per_second: float
    """Of all members together, after the first updates."""
    memory_mb: float
    """Peak of its process."""
    seconds: float
    """From the command to the prompt."""


def cohort(name: str, members: int, updates: int, settings: Sequence[str] = ()) -> Cohort:
    """Trains so many seeds of a contest as one cohort."""
    work = WORKS[name]
    with tempfile.TemporaryDirectory(prefix="rlcli-cohorts-") as root:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [bench.RLCLI, work.command[0], "-m", *work.command[1:], *SETTINGS[IN_C], f"seed=range({members})",
             f"total_steps={updates * work.batch}", "cohort.workers=1", f"runs_dir={root}", *settings],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        if process.returncode:
            sys.exit(f"{work.command} of {members} seeds ended with {process.returncode}")
        spent = statistics.median(_seconds(path) for path in Path(root).glob("*/*/metrics.jsonl"))
    steps = members * work.batch * (updates - WARM_UP)
    return Cohort(steps / spent, usage.ru_maxrss * 1024 / 1e6, seconds)


def _seconds(record: Path) -> float:
    """Of one member, from the last of the first updates to the end."""
    elapsed = [json.loads(line)["time/elapsed"] for line in record.read_text().splitlines()]
    return float(elapsed[-1] - elapsed[WARM_UP - 1])


def peer_runs(count: int) -> list[float]:
    """Seconds of importing the peer, then of each of its runs, in this process."""
    begin = time.perf_counter()
    import stable_baselines3  # noqa: F401 -- its import is timed
    import torch

    torch.set_num_threads(1)
    marks = [begin, time.perf_counter()]
    for _ in range(count):
        BENCHMARK_SHAPE.peer().learn(STEPS)
        marks.append(time.perf_counter())
    return [after - before for before, after in itertools.pairwise(marks)]


def peer_sweep() -> float:
    """Seconds that the peer's runs take, one after the other."""
    command = [sys.executable, __file__, "--peer-runs", str(PEER_RUNS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    imports, *runs = [float(word) for word in done.stdout.split()]
    return imports + MEMBERS * statistics.median(runs)


def speeds(repeats: int, updates: int) -> dict[str, Any]:
    """Steps a second of the peer's run and of our cohort."""
    found: dict[str, list[float]] = {name: [] for name in (SB3, *OURS)}
    for _ in range(repeats):
        short, long = (
            bench.seconds("W1", sys.executable, SB3, length) for length in (bench.SHORT, 2 * updates)
        )
        found[SB3].append(BENCHMARK_SHAPE.batch * (2 * updates - bench.SHORT) / (long - short))
        for name, settings in OURS.items():
            found[name].append(cohort("PPO", MEMBERS, updates, settings).steps_per_second)
        print(", ".join(f"{name} {values[-1]:,.0f} steps/s" for name, values in found.items()), flush=True)
    return {
        name: summary(values) | {"times_the_peer": ratios(values, found[SB3])["median"]}
        for name, values in found.items()
    }


def costs(repeats: int) -> dict[str, Any]:
    """For each algorithm and size: microseconds per env step, and memory."""
    found: dict[str, dict[str, list[Cohort]]] = {name: {str(size): [] for size in SIZES} for name in WORKS}
    for _ in range(repeats):
        for name, sizes in found.items():
            for size, measured in sizes.items():
                updates = WARM_UP + max(3, min(20, COUNTED // int(size)))
                measured.append(cohort(name, int(size), updates))
                one = measured[-1]
                print(
                    f"{name} R={size}: {one.steps_per_second:,.0f} steps/s, {one.memory_mb:,.0f} MB",
                    flush=True,
                )
    return {
        name: {
            size: {
                "microseconds_a_step": summary([1e6 / one.steps_per_second for one in measured]),
                "memory_mb": max(one.memory_mb for one in measured),
            }
            for size, measured in sizes.items()
        }
        for name, sizes in found.items()
    }


def sweeps(repeats: int) -> dict[str, Any]:
    """Seconds of the whole sweep, ours and the peer's."""
    updates = -(-STEPS // BENCHMARK_SHAPE.batch)
    found: dict[str, list[float]] = {SB3: [], "rlcli": []}
    for _ in range(repeats):
        found[SB3].append(peer_sweep())
        found["rlcli"].append(cohort("PPO", MEMBERS, updates).seconds)
        print(", ".join(f"{name} {values[-1]:,.1f} s" for name, values in found.items()), flush=True)
    shares = [ours / peers for ours, peers in zip(found["rlcli"], found[SB3], strict=True)]
    return {name: summary(values) for name, values in found.items()} | {"share": summary(shares)}


def table(result: dict[str, Any]) -> str:
    """The result as a page of markdown."""
    lines = [
        f"CartPole-v1, {BENCHMARK_SHAPE.num_envs} environments, two networks of 64-64, one core.",
        "",
        "## Beside Stable-Baselines3",
        "",
        f"PPO, 128 steps per environment, 4 epochs of 4 minibatches; {MEMBERS} seeds as one cohort.",
        "",
        "| | steps/s, median | least | most | times the peer |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, speed in result["speed"].items():
        figures = " | ".join(f"{speed[key]:,.0f}" for key in ("median", "least", "most"))
        lines.append(f"| {name} | {figures} | {speed['times_the_peer']:.2f} |")
    lines += ["", "## What a member costs", "", "![Microseconds per env step](cohorts.png)", ""]
    lines += [
        "Microseconds per env step: the time of an update over the steps of all members. Memory is the peak "
        f"of the whole process. {result['cost_repeats']} rounds.",
        "",
        "| | members | µs a step, median | least | most | times one member's | memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, sizes in result["cost"].items():
        alone = sizes["1"]["microseconds_a_step"]["median"]
        for size, one in sizes.items():
            cost = one["microseconds_a_step"]
            figures = " | ".join(f"{cost[key]:.1f}" for key in ("median", "least", "most"))
            lines.append(
                f"| {name} | {size} | {figures} | {cost['median'] / alone:.2f} | {one['memory_mb']:,.0f} |"
            )
    sweep = result["sweep"]
    lines += [
        "",
        "## A sweep, from the command to the prompt",
        "",
        f"{MEMBERS} seeds of {STEPS:,} steps of the same PPO: {sweep['rlcli']['median']:.1f} s, beside "
        f"{sweep[SB3]['median']:.0f} s of {SB3} ({PEER_RUNS} of its runs are timed in each round, in one "
        f"process, and stand for all {MEMBERS}): {sweep['share']['median']:.1%} "
        f"({sweep['share']['least']:.1%} to {sweep['share']['most']:.1%}).",
        "",
        f"`{result['command']}`; {result['repeats']} rounds, alternating; load before the start "
        f"{result['load_before']:.2f}; {result['date']}.",
        "",
        *machine.table(result["with"]),
        "",
    ]
    return "\n".join(lines)


def plot(cost: dict[str, Any], path: Path) -> None:
    """Microseconds per env step and memory over the size of the cohort."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, sizes in cost.items():
        members = [int(size) for size in sizes]
        steps = [one["microseconds_a_step"] for one in sizes.values()]
        median = [one["median"] for one in steps]
        spread = [
            [one["median"] - one["least"] for one in steps], [one["most"] - one["median"] for one in steps]
        ]  # fmt: skip
        left.errorbar(members, median, yerr=spread, marker="o", capsize=3, label=name)
        right.plot(members, [one["memory_mb"] for one in sizes.values()], marker="o", label=name)
    for axes, title in ((left, "µs an env step"), (right, "peak memory, MB")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("members of the cohort")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print the page, write it, its numbers and its plot under docs/results/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=25, help="updates of each run beside the peer's")
    parser.add_argument("--repeats", type=int, default=3, help="rounds")
    parser.add_argument("--cost-repeats", type=int, help="rounds of measuring members (as many)")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where cohorts.* go")
    parser.add_argument("--peer-runs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_runs:
        print(*peer_runs(options.peer_runs))
        return
    load = os.getloadavg()[0]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by every process started here
    result = {
        "command": "rlcli train -m 'seed=range(R)' cohort.workers=1 "
        + " ".join([*BENCHMARK_SHAPE.command[1:], *SETTINGS[IN_C]]),
        "date": datetime.date.today().isoformat(),
        "updates": options.updates,
        "repeats": options.repeats,
        "cost_repeats": options.cost_repeats or options.repeats,
        "load_before": load,
        "speed": speeds(options.repeats, options.updates),
        "cost": costs(options.cost_repeats or options.repeats),
        "sweep": sweeps(options.repeats),
        "with": machine.description(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "cohorts.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "cohorts.md").write_text("# Cohorts\n\n" + table(result))
    plot(result["cost"], options.out / "cohorts.png")
    print("\n" + table(result))


if __name__ == "__main__":
    main()
