"""Run directories made without training: a config, a manifest and rows as a test wants them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlcli.config.serialise import to_yaml
from rlcli.store.manifest import Manifest
from tests.runs.tiny import manifest_of, tiny

HEALTH = {
    "behaviour/kl_mu_pi": 0.01,
    "behaviour/kl_pi_mu": 0.02,
    "behaviour/ess": 0.9,
    "behaviour/clip_fraction": 0.1,
    "update/budget_used": 0.5,
}


class Maker:
    """Makes runs in a folder, each with a manifest like that of a run which trained."""

    def __init__(self, root: Path, trained: Path) -> None:
        self.root = root
        self._manifest = manifest_of(trained)
        self._count = 0

    def run(
        self,
        name: str,
        values: Sequence[float | None],
        *,
        metric: str = "eval/return_mean",
        status: str = "finished",
        total_steps: int = 96,
        cohort: Sequence[str] = ("one",),
        extra: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        """A run with one row per value, at equal distances; None is a row without a value."""
        self._count += 1
        folder = self.root / name
        folder.mkdir(parents=True)
        config = tiny(name=None, total_steps=total_steps, **changes)
        (folder / "config.yaml").write_text(to_yaml(config))
        content = self._manifest | {
            "id": f"{self._count:08x}",
            "name": folder.name,
            "status": status,
            "algo": config.algo.name,
            "env": config.env.id,
            "seed": config.seed,
            "config_sha256": None,
            "cohort": list(cohort),
            "total_steps": total_steps,
            "env_steps": total_steps,
            "updates": len(values),
        }
        Manifest(folder, content).write()
        with (folder / "metrics.jsonl").open("w") as file:
            for place, value in enumerate(values, start=1):
                row = {
                    "update": place,
                    "env_steps": place * total_steps // len(values),
                    **HEALTH,
                    **(extra or {}),
                }
                row["time/elapsed"] = float(place)
                if value is not None:
                    row[metric] = value
                file.write(json.dumps(row) + "\n")
        return folder

    def seeds(self, name: str, finals: Sequence[float], **changes: Any) -> list[Path]:
        """Runs of the seeds 0, 1, ..., whose metric is 0, then half, then the whole of each final value."""
        return [
            self.run(f"{name}-s{seed}", (0.0, final / 2, final), seed=seed, **changes)
            for seed, final in enumerate(finals)
        ]
