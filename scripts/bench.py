"""Benchmark of training speed against Stable-Baselines3, start-up time and peak memory: `make bench`.

Every measurement is a new process on the same core, and the contestants take turns (peer, ours on
Gymnasium's environment, ours on the array one, peer, ...), so that a machine that slows down slows all of
them. Speed is that of the steady state: start-up and the first updates are left out. Our runs are
`rlcli train` as it is typed, with default loggers and every health figure; only evaluation is off, since the
peer has none. Medians are reported, with the extremes beside them; the comparison is the median of the ratios
within each round. Other load on the machine distorts the result: the load before the start is reported too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import machine

if TYPE_CHECKING:
    from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

RLCLI = str(Path(sys.executable).with_name("rlcli"))
NUM_ENVS = 8
WARM_UP = 5
"""Updates left out at the start."""
OURS = ("rlcli, gymnasium", "rlcli, array")


class Contest(NamedTuple):
    """The same work, done by a peer and by us."""

    peer: str
    rollout_steps: int
    command: tuple[str, ...]
    """Ours, without the environment's backend, the length and the place."""
    make: Callable[[VecEnv], OnPolicyAlgorithm]
    """The peer's algorithm, with its own defaults where the command has the same."""

    @property
    def batch(self) -> int:
        """Steps of an update."""
        return NUM_ENVS * self.rollout_steps


def ppo(envs: VecEnv) -> OnPolicyAlgorithm:
    """The shape of conf/experiment/benchmark_shape.yaml."""
    import torch
    from stable_baselines3 import PPO

    return PPO(
        "MlpPolicy",
        envs,
        n_steps=128,
        batch_size=256,
        n_epochs=4,
        learning_rate=2.5e-4,
        policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.Tanh},
        device="cpu",
    )


def trpo(envs: VecEnv) -> OnPolicyAlgorithm:
    """All defaults but the length of a rollout; conf/algo/trpo.yaml has the same.

    Two networks of 64-64 tanh, 10 epochs of minibatches of 128 for values, at most 15 iterations of conjugate
    gradients on the whole batch, at most 10 candidates of the line search.
    """
    from sb3_contrib import TRPO

    return TRPO("MlpPolicy", envs, n_steps=256, device="cpu")


CONTESTS = {
    "PPO": Contest("stable-baselines3", 128, ("train", "experiment=benchmark_shape"), ppo),
    "TRPO": Contest(
        "sb3-contrib",
        256,
        ("train", "algo=trpo", "tuned=none", f"env.num_envs={NUM_ENVS}", "eval.every=0", "eval.episodes=0"),
        trpo,
    ),
}


def peer(contest: Contest, updates: int) -> float:
    """Steps a second of the peer in this process."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Clock(BaseCallback):
        """The time at which each rollout starts."""

        def __init__(self) -> None:
            super().__init__()
            self.starts: list[float] = []

        def _on_rollout_start(self) -> None:
            self.starts.append(time.perf_counter())

        def _on_step(self) -> bool:
            return True

    torch.set_num_threads(1)
    clock = Clock()
    algorithm = contest.make(make_vec_env("CartPole-v1", NUM_ENVS))
    algorithm.learn(updates * contest.batch, callback=clock)
    starts = clock.starts[WARM_UP:]
    return contest.batch * (len(starts) - 1) / (starts[-1] - starts[0])


def digests(updates: int) -> tuple[float, float]:
    """Seconds of an update and of its digests, medians, of our session alone in this process."""
    from rlcli.backends.native import NativeSession
    from rlcli.config.compose import compose
    from rlcli.store.digests import Digests

    session = NativeSession([compose(CONTESTS["PPO"].command[1:]).config])
    spent: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        chain = Digests(Path(root))
        for _ in range(updates):
            begin = time.perf_counter()
            row = session.update()[0]
            done = time.perf_counter()
            assert isinstance(row, dict)
            chain.add(row, session.views(0))
            spent.append((done - begin, time.perf_counter() - done))
        chain.close()
    session.close()
    update, digest = zip(*spent[WARM_UP:], strict=True)
    return statistics.median(update), statistics.median(digest)


def rows_of(root: Path) -> list[dict[str, Any]]:
    """The rows of the one run under `root`; none while it has written no whole line."""
    return [
        json.loads(line)
        for path in root.glob("*/metrics.jsonl")
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]


def ours(contest: Contest, backend: str, updates: int) -> float:
    """Steps a second of `rlcli train`, by the times in its own record."""
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        overrides = (f"env.backend={backend}", f"total_steps={updates * contest.batch}", f"runs_dir={root}")
        subprocess.run(
            [RLCLI, *contest.command, *overrides],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        rows = rows_of(Path(root))[WARM_UP:]
    steps = rows[-1]["env_steps"] - rows[0]["env_steps"]
    return float(steps / (rows[-1]["time/elapsed"] - rows[0]["time/elapsed"]))


def measure(name: str, contestant: str, updates: int) -> float:
    """One measurement, in a process of its own."""
    if contestant in OURS:
        return ours(CONTESTS[name], contestant.split(", ")[1], updates)
    (speed,) = alone("--peer", name, "--updates", str(updates))
    return speed


def alone(*words: str) -> list[float]:
    """What one part of this script prints, run in a process of its own."""
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def cold_start() -> tuple[float, float]:
    """Seconds from typing `rlcli train` to its first row, and peak memory of the whole run in MB."""
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [RLCLI, "train", f"runs_dir={root}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not rows_of(Path(root)):
            if process.poll() is not None:
                sys.exit("rlcli train ended before its first row")
            time.sleep(0.01)
        first = time.perf_counter() - begin
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return first, usage.ru_maxrss * 1024 / 1e6


def ratio(values: list[float], base: list[float]) -> float:
    """The median over rounds of one contestant's speed over the peer's."""
    return statistics.median(value / peers for value, peers in zip(values, base, strict=True))


def summary(values: list[float]) -> dict[str, Any]:
    """The median with its extremes, and every value."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "all": values}


def table(result: dict[str, Any]) -> str:
    """The result as a page of markdown."""
    lines = ["| | | steps/s, median | least | most | times the peer |", "|---|---|---:|---:|---:|---:|"]
    for name, speeds in result["speed"].items():
        for contestant, speed in speeds.items():
            figures = " | ".join(f"{speed[key]:,.0f}" for key in ("median", "least", "most"))
            lines.append(f"| {name} | {contestant} | {figures} | {speed['times_the_peer']:.2f} |")
    lines += [
        "",
        f"First update finished {result['first_update_seconds']['median']:.2f} s after `rlcli train` was "
        f"typed; peak memory {result['peak_memory_mb']['most']:.0f} MB. The digests of an update take "
        f"{result['digest_microseconds']['median']:.0f} µs, {result['digest_share']['median']:.1%} of it.",
        "",
        f"One core; {result['repeats']} rounds of {result['updates']} updates each, alternating; load before "
        f"the start {result['load_before']:.2f}; {result['date']}.",
        "",
        *machine.table(result["with"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write it and its numbers under docs/results/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--updates", type=int, default=60, help="updates of each run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contestant")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where bench.md and bench.json go")
    parser.add_argument("--algos", nargs="+", choices=CONTESTS, default=list(CONTESTS), help="the contests")
    parser.add_argument("--peer", choices=CONTESTS, help=argparse.SUPPRESS)
    parser.add_argument("--digests", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(peer(CONTESTS[options.peer], options.updates))
        return
    if options.digests:
        print(*digests(options.updates))
        return
    load = os.getloadavg()[0]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by every process started here
    speeds: dict[str, dict[str, list[float]]] = {
        name: {contestant: [] for contestant in (CONTESTS[name].peer, *OURS)} for name in options.algos
    }
    starts, shares = [], []
    for repeat in range(options.repeats):
        said = []
        for name, found in speeds.items():
            for contestant, measured in found.items():
                measured.append(measure(name, contestant, options.updates))
                said.append(f"{contestant} {measured[-1]:,.0f}")
        starts.append(cold_start())
        shares.append(alone("--digests", "--updates", str(options.updates)))
        shown = f"{', '.join(said)} steps/s; first update {starts[-1][0]:.2f} s"
        print(f"{repeat + 1}/{options.repeats}: {shown}", flush=True)
    result = {
        "commands": {name: "rlcli " + " ".join(CONTESTS[name].command) for name in options.algos},
        "date": datetime.date.today().isoformat(),
        "updates": options.updates,
        "repeats": options.repeats,
        "load_before": load,
        "speed": {
            name: {
                contestant: summary(measured)
                | {"times_the_peer": ratio(measured, found[CONTESTS[name].peer])}
                for contestant, measured in found.items()
            }
            for name, found in speeds.items()
        },
        "first_update_seconds": summary([first for first, _ in starts]),
        "peak_memory_mb": summary([memory for _, memory in starts]),
        "digest_microseconds": summary([digest * 1e6 for _, digest in shares]),
        "digest_share": summary([digest / update for update, digest in shares]),
        "with": machine.description(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.out / "bench.md").write_text("# Speed\n\n" + table(result))
    print("\n" + table(result))


if __name__ == "__main__":
    main()
