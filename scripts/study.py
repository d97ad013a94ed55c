"""Study of staleness: all algorithms on three environments, lag 0, 1, 4, 16, five seeds: `make study`, hours.

One row is an algorithm on an environment: a sweep over lags, the seeds of each lag trained as one cohort.
Writes docs/results/study.json after each row, and in the end docs/health.md with its pictures; the page says
what is missing. A second call resumes what was interrupted, run by run, and trains the missing rows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures
import numpy as np
import study_page

import machine
from rlcli.analysis.history import read_history

LAGS = (0, 1, 4, 16)
SEEDS = 5
EIGHT = ("reinforce", "a2c", "trpo", "ppo", "ppo_kl", "mdpo", "ppg", "impala")
OTHERS = ("spo", "dppo", "cispo", "retrace", "offpac")
OF_CHOICES = ("retrace", "offpac")
"""Algorithms of Discrete actions alone."""
STEPS = {"CartPole-v1": 100_000, "Pendulum-v1": 100_000, "HalfCheetah-v5": 300_000}
EPISODES = 20
"""Deterministic episodes of the last policy of each run."""
UNWATCHED = (
    "eval.every=0", f"eval.episodes={EPISODES}", "health.epochs=false", "logger=[jsonl]",
    "wandb.mode=disabled",
)  # fmt: skip
MEANS = {"ess": "behaviour/ess", "kl": "behaviour/kl_mu_pi", "budget": "update/budget_used"}
"""Figures of a run that are means over its updates, and their metrics."""
LOW_ESS = 0.5


@dataclass(frozen=True)
class Row:
    """An algorithm on an environment."""

    algo: str
    env: str
    lags: tuple[int, ...] = LAGS
    seeds: int = SEEDS
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


ROWS = tuple(
    Row(algo, env)
    for env in STEPS
    for algo in (*EIGHT, *OTHERS)
    if algo not in OF_CHOICES or env == "CartPole-v1"
)


def train(row: Row, root: Path) -> list[dict[str, Any]]:
    """Trains a row, or resumes it; the outcomes of its runs."""
    folder = root / f"study-{row.name}"
    if (folder / "sweep.json").is_file():
        text = figures.rlcli("resume", str(folder), "--quiet", "--json")
    else:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed before it wrote anything
        text = figures.rlcli(
            "train", "-m", *row.words, *UNWATCHED, "cohort.workers=1", f"name={folder.name}",
            f"runs_dir={root}", "--quiet", "--json",
        )  # fmt: skip
    return [json.loads(line) for line in text.splitlines()]


def measured(run: dict[str, Any]) -> dict[str, Any]:
    """Figures of one run, from its record."""
    history = read_history(Path(run["dir"]))
    settings = dict(word.split("=", 1) for word in run["varied"])
    found: dict[str, Any] = {
        "lag": int(settings["lag"]), "seed": int(settings["seed"]), "env_steps": run["env_steps"],
        "first": float(history.points("train/return_mean")[1][0]),
        "return": history.last("eval/return_mean"),
    }  # fmt: skip
    for name, metric in MEANS.items():
        found[name] = float(history.points(metric)[1].mean())
    ess, kl = (history.points(metric)[1] for metric in (MEANS["ess"], MEANS["kl"]))
    return found | {"low_ess": float(np.mean(ess < LOW_ESS)), "worst_kl": float(kl.max())}


def finished(row: Row, root: Path) -> dict[str, Any]:
    """A row of study.json."""
    runs = [measured(run) for run in train(row, root) if run["status"] == "finished"]
    print(f"{row.name}: {len(runs)} runs", file=sys.stderr, flush=True)
    return {
        "algo": row.algo, "env": row.env, "command": "rlcli train -m " + " ".join(map(quoted, row.words)),
        "date": datetime.date.today().isoformat(), "with": machine.description(), "runs": runs,
    }  # fmt: skip


def quoted(word: str) -> str:
    """A word as a shell wants it."""
    return f"'{word}'" if "(" in word else word


def campaign(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Trains rows that are missing while there is time, and writes the page after each."""
    written = options.out / "study.json"
    known = json.loads(written.read_text())["rows"] if written.exists() else {}
    stop = time.monotonic() + 60 * options.minutes
    order = [row.name for row in rows]
    for row in rows:
        chosen = not options.only or row.name in options.only or row.env in options.only
        if chosen and row.name not in known and time.monotonic() < stop:
            known[row.name] = finished(row, options.runs_dir)
            known = {name: known[name] for name in sorted(known, key=order.index)}
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps({"rows": known}, indent=1) + "\n")
    study_page.write(known, order, options.page)


def main() -> None:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs go")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where study.json goes")
    parser.add_argument("--page", type=Path, default=machine.ROOT / "docs" / "health.md", help="the page")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no row after this time")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="rows such as ppo-CartPole-v1, or environments"
    )
    options = parser.parse_args()
    names = {*STEPS, *(row.name for row in ROWS)}
    if unknown := set(options.only) - names:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    campaign(ROWS, options)


if __name__ == "__main__":
    main()
