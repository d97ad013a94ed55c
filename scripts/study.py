"""Study of staleness: all algorithms on three environments, lag 0, 1, 4, 16, five seeds: `make study`, hours.

One row is an algorithm on an environment: a sweep over lags, the seeds of each lag trained as one cohort.
Writes docs/results/study.json and docs/health.md with its pictures after each row; the page says what is
missing. A second call resumes what was interrupted, run by run, and trains the missing rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import staleness
import study_page

LAGS = (0, 1, 4, 16)
EIGHT = ("reinforce", "a2c", "trpo", "ppo", "ppo_kl", "mdpo", "ppg", "impala")
OTHERS = ("spo", "dppo", "cispo", "retrace", "offpac")
OF_CHOICES = ("retrace", "offpac")
"""Algorithms of Discrete actions alone."""
STEPS = {"CartPole-v1": 100_000, "Pendulum-v1": 100_000, "HalfCheetah-v5": 300_000}


@dataclass(frozen=True)
class Row:
    """An algorithm on an environment."""

    algo: str
    env: str
    lags: tuple[int, ...] = LAGS
    seeds: int = staleness.SEEDS
    steps: int | None = None

    @property
    def name(self) -> str:
        """As --only has it."""
        return f"{self.algo}-{self.env}"

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of the command that trains it."""
        lags = ",".join(map(str, self.lags))
        steps = STEPS[self.env] if self.steps is None else self.steps
        return (
            f"algo={self.algo}", f"env={self.env}", f"lag={lags}", f"seed=range({self.seeds})",
            f"total_steps={steps}",
        )  # fmt: skip

    @property
    def about(self) -> dict[str, Any]:
        """What study.json has of it besides figures."""
        return {"algo": self.algo, "env": self.env}

    def age(self, settings: dict[str, str], run: Path) -> dict[str, Any]:
        """The lag of one run."""
        return {"lag": int(settings["lag"])}


ROWS = tuple(
    Row(algo, env)
    for env in STEPS
    for algo in (*EIGHT, *OTHERS)
    if algo not in OF_CHOICES or env == "CartPole-v1"
)


def main() -> None:
    """Train what is missing, and write the page."""
    options = staleness.options_of(__doc__ or "", "study", "health.md", ROWS)
    staleness.campaign("study", ROWS, options, study_page.write)


if __name__ == "__main__":
    main()
