"""Study of V-trace: lag 0, 1, 4, 16, 64 with and without its correction, and actors that collect freely.

`make lag` trains five rows on two environments, five seeds each, the seeds of a lag as one cohort, and beside
them asynchronous runs, whose lag is measured. Writes docs/results/lag.json and docs/lag.md with its pictures
after each row; the page says what is missing. A second call resumes. An hour of one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lag_page
import staleness

from rlcli.analysis.history import read_history

LAGS = (0, 1, 4, 16, 64)
STEPS = {"CartPole-v1": 100_000, "LunarLander-v3": 200_000}
SETTINGS = {
    "CartPole-v1": ("algo.rollout_steps=10", "algo.learning_rate=3e-3", "algo.value_coef=0.1"),
    "LunarLander-v3": (
        "algo.rollout_steps=10", "algo.learning_rate=3e-3", "algo.value_coef=0.1", "algo.gamma=0.995",
        "env.normalize_reward=true",
    ),
}  # fmt: skip
"""Of impala, with and without correction, inline and with actors: the same everywhere."""
UNCORRECTED = ("algo=impala", "algo.targets=gae")
"""With algo.gae_lambda=1, impala's own value, these are n-step returns: V-trace with every weight 1."""
ACTORS, QUEUES = (1, 2, 4), (1, 16)


@dataclass(frozen=True)
class Row:
    """Settings on an environment; with actors, or with a lag that is set."""

    label: str
    env: str
    settings: tuple[str, ...]
    varied: tuple[str, ...]
    seeds: int = staleness.SEEDS
    steps: int | None = None

    @property
    def name(self) -> str:
        """As --only has it."""
        return f"{self.label}-{self.env}"

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of the command that trains it."""
        steps = STEPS[self.env] if self.steps is None else self.steps
        return (
            *self.settings, f"env={self.env}", *self.varied, f"seed=range({self.seeds})",
            f"total_steps={steps}",
        )  # fmt: skip

    @property
    def about(self) -> dict[str, Any]:
        """What lag.json has of it besides figures."""
        return {"label": self.label, "env": self.env}

    def age(self, settings: dict[str, str], run: Path) -> dict[str, Any]:
        """The lag of one run; with actors the mean that was measured, and with how many."""
        if "lag" in settings:
            return {"lag": int(settings["lag"])}
        history = read_history(run)
        return {
            "lag": float(history.points("actors/lag")[1].mean()),
            "actors": int(settings["collect.actors"]),
            "queue": int(settings["collect.queue"]),
        }


def rows_of(env: str, lags: tuple[int, ...] = LAGS, **given: int) -> list[Row]:
    """The rows of one environment."""
    lagged, settings = ("lag=" + ",".join(map(str, lags)),), SETTINGS[env]
    actors = (
        "collect.actors=" + ",".join(map(str, ACTORS)), "collect.queue=" + ",".join(map(str, QUEUES)),
    )  # fmt: skip
    return [
        Row("impala", env, ("algo=impala", *settings), lagged, **given),
        Row("uncorrected", env, (*UNCORRECTED, *settings), lagged, **given),
        Row("impala_async", env, ("algo=impala_async", *settings), actors, **given),
        *(Row(algo, env, (f"algo={algo}",), lagged, **given) for algo in ("ppo", "a2c", "trpo")),
    ]


ROWS = tuple(row for env in STEPS for row in rows_of(env))


def main() -> None:
    """Train what is missing, and write the page."""
    options = staleness.options_of(__doc__ or "", "lag", "lag.md", ROWS)
    staleness.campaign("lag", ROWS, options, lag_page.write)


if __name__ == "__main__":
    main()
