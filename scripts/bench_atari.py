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
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
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
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

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


def main() -> None:
    """Prints a line per round, medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--alone", action="store_true", help="rlcli alone, without Stable-Baselines3")
    parser.add_argument("keys", nargs="*", help="overrides of rlcli's run, such as health.epochs=false")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        print("more than one core: run it with taskset -c 0")
    players = {"rlcli": ours(given.keys)} | ({} if given.alone else {"sb3": theirs()})
    for update in players.values():
        update()  # what is made at the first one does not count
    SHARES.clear()
    rounds = []
    for number in range(given.rounds):
        rounds.append({name: SAMPLES / seconds(update) for name, update in players.items()})
        print(number, {name: round(rate) for name, rate in rounds[-1].items()}, flush=True)
    for name, value in machine.description().items():
        print(f"{name}: {value}")
    for name in players:
        print(f"{name}: {statistics.median(one[name] for one in rounds):.0f} agent steps per second")
    if not given.alone:
        print(f"ratio: {statistics.median(one['rlcli'] / one['sb3'] for one in rounds):.2f}")
    print({name: round(statistics.median(one[name] for one in SHARES), 3) for name in SHARES[0]})


if __name__ == "__main__":
    main()
