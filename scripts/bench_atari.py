"""Benchmark of PPO on Atari against Stable-Baselines3, agent steps per second on one core.

    taskset -c 0 .venv/bin/python scripts/bench_atari.py

Both train PPO with Mnih et al.'s network on ALE/Pong-v5: 8 games x 128 steps, 4 epochs of 4 minibatches, the
same preprocessing (theirs: make_atari_env, VecFrameStack), in turns, one update each, so that a machine that
slows down slows both. Times are of the processor, all threads of the process together: waiting for it does
not count. The comparison is the median of the ratios within each round. Stable-Baselines3's wrappers need
OpenCV: pip install opencv-python-headless.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import machine
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.config.compose import compose

GAMES, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
SAMPLES = GAMES * STEPS
ENV = "ALE/Pong-v5"
LONG = 10**8
"""Steps that neither comes to."""
PEER = "stable-baselines3"


def ours(keys: list[str]) -> Callable[[], None]:
    """One update of rlcli."""
    chosen = [
        f"env={ENV}", "algo=ppo", "network=nature_cnn", "tuned=none", f"env.num_envs={GAMES}",
        f"algo.rollout_steps={STEPS}", f"algo.epochs={EPOCHS}", f"algo.minibatches={MINIBATCHES}",
        "algo.clip=0.1", "algo.entropy_coef=0.01", f"total_steps={LONG}", *keys,
    ]  # fmt: skip
    config = compose(chosen).config
    session = NativeSession([replace(config, profile=True)])

    def update() -> None:
        [row] = session.update().values()
        assert not isinstance(row, Failure), row
        SHARES.append({name: float(row[name]) for name in PARTS if name in row})

    return update


PARTS = ("time/collect", "time/environment", "time/estimate", "time/learn", "time/health")
SHARES: list[dict[str, float]] = []
"""Seconds of the parts of each update of rlcli, by the clock on the wall."""


def theirs() -> Callable[[], None]:
    """One update of Stable-Baselines3."""
    import ale_py
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    gymnasium.register_envs(ale_py)
    # The id's own frame skip would be applied on top of the wrapper's.
    games: Any = VecFrameStack(make_atari_env(ENV, n_envs=GAMES, seed=0, env_kwargs={"frameskip": 1}), 4)
    model = PPO(
        "CnnPolicy", games, n_steps=STEPS, batch_size=SAMPLES // MINIBATCHES, n_epochs=EPOCHS, seed=0,
        learning_rate=2.5e-4, clip_range=0.1, ent_coef=0.01, device="cpu",
    )  # fmt: skip
    _, callback = model._setup_learn(LONG)

    def update() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, STEPS)
        model.train()

    return update


def seconds(update: Callable[[], None]) -> float:
    """Of the processor, for one update."""
    begun = time.process_time()
    update()
    return time.process_time() - begun


def report(rounds: list[dict[str, float]], shares: dict[str, float], load: float, command: str) -> Any:
    """Everything measured, as it is saved."""
    names = list(rounds[0])
    return {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "load_before": load,
        "rounds": len(rounds),
        "steps_per_second": {name: [one[name] for one in rounds] for name in names},
        "times_the_peer": {
            name: statistics.median(one[name] / one[PEER] for one in rounds)
            for name in names
            if PEER in names
        },
        "seconds": shares,
        "machine": machine.description(),
    }


def page(found: Any) -> str:
    """The report as Markdown."""
    lines = [
        "# Speed with images", "",
        "PPO with Mnih et al.'s network on ALE/Pong-v5, agent steps per second on one core: 8 games x 128",
        "steps, 4 epochs of 4 minibatches; Stable-Baselines3 with make_atari_env and VecFrameStack.",
        "By default networks over images leave health.epochs and health.gain_predicted out.", "",
        "| | median | minimum | maximum | times the peer |", "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, rates in found["steps_per_second"].items():
        times = found["times_the_peer"].get(name, 1.0)
        cells = [f"{number:.0f}" for number in (statistics.median(rates), min(rates), max(rates))]
        lines.append(f"| {name} | {' | '.join(cells)} | {times:.2f} |")
    parts = ", ".join(f"{name.removeprefix('time/')} {value:.2f}" for name, value in found["seconds"].items())
    lines += [
        "",
        f"Parts of an update of rlcli, seconds on the wall, which other load lengthens: {parts}; `learn` "
        "includes `estimate`.", "",
        f"`{found['command']}`; updates in turns, seconds of the processor, {found['rounds']} rounds; load "
        f"before the start {found['load_before']:.2f}; {found['date']}.", "",
        *machine.table(found["machine"]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Prints a line per round, then the page; with --out both are saved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--alone", action="store_true", help="rlcli alone, without Stable-Baselines3")
    parser.add_argument("--out", type=Path, help="folder for atari.json and atari.md")
    parser.add_argument(
        "keys", nargs="*", help="overrides of a second run of rlcli, such as health.epochs=true"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        print("more than one core: run it with taskset -c 0")
    players = {"rlcli": ours([])}
    if given.keys:
        players[f"rlcli, {' '.join(given.keys)}"] = ours(given.keys)
    if not given.alone:
        players[PEER] = theirs()
    for update in players.values():
        update()  # what is made at the first one does not count
    rounds, shares = [], []
    for number in range(given.rounds):
        measured = {}
        for name, update in players.items():
            SHARES.clear()
            measured[name] = SAMPLES / seconds(update)
            shares += SHARES if name == "rlcli" else []
        rounds.append(measured)
        print(number, {name: round(rate) for name, rate in rounds[-1].items()}, flush=True)
    middle = {name: statistics.median(one[name] for one in shares) for name in shares[0]}
    command = f"taskset -c 1 .venv/bin/python {shlex.join(['scripts/bench_atari.py', *given.keys])}"
    found = report(rounds, middle, load, command)
    print(page(found))
    if given.out:
        (given.out / "atari.json").write_text(json.dumps(found, indent=1) + "\n")
        (given.out / "atari.md").write_text(page(found))


if __name__ == "__main__":
    main()
