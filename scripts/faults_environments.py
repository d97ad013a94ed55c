"""Fault injection by environments that misbehave, trained alone and within a cohort.

Each misdeed must fail its own run (or none, where the numbers are right), name the environment, keep
stdout to the result, and leave the numbers of the cohort's other runs as they are without it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import torch

from processes import command
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.collect.state import episode_seed
from rlcli.config.compose import compose
from rlcli.envs.untrusted import interrupts_noticed

MODULE = """
import os, signal, sys
import gymnasium, numpy as np
from gymnasium import spaces

class Silent(Exception):
    def __str__(self):
        raise ValueError

def throw(error):
    raise error

O = np.zeros(3, np.float32)
DEEDS = {
    "none": lambda: (O, 1.0, False, False, {}),
    "four values": lambda: (O, 1.0, False, {}),
    "another shape": lambda: (O[:1], 1.0, False, False, {}),
    "complex": lambda: (O + 1j, 1.0, False, False, {}),
    "text as reward": lambda: (O, "1", False, False, {}),
    "two rewards": lambda: (O, np.ones(2), False, False, {}),
    "NaN as end": lambda: (O, 1.0, float("nan"), False, {}),
    "number as end": lambda: (O, 1.0, 0, False, {}),
    "None": lambda: None,
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: throw(KeyboardInterrupt()),
    "generator": lambda: throw(GeneratorExit()),
    "no message": lambda: throw(Silent()),
    "moves": lambda: os.chdir("/") or DEEDS["none"](),
    "prints": lambda: print("x") or os.write(1, b"y") and DEEDS["none"](),
}

class Faulty(gymnasium.Env):
    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(2)
    def __init__(self, deed="none", seed=None):
        self.deed, self.chosen = deed, seed
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.due = 0, self.chosen in (None, seed)
        return O.copy(), {}
    def step(self, action):
        self.t += 1
        if self.due and self.t == 5:
            return DEEDS[self.deed]()
        return self.np_random.random(3, np.float32), 1.0 + int(action), self.t == 10, False, {}
    def close(self):
        raise Silent

gymnasium.register("Faulty-v0", Faulty)
"""
HARMLESS = ("moves", "prints")
SHORT = (
    "env=rlcli_faulty:Faulty-v0", "env.num_envs=2", "algo.rollout_steps=32", "algo.minibatches=2",
    "total_steps=256", "eval.episodes=0", "logger=[jsonl]", "network.hidden=[8]", "tuned=none",
)  # fmt: skip


def environments(root: Path) -> tuple[Counter[str], list[str]]:
    """Counts of misdeeds that were contained, and of those that were not with what happened."""
    folder = root / "environments"
    folder.mkdir(parents=True)
    (folder / "rlcli_faulty.py").write_text(MODULE)
    sys.path.append(str(folder))
    from rlcli_faulty import DEEDS  # type: ignore[import-not-found]

    counts: Counter[str] = Counter()
    failures = []
    for deed in DEEDS:
        for fault in (_alone(deed, folder), _together(deed)):
            counts["contained" if fault is None else "escaped"] += 1
            if fault is not None:
                failures.append(f"environment, {deed}: {fault}")
                print(failures[-1], file=sys.stderr)
    return counts, failures


def _alone(deed: str, folder: Path) -> str | None:
    """What is wrong with how `rlcli train` ends; None when nothing is."""
    runs = folder / deed.replace(" ", "-")
    words = ("train", "-q", "--json", "name=one", *SHORT, f"env.kwargs.deed='{deed}'")
    done = command(words, folder, os.environ | {"RLCLI_RUNS": str(runs)})
    sound = deed in ("none", *HARMLESS)
    if done.code != (0 if sound else 1):
        return f"exit code {done.code}: {done.err[-500:]}"
    if len(done.out.splitlines()) != 1:
        return f"stdout is {done.out[:200]!r}"
    status = json.loads((runs / "one" / "manifest.json").read_text())["status"]
    if status != ("finished" if sound else "failed"):
        return f"status {status}"
    if not sound and "Faulty-v0" not in done.err:
        return f"not named: {done.err[-500:]}"
    return None


def _together(deed: str) -> str | None:
    """What is wrong with a cohort of three, the second of which meets the deed; None when nothing is."""
    sessions = [_session(deed), _session("none")]
    try:
        for _ in range(3):
            with interrupts_noticed():
                hurt, _ = (session.update() for session in sessions)
            if 1 in hurt and isinstance(hurt[1], Failure):
                sessions[0].drop(1)
        for run in (0, 2):
            if isinstance(hurt[run], Failure):
                return f"run {run} of the cohort failed: {hurt[run]}"
            left, right = (session.state(run).tensors for session in sessions)
            if not all(torch.equal(left[name], right[name]) for name in right):
                return f"run {run} of the cohort came out different"
        return (
            None if (1 in hurt) == (deed in ("none", *HARMLESS)) else "the run that met it did not fail alone"
        )
    except BaseException as error:
        return f"the cohort ended with {type(error).__name__}"
    finally:
        for session in sessions:
            session.close()


def _session(deed: str) -> NativeSession:
    seed = episode_seed(1, 1, 2)
    words = (*SHORT, f"env.kwargs.deed='{deed}'", f"env.kwargs.seed={seed}")
    return NativeSession([compose([*words, f"seed={run}"]).config for run in range(3)])
