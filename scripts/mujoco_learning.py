"""Benchmark of returns on MuJoCo with the tuned settings: `make learning`, several hours.

Each row is a sweep of five seeds over a million env steps, and 100 deterministic episodes of each last
checkpoint. Writes docs/results/learning.json and learning.md after each row. A second call resumes the sweep
that was interrupted, and leaves rows alone that were measured with the same command; --again measures them
anew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figures

import machine
from rlcli.maths.location import interquartile_mean

SEEDS = 5
STEPS = 1_000_000
EPISODES = 100


@dataclass(frozen=True)
class Task:
    """One row: an algorithm on an environment, and what is asked of the IQM of its returns."""

    algo: str
    env: str
    wanted: float | None = None
    aim: float | None = None

    @property
    def name(self) -> str:
        """Of its sweep."""
        return f"learning-{self.algo}-{self.env}"

    @property
    def words(self) -> list[str]:
        """Arguments of its command."""
        return ["-m", f"algo={self.algo}", f"env={self.env}", f"seed=range({SEEDS})", f"total_steps={STEPS}"]

    @property
    def command(self) -> str:
        """As it is typed."""
        quoted = (f"'{word}'" if "(" in word else word for word in self.words)
        return " ".join(("rlcli train", *quoted))


TASKS = (
    Task("ppo", "HalfCheetah-v5", wanted=4000.0, aim=5500.0),
    Task("ppo", "Hopper-v5", wanted=2300.0),
    Task("ppo", "Walker2d-v5", wanted=3000.0),
    Task("trpo", "HalfCheetah-v5", wanted=3000.0),
    Task("trpo", "Hopper-v5"),
    Task("trpo", "Walker2d-v5"),
)
UNWATCHED = (
    "eval.every=0",
    "eval.episodes=0",
    "health.epochs=false",
    "logger=[jsonl]",
    "wandb.mode=disabled",
)
"""What changes no weight: the trained policies are evaluated, and none before."""


def trained(task: Task, root: Path) -> list[dict[str, Any]]:
    """The jobs of the row's sweep, trained or resumed to their end."""
    folder = root / task.name
    if (folder / "sweep.json").is_file():
        text = figures.rlcli("resume", str(folder), "--quiet", "--json")
    else:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed before the sweep began
        text = figures.rlcli(
            "train", *task.words, *UNWATCHED, f"name={task.name}", f"runs_dir={root}", "--quiet", "--json"
        )
    return [json.loads(line) for line in text.splitlines()]


def score(job: dict[str, Any]) -> dict[str, Any]:
    """Figures of a job's last checkpoint."""
    found = json.loads(figures.rlcli("eval", job["dir"], "--episodes", str(EPISODES), "--json"))
    print(f"{job['dir']}: {found['return_mean']:.0f} +- {found['return_std']:.0f}", flush=True)
    return {"job": job["name"], "env_steps": job["env_steps"]} | {
        name: found[name] for name in ("return_mean", "return_std", "episodes")
    }


def measured(task: Task, root: Path) -> dict[str, Any]:
    """One row of the table."""
    runs = [score(job) for job in trained(task, root)]
    means = [run["return_mean"] for run in runs]
    return {
        "command": task.command, "date": datetime.date.today().isoformat(), "runs": runs,
        "iqm": interquartile_mean(means), "wanted": task.wanted, "aim": task.aim,
        "with": machine.description(),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The measured rows as a page of markdown."""
    lines = [
        "# What the tuned settings reach on MuJoCo",
        "",
        "| command | env steps | seeds | IQM | minimum | maximum | wanted |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        means = [run["return_mean"] for run in row["runs"]]
        shown = " | ".join(f"{value:,.0f}" for value in (row["iqm"], min(means), max(means)))
        steps = f"{row['runs'][0]['env_steps']:,}"
        lines.append(f"| `{row['command']}` | {steps} | {len(means)} | {shown} | {verdict(row)} |")
    lines += [
        "",
        f"Last checkpoint, {EPISODES} deterministic episodes per seed; IQM: the mean of the middle half of "
        f"the seeds; {figures.period(rows)}. Settings: `conf/tuned/`, each file with its source.",
        "",
        *machine.table(*(row["with"] for row in rows)),
        "",
    ]
    return "\n".join(lines)


def verdict(row: dict[str, Any]) -> str:
    """What was wanted, and whether it was reached."""
    if row["wanted"] is None:
        return ""
    reached = "reached" if row["iqm"] >= row["wanted"] else "missed"
    aim = "" if row["aim"] is None else f", aim {row['aim']:,.0f}"
    return f"{row['wanted']:,.0f}{aim}: {reached}"


def main() -> None:
    """Measure the rows that are missing, and write the page after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the sweeps go")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where the page goes")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rows such as ppo-Hopper-v5")
    parser.add_argument("--again", action="store_true", help="also rows that have figures, in new sweeps")
    options = parser.parse_args()
    names = {task.name.removeprefix("learning-"): task for task in TASKS}
    if unknown := set(options.only) - set(names):
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    written = options.out / "learning.json"
    known = json.loads(written.read_text())["rows"] if written.exists() else []
    rows = {row["command"]: row for row in known}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, task in names.items():
        if (options.only and name not in options.only) or (task.command in rows and not options.again):
            continue
        if options.again:
            shutil.rmtree(options.runs_dir / task.name, ignore_errors=True)
        rows[task.command] = measured(task, options.runs_dir)
        found = [rows[one.command] for one in TASKS if one.command in rows]
        written.write_text(json.dumps({"rows": found}, indent=1) + "\n")
        (options.out / "learning.md").write_text(table(found))
    print((options.out / "learning.md").read_text())


if __name__ == "__main__":
    main()
