"""Studies of staleness: rows of a study are trained one after the other, measured, and resumed.

Shared by `scripts/study.py` and `scripts/lag.py`. A row is a sweep whose runs differ in lag and seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import figures
import numpy as np

import machine
from rlcli.analysis.history import read_history

SEEDS = 5
EPISODES = 20
"""Deterministic episodes of the last policy of each run."""
UNWATCHED = (
    "eval.every=0", f"eval.episodes={EPISODES}", "health.epochs=false", "logger=[jsonl]",
    "wandb.mode=disabled",
)  # fmt: skip
MEANS = {"ess": "behaviour/ess", "kl": "behaviour/kl_mu_pi", "budget": "update/budget_used"}
"""Figures of a run that are means over its updates, and their metrics."""
LOW_ESS = 0.5
LATE = 0.8
"""From this share of the env steps on, returns in training count as late."""
Rows = dict[str, dict[str, Any]]
"""Measured rows by name."""


class Row(Protocol):
    """One sweep of a study."""

    @property
    def name(self) -> str:
        """As --only has it."""

    @property
    def env(self) -> str:
        """The environment's id."""

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of the command that trains it."""

    @property
    def about(self) -> dict[str, Any]:
        """What the results file has of it besides figures."""

    def age(self, settings: dict[str, str], run: Path) -> dict[str, Any]:
        """Figures of the lag of one run, from its settings or its record."""


def quoted(word: str) -> str:
    """A word as a shell wants it."""
    return f"'{word}'" if "(" in word else word


def train(study: str, row: Row, root: Path) -> list[dict[str, Any]]:
    """Trains a row, or resumes it; the outcomes of its runs."""
    folder = root / f"{study}-{row.name}"
    if (folder / "sweep.json").is_file():
        text = figures.rlcli("resume", str(folder), "--quiet", "--json")
    else:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed before it wrote anything
        text = figures.rlcli(
            "train", "-m", *row.words, *UNWATCHED, "cohort.workers=1", f"name={folder.name}",
            f"runs_dir={root}", "--quiet", "--json",
        )  # fmt: skip
    return [json.loads(line) for line in text.splitlines()]


def measured(row: Row, run: dict[str, Any]) -> dict[str, Any]:
    """Figures of one run, from its record."""
    folder = Path(run["dir"])
    history = read_history(folder)
    settings = dict(word.split("=", 1) for word in run["overrides"])
    steps, returns = history.points("train/return_mean")
    found: dict[str, Any] = row.age(settings, folder) | {
        "seed": int(settings["seed"]), "env_steps": run["env_steps"], "first": float(returns[0]),
        "return": history.last("eval/return_mean"),
        "late": float(returns[steps >= min(LATE * run["env_steps"], steps[-1])].mean()),
    }  # fmt: skip
    for name, metric in MEANS.items():
        found[name] = float(history.points(metric)[1].mean())
    ess, kl = (history.points(metric)[1] for metric in (MEANS["ess"], MEANS["kl"]))
    return found | {"low_ess": float(np.mean(ess < LOW_ESS)), "worst_kl": float(kl.max())}


def finished(study: str, row: Row, root: Path) -> dict[str, Any]:
    """A row of the results file."""
    runs = [measured(row, run) for run in train(study, row, root) if run["status"] == "finished"]
    print(f"{row.name}: {len(runs)} runs", file=sys.stderr, flush=True)
    return row.about | {
        "command": "rlcli train -m " + " ".join(map(quoted, row.words)),
        "date": datetime.date.today().isoformat(), "with": machine.description(), "runs": runs,
    }  # fmt: skip


def campaign(
    study: str,
    rows: Sequence[Row],
    options: argparse.Namespace,
    write: Callable[[Rows, list[str], Path], None],
) -> None:
    """Trains rows that are missing while there is time; `write` makes the page after each of them."""
    written = options.out / f"{study}.json"
    known: Rows = json.loads(written.read_text())["rows"] if written.exists() else {}
    stop = time.monotonic() + 60 * options.minutes
    order = [row.name for row in rows]
    for row in rows:
        chosen = not options.only or row.name in options.only or row.env in options.only
        if chosen and row.name not in known and time.monotonic() < stop:
            known[row.name] = finished(study, row, options.runs_dir)
            known = {name: known[name] for name in sorted(known, key=order.index)}
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps({"rows": known}, indent=1) + "\n")
            write(known, order, options.page)
    write(known, order, options.page)


def options_of(description: str, study: str, page: str, rows: Sequence[Row]) -> argparse.Namespace:
    """The options of a study's script; an unknown row ends it with the known ones."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs go")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help=f"where {study}.json goes")
    parser.add_argument("--page", type=Path, default=machine.ROOT / "docs" / page, help="the page")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no row after this time")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME",
        help=f"rows such as {rows[0].name}, or environments",
    )  # fmt: skip
    options = parser.parse_args()
    names = {name for row in rows for name in (row.env, row.name)}
    if unknown := set(options.only) - names:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    return options
