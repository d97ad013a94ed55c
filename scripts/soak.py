"""Endurance of asynchronous training: actors killed with SIGKILL every few seconds, for minutes: `make soak`.

    make soak                                       ten minutes, an actor killed every 5 s; ten without kills
    make soak ARGS='--seconds 60 --every 1'
    make soak ARGS=--control                        those without kills alone
    make soak ARGS=--page                           the page again, from the figures there are

Trains in this process, and kills actors from a thread: processes of this run alone, children of its fork
server. Reported are the times between rows, from a kill to the process in its place, kills beside
restarts that the rows count, memory, and returns. Writes docs/results/soak.json and soak.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import machine
import rlcli

PROCESSES = Path("/proc")
SETTINGS = (
    "algo=impala_async", "env=HalfCheetah-v5", "collect.actors=2", "algo.rollout_steps=20",
    "env.normalize_observation=true", "env.normalize_reward=true", "total_steps=1000000000",
)  # fmt: skip
UNWATCHED = ("eval.every=0", "eval.episodes=0", "logger=[jsonl]", "wandb.mode=disabled")
PARTS = 20
"""Parts of the time, of each of which the mean return is kept."""
SERVER = "rlcli.actors.server"
POLL = 0.002
"""Seconds between looks for the process that replaces a killed one."""


def children(process: int) -> list[int]:
    """Process ids of the children of a process, the eldest first."""
    found: list[int] = []
    for path in (PROCESSES / str(process) / "task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:  # a thread that has just ended
            continue
    return sorted(found, key=lambda child: (_began(child), child))


def _began(process: int) -> int:
    """When a process began, in ticks of the system's clock; 0 where it has ended."""
    try:
        return int((PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def fork_server(process: int) -> int | None:
    """The process that starts the actors of a run in `process`."""
    for child in children(process):
        try:
            if SERVER in (PROCESSES / str(child) / "cmdline").read_text():
                return child
        except OSError:
            continue
    return None


def resident(process: int) -> float:
    """Resident memory of a process in MB; 0 where it has ended."""
    try:
        pages = int((PROCESSES / str(process) / "statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Rows:
    """What is kept of the rows of a run."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun: float | None = None
        """When the first row came."""
        self.last = 0.0
        self.longest = 0.0
        """Maximum seconds between two rows."""
        self.count, self.restarts, self.env_steps = 0, 0, 0
        self.lag = 0.0
        self.sums = np.zeros((2, PARTS))
        """Of each part the sum of returns, and the number of episodes."""
        self.killed_all = threading.Event()

    def take(self, row: dict[str, Any]) -> object:
        """One row; ends the run when the time is over, and the last killed actor was replaced."""
        now = time.monotonic()
        if self.begun is None:
            self.begun = self.last = now
        self.longest = max(self.longest, now - self.last)
        self.last = now
        self.count += 1
        self.env_steps = row["env_steps"]
        self.restarts += int(row["actors/restarts"])
        self.lag += row["actors/lag"]
        if episodes := row["train/episodes"]:
            part = min(PARTS - 1, int(PARTS * (now - self.begun) / self.seconds))
            self.sums[:, part] += episodes * row["train/return_mean"], episodes
        return rlcli.STOP if self.killed_all.is_set() and now - self.begun >= self.seconds else None

    def returns(self) -> list[float | None]:
        """Mean return of each part of the time; None where no episode ended."""
        means = self.sums[0] / np.maximum(self.sums[1], 1)
        return [float(mean) if count else None for mean, count in zip(means, self.sums[1], strict=True)]


class Killer(threading.Thread):
    """Kills the eldest actor every so many seconds, and samples memory in between."""

    def __init__(self, rows: Rows, every: float) -> None:
        super().__init__(daemon=True)
        self.rows, self.every = rows, every
        self.kills = 0
        self.replaced: list[float] = []
        """Seconds from each kill to a new process."""
        self.lost = 0
        """Kills after which none came while it was waited for."""
        self.memory: list[tuple[float, float, float]] = []
        """Seconds since the first row, resident MB of the learning process, and of its actors together."""

    def run(self) -> None:
        """Kills until the rest of the time is shorter than the interval."""
        while self.rows.begun is None:
            time.sleep(POLL)
        begun, count = self.rows.begun, 1
        server = fork_server(os.getpid())
        assert server is not None, "there is no fork server"
        while (due := begun + count * self.every) <= begun + self.rows.seconds - 0.5 * self.every:
            time.sleep(max(0.0, due - time.monotonic()) / 2)
            sample = sum(map(resident, children(server)))
            self.memory.append((time.monotonic() - begun, resident(os.getpid()), sample))
            time.sleep(max(0.0, due - time.monotonic()))
            self._kill(server)
            count += 1
        self.rows.killed_all.set()

    def _kill(self, server: int) -> None:
        before = children(server)
        os.kill(before[0], signal.SIGKILL)
        self.kills += 1
        killed = time.monotonic()
        while not set(children(server)) - set(before):
            if time.monotonic() > killed + self.every:
                self.lost += 1
                return
            time.sleep(POLL)
        self.replaced.append(time.monotonic() - killed)


def memory(samples: Sequence[tuple[float, float, float]], column: int) -> dict[str, float]:
    """Resident memory at a quarter and at the end, medians of a twentieth of the samples or more, in MB; and
    the slope of a straight line from the quarter on, in MB per minute.
    """
    width = max(1, len(samples) // 20)
    quarter = len(samples) // 4
    values = np.array([sample[column] for sample in samples])
    minutes = np.array([sample[0] for sample in samples]) / 60
    slope = np.polyfit(minutes[quarter:], values[quarter:], 1)[0] if len(samples) - quarter > 1 else 0.0
    return {
        "quarter": float(np.median(values[quarter : quarter + width])),
        "end": float(np.median(values[-width:])),
        "slope": float(slope),
    }


def trained(rows: Rows, settings: Sequence[str], folder: Path) -> Rows:
    """Trains until the rows say that the time is over."""
    words = [*settings, *UNWATCHED, f"runs_dir={folder}", "name=soak"]
    rlcli.train(words, on_row=rows.take)
    return rows


def soak(seconds: float, every: float, settings: Sequence[str], folder: Path) -> dict[str, Any]:
    """Trains for so many seconds with an actor killed every so many; the figures."""
    rows = Rows(seconds)
    killer = Killer(rows, every)
    killer.start()
    load = os.getloadavg()[0]
    trained(rows, settings, folder)
    killer.join()
    return {
        "command": "rlcli train " + " ".join(settings), "date": datetime.date.today().isoformat(),
        "seconds": rows.last - (rows.begun or 0.0), "every": every, "rows": rows.count,
        "env_steps": rows.env_steps, "longest_gap": rows.longest, "kills": killer.kills,
        "restarts": rows.restarts, "lost": killer.lost, "lag": rows.lag / max(1, rows.count),
        "replaced": {
            "median": statistics.median(killer.replaced), "worst": max(killer.replaced),
        },
        "learner": memory(killer.memory, 1), "actors": memory(killer.memory, 2),
        "returns": rows.returns(), "load": [load, os.getloadavg()[0]],
    }  # fmt: skip


def control(seconds: float, settings: Sequence[str], folder: Path) -> dict[str, Any]:
    """Trains for so many seconds without kills, to compare returns with."""
    rows = Rows(seconds)
    rows.killed_all.set()
    trained(rows, settings, folder)
    return {
        "seconds": rows.last - (rows.begun or 0.0), "env_steps": rows.env_steps, "restarts": rows.restarts,
        "longest_gap": rows.longest, "returns": rows.returns(),
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The figures as a page of markdown."""
    rate = found["rows"] / found["seconds"]
    cells = [
        ("time", f"{found['seconds']:,.0f} s"),
        ("env steps, updates", f"{found['env_steps']:,}, {found['rows']:,}"),
        ("killed actors", f"{found['kills']}, one every {found['every']:g} s"),
        ("restarts counted in rows", str(found["restarts"])),
        ("from a kill to the process in its place, median", f"{1000 * found['replaced']['median']:.0f} ms"),
        ("and the longest", f"{1000 * found['replaced']['worst']:.0f} ms"),
        ("between two rows, mean", f"{1000 / rate:.1f} ms"),
        ("and the longest", f"{found['longest_gap']:.2f} s"),
        ("lag, mean", f"{found['lag']:.1f}"),
        *(
            (
                f"memory of {who}, at a quarter of the time and at its end",
                f"{found[name]['quarter']:.0f} MB, {found[name]['end']:.0f} MB",
            )
            for name, who in (("learner", "the process that learns"), ("actors", "all actors"))
        ),
        *(
            (f"slope between, {who}", f"{found[name]['slope']:+.2f} MB per minute")
            for name, who in (("learner", "the process that learns"), ("actors", "all actors"))
        ),
        ("load of the machine, before and after", " and ".join(f"{one:.1f}" for one in found["load"])),
    ]
    lines = [
        "# Endurance with killed actors", "",
        f"`make soak`: an asynchronous run whose actors are killed, one every {found['every']:g} s.",
        "", "| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in cells), "",
        f"Mean return in each twentieth of the time: {listed(found['returns'])}.", "",
    ]  # fmt: skip
    if without := found.get("control"):
        lines += [
            f"The same without kills, {without['env_steps']:,} env steps in {without['seconds']:,.0f} s, at "
            f"most {without['longest_gap']:.2f} s between two rows: {listed(without['returns'])}.",
            "",
        ]
    lines += [
        "```text", found["command"], "```", "", *([found["beside"], ""] if found.get("beside") else []),
        f"`scripts/soak.py`, {found['date']}.", "", *machine.table(found["with"]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def listed(returns: Sequence[float | None]) -> str:
    """Mean returns in a line."""
    return ", ".join("none" if value is None else f"{value:.0f}" for value in returns)


def main() -> None:
    """Train, kill, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between kills")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where soak.json and soak.md go")
    parser.add_argument("--beside", default="", help="a sentence about what else the machine does meanwhile")
    parser.add_argument("--control", action="store_true", help="only the run without kills")
    parser.add_argument("--page", action="store_true", help="write the page alone, from soak.json")
    options = parser.parse_args()
    written = options.out / "soak.json"
    known = json.loads(written.read_text()) if written.exists() else {}
    options.out.mkdir(parents=True, exist_ok=True)
    for measured in () if options.page else (True, False)[int(options.control) :]:
        with tempfile.TemporaryDirectory(prefix="rlcli-soak-") as scratch:
            if measured:
                known = soak(options.seconds, options.every, SETTINGS, Path(scratch))
                known |= {"beside": options.beside, "with": machine.description()}
            else:
                known["control"] = control(options.seconds, SETTINGS, Path(scratch))
        written.write_text(json.dumps(known, indent=1) + "\n")
    (options.out / "soak.md").write_text(page(json.loads(written.read_text())))
    print((options.out / "soak.md").read_text())


if __name__ == "__main__":
    main()
