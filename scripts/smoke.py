"""Smoke test: trains and evaluates every algorithm for a few updates, with discrete and continuous actions.

With discrete actions the kernels in C train, where they are built and cover the algorithm, else torch.

A smoke test proves that each path runs to its end and records what it should, not that it learns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

RLCLI = str(Path(sys.executable).with_name("rlcli"))
CASES = (("CartPole-v1", "auto"), ("Pendulum-v1", "torch"))
"""Environments, and what trains."""
OF_CHOICES = ("offpac", "retrace")
"""Algorithms of Discrete actions alone."""
SMALL = ("tuned=none", "total_steps=512", "algo.rollout_steps=32", "env.num_envs=8", "eval.episodes=2")
EXPECTED = ("update", "env_steps", "behaviour/ess", "behaviour/clip_fraction", "behaviour/kl_mu_pi")


def rlcli(*words: str) -> str:
    """Run one command; its standard output. A failure ends the smoke test with what the command said."""
    done = subprocess.run([RLCLI, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"rlcli {' '.join(words)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def smoke(algo: str, env: str, kernel: str, root: Path) -> str:
    """Train and evaluate once; a line of what came out."""
    words = (f"algo={algo}", f"env={env}", f"compute.kernel={kernel}", *SMALL, f"runs_dir={root}")
    trained = json.loads(rlcli("train", *words, "--json"))
    run = json.loads(rlcli("show", trained["dir"], "--json"))
    rows = [json.loads(line) for line in Path(run["dir"], "metrics.jsonl").read_text().splitlines()]
    missing = [name for name in EXPECTED if name not in rows[-1]]
    if run["status"] != "finished" or missing:
        sys.exit(f"{algo} on {env}: status {run['status']}, missing figures {missing}")
    score = json.loads(rlcli("eval", run["dir"], "--episodes", "2", "--json"))
    return (
        f"{algo:12} {env:16} {rows[-1]['env_steps']:6} steps  return {score['return_mean']:9.1f}  "
        f"{run['kernel'].partition(',')[0]}"
    )


def main() -> None:
    """Every algorithm the installed rlcli lists, on each environment."""
    algos = [json.loads(line)["name"] for line in rlcli("list", "algos", "--json").splitlines()]
    with tempfile.TemporaryDirectory(prefix="rlcli-smoke-") as root:
        for algo in algos:
            for env, kernel in CASES[:1] if algo in OF_CHOICES else CASES:
                print(smoke(algo, env, kernel, Path(root)), flush=True)


if __name__ == "__main__":
    main()
