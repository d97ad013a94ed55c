"""Result of a run: how it ended, how far it came, its last evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlcli.runs import html


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

    def _repr_html_(self) -> str:
        """Table and curve, for a notebook."""
        rows: dict[str, object] = {
            "id": self.id, "status": self.status, "env steps": f"{self.env_steps:,}",
            "updates": f"{self.updates:,}", "return": self.eval_return_mean, "dir": self.dir,
        }  # fmt: skip
        if self.message:
            rows["message"] = self.message
        return html.facts(f"run {self.dir.name}", rows) + html.returns(self.dir)

    @classmethod
    def of_manifest(
        cls, run_dir: Path, content: Mapping[str, Any], status: str, exit_code: int, message: str
    ) -> Result:
        """The result of a run that was not trained now, with the figures of its manifest."""
        return cls(
            run_dir, content["id"], status, content["env_steps"], content["updates"],
            content["eval_return_mean"], exit_code, message,
        )  # fmt: skip
