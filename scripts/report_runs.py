"""Run directories made without training: for tests of reports, and to time one of many long runs.

`make report-speed` writes 200 runs of 2,000 updates, their report, and the time to its first paint.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.config.compose import compose
from rlcli.config.serialise import to_yaml
from rlcli.store.manifest import VERSION

PACKAGES = {"rlcli": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "gymnasium": "1.4.0"}
MACHINE = {"python": "3.11.7", "platform": "Linux", "cpu": "a processor", "gpu": None}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made_run(
    folder: Path, settings: Sequence[str], rows: Iterable[Mapping[str, Any] | str], **manifest: Any
) -> Path:
    """Writes a run directory; `rows` are those of metrics.jsonl, text is written as it is."""
    folder.mkdir(parents=True)
    config = compose(list(settings)).config
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    content: dict[str, Any] = {
        "version": VERSION, "config_version": 1, "id": f"{random.Random(str(folder)).getrandbits(32):08x}",
        "name": folder.name, "status": "finished", "algo": config.algo.name, "env": config.env.id,
        "backend": config.backend, "seed": config.seed, "command": ["rlcli", "train"], "folder": "/",
        "overrides": list(settings), "tags": [], "notes": "", "started": "2026-11-30T09:00:00+00:00",
        "finished": "2026-11-30T09:05:00+00:00", "total_steps": config.total_steps,
        "env_steps": len(lines) * config.batch_size, "updates": len(lines), "eval_return_mean": None,
        "best_return_mean": None, "exit_code": 0, "message": None, "sweep": None, "cohort": [folder.name],
        "code": {"commit": COMMIT, "dirty": False, "diff": None}, "packages": PACKAGES, "machine": MACHINE,
        "threads": 1, "own_code": [], "kernel": "c (avx512)", "kernel_version": 1, "determinism": "bitwise",
        "tolerance_reason": None, "exact_resume": True, "inexact_reason": None, "env_backend": "array",
        "env_backend_reason": None, "resumes": [], "config_sha256": None, "reproduces": None, "parent": None,
        "saved": len(lines), "eval_every": None, "eval_every_reason": None,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(content | manifest), encoding="utf-8")
    return folder


def row(update: int, batch: int, draw: random.Random, quality: float) -> dict[str, Any]:
    """One row with the metrics that a report reads, noisy, of a run that learns as fast as `quality`."""
    progress = 1 - math.exp(-update * quality / 400)
    kl = 10 ** draw.gauss(-2.5, 0.4)
    found = {
        "update": update,
        "env_steps": update * batch,
        "time/elapsed": 0.031 * update,
        "train/return_100": 20 + 450 * progress + draw.gauss(0, 8),
        "behaviour/ess": min(1.0, max(0.05, 1 - 10 * kl + draw.gauss(0, 0.01))),
        "behaviour/clip_fraction": min(1.0, 8 * kl),
        "behaviour/kl_mu_pi": kl,
        "behaviour/kl_pi_mu": kl * draw.uniform(0.9, 1.1),
        "update/budget_used": kl / 0.02,
        "update/entropy": 0.69 * (1 - 0.6 * progress) + draw.gauss(0, 0.01),
        "update/explained_variance": progress - 0.1 + draw.gauss(0, 0.1),
        **{f"loss/{name}": draw.gauss(0, 1) for name in ("policy", "value", "entropy", "total")},
    }
    if update % 100 == 0:
        found["eval/return_mean"] = 20 + 480 * progress + draw.gauss(0, 15)
    return found


def made_runs(root: Path, groups: int, seeds: int, updates: int) -> None:
    """Writes `groups` times `seeds` runs in one environment, which differ in their learning rate and seed."""
    for number in range(groups):
        rate = 10 ** (-4 + 2 * number / max(groups - 1, 1))
        for seed in range(seeds):
            draw = random.Random(f"{number} {seed}")
            quality = math.exp(-((math.log10(rate) + 3) ** 2)) + draw.uniform(-0.2, 0.2)
            made_run(
                root / f"rate{number}-s{seed}",
                [
                    f"algo.learning_rate={rate:.3g}",
                    f"seed={seed}",
                    f"total_steps={updates * 256}",
                    "tuned=none",
                ],
                (row(update, 256, draw, quality) for update in range(1, updates + 1)),
            )
