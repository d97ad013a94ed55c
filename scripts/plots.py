"""Pictures of docs/plots.md: docs/pictures, made by `rlcli plot` from runs trained for them.

`make plots` trains a comparison of three algorithms on CartPole-v1, two algorithms on two environments, and a
grid of learning rates and clip ranges in a temporary folder, then plots them. Three minutes on one core.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
RLCLI = str(Path(sys.executable).with_name("rlcli"))
LARGEST = 80_000
"""Maximum bytes of a picture."""

# Evaluations are named: by default they depend on how long one takes, and so the metric that is plotted.
SWEEPS = {
    "three": ("algo=ppo,trpo,a2c", "seed=range(5)", "total_steps=50000", "eval.every=5000"),
    "two": (
        "algo=ppo,trpo",
        "env=CartPole-v1,Pendulum-v1",
        "seed=range(3)",
        "total_steps=60000",
        "eval.every=6000",
    ),
    "health": ("algo=ppo,trpo", "env=Pendulum-v1", "seed=range(5)", "total_steps=60000"),
    "grid": (
        "algo.learning_rate=1e-5,1e-4,3e-4,1e-3,1e-2",
        "algo.clip=0.05,0.2,0.4",
        "seed=range(3)",
        "total_steps=30000",
    ),
}
PLOTS = {
    "returns.svg": ("three",),
    "environments.svg": ("two",),
    "health.svg": (
        "health",
        *("--metric", "behaviour/kl_mu_pi", "--metric", "behaviour/ess"),
        *("--metric", "behaviour/clip_fraction", "--metric", "update/budget_used"),
    ),
    "slices.svg": ("grid", "--slices"),
}


def rlcli(folder: Path, *words: str) -> None:
    """Run one command in a folder; what it said is shown when it fails."""
    done = subprocess.run([RLCLI, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"rlcli {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Train, plot, and check the sizes."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rlcli-plots-") as scratch:
        for name, settings in SWEEPS.items():
            rlcli(Path(scratch), "train", "-m", *settings, f"name={name}", "--quiet")
        for file, words in PLOTS.items():
            rlcli(Path(scratch), "plot", *words, "--out", str(PICTURES / file))
    large = [file for file in PLOTS if (PICTURES / file).stat().st_size > LARGEST]
    if large:
        raise SystemExit(f"larger than {LARGEST:,} bytes: {', '.join(large)}")


if __name__ == "__main__":
    main()
