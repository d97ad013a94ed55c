"""Libraries that a command of rlcli loads, in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import rlcli

HEAVY = (
    "torch", "hydra", "optuna", "gymnasium", "wandb", "stable_baselines3", "numpy", "tensorboard", "joblib",
    "submitit", "ray", "matplotlib", "scipy",
)  # fmt: skip


def loaded_by(*command: str, code: int = 0) -> set[str]:
    """The heavy libraries a fresh interpreter has loaded once `rlcli <command>` ended with that code."""
    script = (
        "import sys\n"
        "from rlcli.cli.main import main\n"
        f"sys.argv = ['rlcli', *{list(command)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    assert (end.code or 0) == {code}, end.code\n"
        "print('loaded:', *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    sources = {"PYTHONPATH": str(Path(rlcli.__path__[0]).parent)}  # these, also where they are a changed copy
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | sources
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rsplit("loaded:", 1)[1].split()) & set(HEAVY)
