"""Does a change cost speed? Time per update at REV and in this tree, in turns on one core: `make same-speed`.

    make same-speed REV=main

Each measurement is a process of its own that trains a session in memory, without loggers and checkpoints, and
times its updates after a few to warm up. The two trees take turns. Compared are the shortest update of each
round (what other load on the machine adds is never negative) and the lower quartile; the table has medians
over rounds and the median of the rounds' ratios. Written to docs/results/revisions.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from same_numbers import ROOT, worktree

import machine

CASES = {
    "ppo, one run": ("algo=ppo env=CartPole-v1", 1, 80),
    "ppo, 32 runs": ("algo=ppo env=CartPole-v1", 32, 12),
    "ppo, one run, HalfCheetah-v5": ("algo=ppo env=HalfCheetah-v5", 1, 40),
    "trpo, one run": ("algo=trpo env=CartPole-v1", 1, 40),
    "trpo, 32 runs": ("algo=trpo env=CartPole-v1", 32, 6),
}
"""Name -> overrides, runs trained together, updates timed in a round."""
WARM_UP = 4
SESSION = """
import sys, time
from dataclasses import replace
from pathlib import Path
tree, words, runs, updates, warm_up = sys.argv[1], sys.argv[2].split(), *map(int, sys.argv[3:6])
sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")
                    and "__editable__" not in getattr(one, "__name__", "")]
sys.path.insert(0, tree)
import rlcli
if not Path(rlcli.__file__).resolve().is_relative_to(tree):
    sys.exit(f"{rlcli.__file__} is not in {tree}")
from rlcli.backends.native import NativeSession
from rlcli.config.compose import compose
fixed = ["tuned=none", "total_steps=10_000_000", "env.num_envs=8", "algo.rollout_steps=128"]
config = compose([*words, *fixed]).config
session = NativeSession([replace(config, seed=seed) for seed in range(runs)])
for _ in range(warm_up):
    session.update()
times = []
for _ in range(updates):
    start = time.perf_counter()
    session.update()
    times.append(time.perf_counter() - start)
times.sort()
print(times[0], times[len(times) // 4])
"""


class Times(NamedTuple):
    """Seconds of an update in one round."""

    shortest: float
    quartile: float


def measured(tree: Path, words: str, runs: int, updates: int) -> Times:
    """One round of a tree."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SESSION, str(tree), words, str(runs), str(updates),
         str(WARM_UP)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{tree} cannot train {words}: {done.stderr.strip()}")
    return Times(*map(float, done.stdout.split()))


def line(name: str, rounds: list[tuple[Times, Times]]) -> str:
    """A row of the table: before, here, and their ratio."""
    cells = []
    for place in range(2):
        before, here = ([pair[side][place] for pair in rounds] for side in range(2))
        ratio = statistics.median(new / old for old, new in zip(before, here, strict=True))
        cells += [f"{statistics.median(one) * 1e3:.2f}" for one in (before, here)] + [f"{ratio:.3f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measures every case and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("revision")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--output", type=Path, default=machine.RESULTS / "revisions.md")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {given.core % (os.cpu_count() or 1)})
    load = os.getloadavg()[0]
    lines = []
    with tempfile.TemporaryDirectory() as folder, worktree(given.revision, Path(folder)) as before:
        for name, (words, runs, updates) in CASES.items():
            if given.only in name:
                rounds = [
                    (measured(before, words, runs, updates), measured(ROOT, words, runs, updates))
                    for _ in range(given.rounds)
                ]
                lines.append(line(name, rounds))
                print(lines[-1], flush=True)
    text = [
        "# Time per update, before and after",
        "",
        f"`make same-speed REV={given.revision}`, {given.rounds} rounds in turns on one core; milliseconds.",
        f"An update is of 1,024 steps per run. Load of the machine at the start: {load:.1f}.",
        "",
        "| case | shortest before | here | ratio | quartile before | here | ratio |",
        "|---|---|---|---|---|---|---|",
        *lines,
        "",
        *machine.table(machine.description()),
    ]
    given.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
