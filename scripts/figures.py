"""Benchmark of returns: several seeds per command, 100 deterministic episodes of each last checkpoint.

`make figures` writes docs/results/figures.json and figures.md. With --missing or --only it measures some rows
and leaves the others as they are. The runs themselves stay in --runs-dir when one is given.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
from rlcli.maths.location import interquartile_mean

RLCLI = str(Path(sys.executable).with_name("rlcli"))
EPISODES = 100


@dataclass(frozen=True)
class Cell:
    """One row of the table: a command, and the seeds it runs with."""

    overrides: tuple[str, ...]
    seeds: int
    solved: float | None = None
    """A seed counts as solved from this return on; None: only the median is told."""

    @property
    def command(self) -> str:
        """As it is typed."""
        return " ".join(("rlcli train", *self.overrides))

    @property
    def folder(self) -> str:
        """The name of its sweep."""
        return "-".join(("figures", *self.overrides))


CELLS = (
    Cell((), seeds=10, solved=475.0),
    Cell(("env=Pendulum-v1",), seeds=5),
    Cell(("env=Pendulum-v1", "total_steps=200000"), seeds=5),
    Cell(("env=Acrobot-v1", "total_steps=500000"), seeds=5),
    Cell(("env=LunarLander-v3",), seeds=5, solved=200.0),
    Cell(("algo=trpo",), seeds=10, solved=475.0),
    Cell(("algo=trpo", "env=Pendulum-v1"), seeds=5),
    Cell(("algo=trpo", "env=Acrobot-v1"), seeds=5),
    Cell(("algo=trpo", "env=Acrobot-v1", "total_steps=500000"), seeds=5),
    Cell(("algo=ppo_kl",), seeds=5, solved=475.0),
    Cell(("algo=ppo_kl", "env=Pendulum-v1"), seeds=5),
    Cell(("algo=mdpo",), seeds=5, solved=475.0),
    Cell(("algo=mdpo", "env=Pendulum-v1"), seeds=5),
    Cell(("algo=reinforce",), seeds=5, solved=475.0),
    Cell(("algo=ppg",), seeds=5, solved=475.0),
    Cell(("algo=ppg", "env=Pendulum-v1"), seeds=5),
    Cell(("algo=a2c",), seeds=5, solved=475.0),
    Cell(("algo=impala",), seeds=5, solved=475.0),
    Cell(("algo=retrace", "lag=4"), seeds=5, solved=475.0),
)

UNWATCHED = ("eval.every=0",)
"""The trained policy is evaluated, and none before."""


def rlcli(*words: str) -> str:
    """Run one command; its standard output. What it said is shown when it fails."""
    done = subprocess.run([RLCLI, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"rlcli {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def trained(cell: Cell, root: Path, jobs: int) -> list[dict[str, Any]]:
    """All seeds of one cell as one cohort, where each trains as it does alone; an interrupted one resumes."""
    folder = root / cell.folder
    if (folder / "sweep.json").is_file():
        text = rlcli("resume", str(folder), "--quiet", "--json")
    else:
        text = rlcli(
            "train", "-m", *cell.overrides, *UNWATCHED, f"seed=range({cell.seeds})", f"cohort.workers={jobs}",
            f"name={cell.folder}", f"runs_dir={root}", "--quiet", "--json",
        )  # fmt: skip
    return [json.loads(line) for line in text.splitlines()]


def score(cell: Cell, run: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the last checkpoint of one seed."""
    seed = int(run["varied"][-1].removeprefix("seed="))
    found = json.loads(
        rlcli("eval", run["dir"], "--episodes", str(EPISODES), "--checkpoint", "last", "--json")
    )
    print(f"{cell.command} seed={seed}: {found['return_mean']:.1f} +- {found['return_std']:.1f}", flush=True)
    return {"seed": seed, "env_steps": run["env_steps"]} | {
        name: found[name] for name in ("return_mean", "return_std", "episodes")
    }


def campaign(cell: Cell, root: Path, jobs: int) -> dict[str, Any]:
    """The figures of one cell."""
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(lambda run: score(cell, run), trained(cell, root, jobs)))
    means = [run["return_mean"] for run in runs]
    result = {
        "command": cell.command, "date": datetime.date.today().isoformat(), "runs": runs,
        "median": statistics.median(means), "iqm": interquartile_mean(means),
    }  # fmt: skip
    if cell.solved is not None:
        result |= {"solved_at": cell.solved, "solved": sum(mean >= cell.solved for mean in means)}
    return result


def period(measured: list[dict[str, Any]]) -> str:
    """The day of all measurements, or the first and the last."""
    first, last = (choose(one["date"] for one in measured) for choose in (min, max))
    return first if first == last else f"{first} to {last}"


def table(cells: list[dict[str, Any]]) -> str:
    """The measured cells as a page of markdown."""
    lines = [
        "| command | env steps | seeds | median return | IQM | least | most | solved |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for cell in cells:
        means = [run["return_mean"] for run in cell["runs"]]
        shown = (cell["median"], cell["iqm"], min(means), max(means))
        figures = " | ".join(f"{value:.1f}" for value in shown)
        solved = f"{cell['solved']} of {len(means)} reach {cell['solved_at']:g}" if "solved" in cell else ""
        steps = f"{cell['runs'][0]['env_steps']:,}"
        lines.append(f"| `{cell['command']}` | {steps} | {len(means)} | {figures} | {solved} |")
    lines += [
        "",
        f"Last checkpoint, {EPISODES} deterministic episodes per seed; IQM: the mean of the middle half of "
        f"the seeds; {period(cells)}.",
        "",
        *machine.table(*(cell["with"] for cell in cells)),
        "",
    ]
    return "\n".join(lines)


def chosen(options: argparse.Namespace, measured: Collection[str]) -> list[Cell]:
    """The cells to run, of which `measured` are the commands that have figures already."""
    if unknown := set(options.only) - {cell.command for cell in CELLS}:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
    if not options.missing and not options.only:
        return list(CELLS)
    return [
        cell
        for cell in CELLS
        if cell.command in options.only or (options.missing and cell.command not in measured)
    ]


def main() -> None:
    """Run the campaign, print the table, write it and its numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time, one core each")
    parser.add_argument("--runs-dir", type=Path, help="keep the runs here")
    parser.add_argument(
        "--out", type=Path, default=machine.RESULTS, help="where figures.md and figures.json go"
    )
    parser.add_argument("--missing", action="store_true", help="only the rows without figures")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="COMMAND", help="only these rows, as the table has them"
    )
    options = parser.parse_args()
    written = options.out / "figures.json"
    known = json.loads(written.read_text())["cells"] if written.exists() else []
    measured = {cell["command"]: cell for cell in known}
    options.out.mkdir(parents=True, exist_ok=True)
    described = machine.description()
    with tempfile.TemporaryDirectory(prefix="rlcli-figures-") as scratch:
        for cell in chosen(options, measured):
            found = campaign(cell, options.runs_dir or Path(scratch), options.jobs)
            measured[cell.command] = found | {"with": described}
            cells = [measured[cell.command] for cell in CELLS if cell.command in measured]
            written.write_text(json.dumps({"cells": cells}, indent=1) + "\n")
            (options.out / "figures.md").write_text("# What training reaches\n\n" + table(cells))
    print((options.out / "figures.md").read_text())


if __name__ == "__main__":
    main()
