"""Result of a run: how it ended, how far it came, its last evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    dir: Path
    id: str
    status: str
    """finished, failed, interrupted or pruned."""
    env_steps: int
    updates: int
    eval_return_mean: float | None
    """Mean return of the last evaluation."""
    exit_code: int
    message: str | None

    @classmethod
    def of_manifest(
        cls, run_dir: Path, content: Mapping[str, Any], status: str, exit_code: int, message: str
    ) -> Result:
        """The result of a run that was not trained now, with the figures of its manifest."""
        return cls(
            run_dir, content["id"], status, content["env_steps"], content["updates"],
            content["eval_return_mean"], exit_code, message,
        )  # fmt: skip
