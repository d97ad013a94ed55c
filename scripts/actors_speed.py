"""Speed of actors that collect while the learner learns, beside inline and RLlib: `make actors-speed`.

    make actors-speed                                            everything: half an hour on two free cores
    make actors-speed ARGS='--only halfcheetah transport'        some parts; the others keep their numbers
    make actors-speed ARGS='--rllib-python /path/to/python'      an interpreter that has RLlib
    make actors-speed ARGS=--page                                the page again, from the numbers there are

Contestants take turns, whole processes on the cores that they may use, so that a slower machine slows all of
them; speeds are those of the rows after the first fifth. Medians are reported with the extremes.
Writes docs/results/actors_speed.json after each process, and actors_speed.md. A second call measures the
rounds that are missing; --again begins the chosen parts anew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import actors_page
import numpy as np
import rllib_loop

import machine

RLCLI = str(Path(sys.executable).with_name("rlcli"))
LOOP = Path(__file__).with_name("rllib_loop.py")
UNWATCHED = (
    "tuned=none", "eval.every=0", "eval.episodes=0", "checkpoint.every=0", "logger=[jsonl]",
    "wandb.mode=disabled",
)  # fmt: skip
INLINE = ("algo=impala",)
"""With its own lag of 1."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
MEGABYTE = 10**6
Result = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """A training whose speed is measured."""

    env: str
    num_envs: int
    rollout_steps: int
    settings: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Settings of all contestants."""
        return (
            f"env={self.env}", f"env.num_envs={self.num_envs}", f"algo.rollout_steps={self.rollout_steps}",
            *self.settings,
        )  # fmt: skip


WORKS = {
    "halfcheetah": Work("HalfCheetah-v5", 8, 20),
    "pong": Work("ALE/Pong-v5", 8, 20, ("network=nature_cnn",)),
    "cartpole": Work("CartPole-v1", rllib_loop.NUM_ENVS, rllib_loop.STEPS),
}
"""The last is RLlib's too."""


@dataclass(frozen=True)
class Contestant:
    """A way to train: how many actors, 0 for inline, on how many cores."""

    actors: int
    cores: int
    where: str = "process"
    """As `collect.mode`, or rllib."""

    @property
    def peer(self) -> bool:
        """Whether it is RLlib."""
        return self.where == "rllib"

    @property
    def name(self) -> str:
        """As the results have it."""
        who = {"rllib": "RLlib, ", "ray": "on Ray, "}.get(self.where, "")
        how = "inline" if self.actors == 0 else f"{self.actors} actor{'s' if self.actors > 1 else ''}"
        return f"{who}{how}, {self.cores} core{'s' if self.cores > 1 else ''}"

    @property
    def words(self) -> tuple[str, ...]:
        """Settings that it adds to those of the work."""
        if not self.actors:
            return INLINE
        shared = ("collect.cpus=0.25",) if self.where == "ray" else ()
        return (
            "algo=impala_async", f"collect.actors={self.actors}", f"collect.mode={self.where}", *shared,
        )  # fmt: skip


ACTORS = (Contestant(0, 1), Contestant(1, 2), Contestant(2, 2), Contestant(4, 2), Contestant(2, 1))
ON_RAY = tuple(Contestant(actors, 2, "ray") for actors in (1, 2, 4))
BESIDE = (
    Contestant(0, 1), Contestant(1, 2), Contestant(2, 2), Contestant(1, 2, "rllib"),
    Contestant(2, 2, "rllib"), Contestant(1, 1), Contestant(1, 1, "rllib"),
)  # fmt: skip
CONTESTS = {"halfcheetah": (*ACTORS, *ON_RAY), "pong": ACTORS, "cartpole": BESIDE}


def on_cores(command: Sequence[str], cores: Sequence[int]) -> str:
    """Runs a command on these cores; its output. What it printed is shown when it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | ONE_THREAD,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def rows_of(words: Sequence[str], cores: Sequence[int]) -> list[Result]:
    """Rows of a training that ends by itself."""
    with tempfile.TemporaryDirectory(prefix="rlcli-actors-") as root:
        on_cores([RLCLI, "train", *words, f"runs_dir={root}", "name=one", "--quiet"], cores)
        text = (Path(root) / "one" / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def figures(rows: Sequence[Result]) -> Result:
    """Speed after the first fifth of the rows, and the seconds of one update there."""
    kept = rows[len(rows) // 5 :]
    spent = kept[-1]["time/elapsed"] - kept[0]["time/elapsed"]
    updates = len(kept) - 1
    found = {
        "speed": (kept[-1]["env_steps"] - kept[0]["env_steps"]) / spent,
        "update": spent / updates,
        "collect": sum(row["time/collect"] for row in kept[1:]) / updates,
    }
    for name in ("lag", "busy", "learner_busy", "queue"):
        if f"actors/{name}" in kept[-1]:
            found[name] = sum(row[f"actors/{name}"] for row in kept[1:]) / updates
    return found


def ours(work: Work, contestant: Contestant, updates: int, cores: Sequence[int]) -> Result:
    """One training of rlcli."""
    steps = updates * work.num_envs * work.rollout_steps
    words = [*contestant.words, *work.words, *UNWATCHED, f"total_steps={steps}"]
    return figures(rows_of(words, cores))


def peer(contestant: Contestant, seconds: float, cores: Sequence[int], python: str) -> Result:
    """One training of RLlib; its speed is of steps that were sampled or learnt from, whichever is larger."""
    command = [python, str(LOOP), "--runners", str(contestant.actors), "--seconds", str(seconds)]
    found: Result = json.loads(on_cores(command, cores).splitlines()[-1])
    return found | {"speed": max(found["sampled"], found["learnt"])}


def contest(name: str, options: argparse.Namespace, found: Result, save: Callable[[], None]) -> None:
    """Measures the missing rounds of a contest."""
    work = WORKS[name]
    if "updates" not in found:
        once = ours(work, Contestant(0, 1), 30, options.cores[-1:])
        found["updates"] = max(30, math.ceil(1.25 * options.seconds / once["update"]))
        found["work"] = " ".join(work.words)
    rounds = found.setdefault("rounds", {})
    for number in range(options.rounds):
        for contestant in CONTESTS[name]:
            if len(rounds.setdefault(contestant.name, [])) > number:
                continue
            cores = options.cores[-contestant.cores :]
            if contestant.peer:
                if options.rllib_python == "none":
                    continue
                one = peer(contestant, options.seconds, cores, options.rllib_python)
            else:
                one = ours(work, contestant, found["updates"], cores)
            rounds[contestant.name].append(one)
            print(f"{name}, {contestant.name}: {one['speed']:,.0f} steps/s", file=sys.stderr, flush=True)
            save()


def unroll(work: Work, size: int) -> dict[str, np.ndarray]:
    """Arrays of an unroll of about so many bytes: those of `work`, of more steps."""
    from rlcli.actors.unrolls import TENSORS, blank_policy, unroll_fields
    from rlcli.config.compose import compose
    from rlcli.envs import registry
    from rlcli.learner.model import make_model

    def made(steps: int) -> dict[str, np.ndarray]:
        config = compose([*work.words, "algo=impala_async", f"algo.rollout_steps={steps}"]).config
        spec = registry.describe(config.env, config.network.squash)
        model = make_model(config, spec, in_c=False)
        fields = unroll_fields(config, spec, model, blank_policy(model, 0), 1)
        return {name: np.ones(fields[name][0][1:], fields[name][1]) for name in TENSORS}

    few, more = (sum(array.nbytes for array in made(steps).values()) for steps in (1, 2))
    return made(max(1, round(1 + (size - few) / (more - few))))


def shared(arrays: dict[str, np.ndarray], rounds: int, cores: Sequence[int]) -> list[float]:
    """Seconds from the request of an unroll to its copy in the learner, through slots of shared memory."""
    from rlcli.actors.memory import Shared
    from rlcli.actors.packets import Gone, pair, receive, send

    slot = Shared({name: (array.shape, array.dtype) for name, array in arrays.items()})
    mine, theirs = pair()
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, cores[:1])
            mine.close()
            _serve(slot, arrays, theirs)
        except (Gone, OSError):
            pass
        finally:
            os._exit(0)
    theirs.close()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores[-1:])
    try:
        found = []
        for _ in range(rounds):
            begun = time.perf_counter()
            send(mine, {"slot": 0})
            receive(mine)
            copies = {name: array.copy() for name, array in slot.arrays.items()}
            found.append(time.perf_counter() - begun)
            assert len(copies) == len(arrays)
    finally:
        os.sched_setaffinity(0, before)
        mine.close()
        os.waitpid(child, 0)
        slot.close()
    return found


def _serve(slot: Any, arrays: dict[str, np.ndarray], end: socket.socket) -> None:
    """The actor's side: an unroll is written for each packet, until the socket's end."""
    from rlcli.actors.packets import receive, send

    while True:
        receive(end)
        for name, array in arrays.items():
            slot[name][...] = array
        send(end, {"slot": 0, "version": 0, "number": 0})


def stored(arrays: dict[str, np.ndarray], rounds: int, cores: Sequence[int]) -> list[float]:
    """Seconds from the request of an unroll to its copy in the learner, through Ray's object store."""
    import ray

    class Actor:
        def __init__(self) -> None:
            os.sched_setaffinity(0, cores[:1])
            self.arrays: dict[str, np.ndarray] = {}

        def keep(self, arrays: dict[str, np.ndarray]) -> int:
            self.arrays = {name: array.copy() for name, array in arrays.items()}
            return len(arrays)

        def unroll(self) -> dict[str, np.ndarray]:
            return self.arrays

    before = os.sched_getaffinity(0)
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        object_store_memory=200_000_000,
    )  # fmt: skip
    try:
        actor = ray.remote(Actor).remote()
        assert ray.get(actor.keep.remote(arrays)) == len(arrays)
        os.sched_setaffinity(0, cores[-1:])
        found = []
        for _ in range(rounds):
            begun = time.perf_counter()
            came = ray.get(actor.unroll.remote())
            copies = {name: array.copy() for name, array in came.items()}
            found.append(time.perf_counter() - begun)
            assert len(copies) == len(arrays)
        return found
    finally:
        os.sched_setaffinity(0, before)
        ray.shutdown()


WAYS: dict[str, Callable[[dict[str, np.ndarray], int, Sequence[int]], list[float]]] = {
    "shared slots": shared,
    "Ray's object store": stored,
}


def transport(options: argparse.Namespace, found: Result, save: Callable[[], None]) -> None:
    """Cost of moving an unroll of 1 MB from an actor to the learner."""
    arrays = unroll(WORKS["halfcheetah"], MEGABYTE)
    found["bytes"] = sum(array.nbytes for array in arrays.values())
    rounds = found.setdefault("rounds", {})
    for number in range(options.rounds):
        for way, measure in WAYS.items():
            if len(rounds.setdefault(way, [])) > number:
                continue
            spent = measure(arrays, options.moves, options.cores)
            rounds[way].append(statistics.median(spent[len(spent) // 10 :]))
            print(f"{way}: {1e6 * rounds[way][-1]:,.0f} µs", file=sys.stderr, flush=True)
            save()


PARTS = (*CONTESTS, "transport")


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one measurement, about")
    parser.add_argument(
        "--moves", type=int, default=300, help="unrolls moved in one measurement of transport"
    )
    parser.add_argument(
        "--only", nargs="+", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--again", action="store_true", help="forget earlier numbers of the chosen parts")
    parser.add_argument(
        "--cores", type=lambda text: [int(word) for word in text.split(",")],
        default=sorted(os.sched_getaffinity(0))[-2:], help="the two cores, such as 0,1",
    )  # fmt: skip
    parser.add_argument("--rllib-python", default=sys.executable, help="interpreter with RLlib, or none")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where the results go")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    written = options.out / "actors_speed.json"
    results: dict[str, Result] = json.loads(written.read_text()) if written.exists() else {}

    def save() -> None:
        options.out.mkdir(parents=True, exist_ok=True)
        kept = {name: results[name] for name in PARTS if name in results}
        written.write_text(json.dumps(kept, indent=1) + "\n")
        (options.out / "actors_speed.md").write_text(actors_page.page(kept))

    for name in () if options.page else options.only:
        if options.again:
            results.pop(name, None)
        found = results.setdefault(name, {})
        found |= {"date": datetime.date.today().isoformat(), "load": os.getloadavg()[0]}
        found |= {"cores": len(options.cores), "with": machine.description()}
        if name in CONTESTS:
            contest(name, options, found, save)
        else:
            transport(options, found, save)
        save()
    save()
    print((options.out / "actors_speed.md").read_text())


if __name__ == "__main__":
    main()
