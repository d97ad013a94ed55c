"""Benchmark of training speed against peers, cost in cohorts, start-up time and memory: `make bench`.

    make bench                                               everything: hours
    make bench ARGS='--only W1,halfcheetah --rounds 7'       some parts; the others keep their numbers
    make bench ARGS='--python /path/to/python'               an interpreter that has JAX
    make bench ARGS=--page                                   the page again, from the numbers there are

Speed is the difference of two whole processes, a short and a long run, on one core, where the contestants
take turns (peer, ours, peer, ...), so that a machine that slows down slows all of them. Medians are reported,
with the extremes beside them; the comparison is the median of the ratios within each round. Other load on the
machine distorts the result: the load before the start is reported too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench_contests import CONTESTS, IN_C, JAX, SETTINGS, Contest
from bench_page import NOT_INSTALLED, page, ratios, summary
from bench_parts import COST_STEPS

import machine

RLCLI = str(Path(sys.executable).with_name("rlcli"))
HERE = Path(__file__).parent
SHORT = 2
"""Updates of the short runs."""
TRIES = 3
SIZES = {"16x64": 20, "64x512": 4, "64x4096": 1, "256x512": 2, "256x4096": 1}
"""Runs x environments, and the updates that are timed; the first is what the others are compared with."""
OTHERS = ("cost", "start", "digests")


def run(command: Sequence[str], *, processor: bool = False) -> tuple[float, float, str]:
    """Seconds of a process from its start to its end, its peak memory in MB, and the last line it printed.

    With `processor` the seconds that it and its children spent on the processor.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime if processor else time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        printed = said.read().splitlines()
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{errors.read()[-2000:]}\n{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e6, printed[-1] if printed else ""


def part(*words: str) -> tuple[list[float], float]:
    """The numbers that a part of bench_parts.py prints, and the peak memory of its process in MB."""
    _, memory, printed = run([sys.executable, str(HERE / "bench_parts.py"), *words])
    return [float(word) for word in printed.split()], memory


def ours(contest: Contest, contestant: str) -> tuple[str, ...]:
    """The command of rlcli without its length and its place."""
    verb, *words = contest.work.command
    many = ("-m",) if contest.runs > 1 else ()
    seeds = (f"seed=range({contest.runs})", "cohort.workers=1") if contest.runs > 1 else ()
    return ("rlcli", verb, *many, *words, *seeds, *SETTINGS[contestant])


def seconds(name: str, python: str, processor: bool, contestant: str, updates: int) -> float:
    """Seconds of one process that trains for so many updates; JAX's wall time is without compilation."""
    contest = CONTESTS[name]
    if contestant == JAX:
        loop = str(HERE / "jax_loop.py"), "--updates", str(updates), "--seeds", str(contest.runs)
        spent, _, told = run([python, *loop], processor=processor)
        return spent if processor else float(told)
    if contestant not in SETTINGS:
        peer = str(HERE / "bench_parts.py"), "peer", name, str(updates)
        return run([sys.executable, *peer], processor=processor)[0]
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        length = f"total_steps={updates * contest.work.batch}", f"runs_dir={root}"
        return run([RLCLI, *ours(contest, contestant)[1:], *length], processor=processor)[0]


def more(timed: Callable[[int], float], wanted: float) -> int:
    """Updates by which a long run exceeds a short one, so that it takes about so many seconds more."""
    short, updates = timed(SHORT), 4
    while (spent := timed(SHORT + updates) - short) < min(1.0, wanted / 2):
        updates *= 4
    return max(1, math.ceil(updates * wanted / spent))


def longer(timed: Callable[[int], float], updates: int) -> float:
    """Seconds by which a long run takes longer than a short one; measured again where noise exceeds them."""
    for _ in range(TRIES):
        if (spent := timed(SHORT + updates) - timed(SHORT)) > 0.0:
            return spent
    sys.exit("A short run took longer than a long one: leave the machine alone, or give more --seconds.")


def compete(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One contest, round by round."""
    contest = CONTESTS[name]
    present = [one for one in contest.contestants if one != JAX or has_jax(options.python)]
    timed = partial(seconds, name, options.python, options.processor)
    lengths = {one: options.updates or more(partial(timed, one), options.seconds) for one in present}
    steps = {
        one: contest.work.batch * (contest.runs if one != contest.contestants[0] else 1) for one in present
    }
    found: dict[str, list[float]] = {one: [] for one in present}
    shares: list[list[float]] = []
    for number in range(options.rounds):
        for one, measured in found.items():
            measured.append(steps[one] * lengths[one] / longer(partial(timed, one), lengths[one]))
        if contest.profiled:
            shares.append(part("outside", name, str(SHORT + lengths[IN_C]))[0])
        report(number, options, name, {one: f"{measured[-1]:,.0f}" for one, measured in found.items()})
    result = {
        "about": contest.about,
        "command": shlex.join(ours(contest, IN_C)),
        "clock": "processor" if options.processor else "wall",
        "updates": {one: (SHORT, SHORT + more_updates) for one, more_updates in lengths.items()},
        "speed": {one: speeds(contest, found, one) for one in contest.contestants},
    }
    if shares:
        names = "environment", "kernels", "neither"
        columns = zip(*shares, strict=True)
        result["outside"] = {each: summary(values) for each, values in zip(names, columns, strict=True)}
    return result


def speeds(contest: Contest, found: dict[str, list[float]], contestant: str) -> dict[str, Any] | str:
    """What is reported of a contestant."""
    if contestant not in found:
        return NOT_INSTALLED
    values = found[contestant]
    compared = {"times_the_peer": ratios(values, found[contest.contestants[0]])}
    if JAX in found:
        compared["times_jax"] = ratios(values, found[JAX])
    return summary(values) | compared


def has_jax(python: str) -> bool:
    """Whether an interpreter can import it."""
    return (
        subprocess.run([python, "-c", "import jax"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


def cost(options: argparse.Namespace) -> dict[str, Any]:
    """Microseconds per env step at each size."""
    found: dict[str, list[float]] = {size: [] for size in options.sizes}
    memory = dict.fromkeys(options.sizes, 0.0)
    for number in range(options.rounds):
        for size, measured in found.items():
            (microseconds,), peak = part("cost", *size.split("x"), str(options.updates or SIZES[size]))
            measured.append(microseconds)
            memory[size] = max(memory[size], peak)
        report(number, options, "cost", {size: f"{values[-1]:.2f} µs" for size, values in found.items()})
    first = found[options.sizes[0]]
    return {
        "command": "scripts/bench_parts.py cost RUNS ENVIRONMENTS UPDATES",
        "rollout_steps": COST_STEPS,
        "sizes": {
            size: {
                "microseconds_a_step": summary(values),
                "times_the_first": ratios(values, first),
                "memory_mb": memory[size],
            }
            for size, values in found.items()
        },
    }


def rows_in(root: Path) -> bool:
    """Whether the one run under `root` has written a whole row."""
    return any("\n" in path.read_text() for path in root.glob("*/metrics.jsonl"))


def first_row() -> tuple[float, float]:
    """Seconds from typing `rlcli train` to its first row, and peak memory of the whole run in MB."""
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [RLCLI, "train", f"runs_dir={root}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not rows_in(Path(root)):
            if process.poll() is not None:
                sys.exit("rlcli train ended before its first row")
            time.sleep(0.01)
        first = time.perf_counter() - begin
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return first, usage.ru_maxrss * 1024 / 1e6


def start(options: argparse.Namespace) -> dict[str, Any]:
    """Time until the first update is recorded, and memory."""
    found = []
    for number in range(options.rounds):
        found.append(first_row())
        report(number, options, "start", {"first update": f"{found[-1][0]:.2f} s"})
    first, memory = zip(*found, strict=True)
    return {
        "command": "rlcli train",
        "first_update_seconds": summary(first),
        "peak_memory_mb": summary(memory),
    }


def digests(options: argparse.Namespace) -> dict[str, Any]:
    """The cost of the digests of an update."""
    found = [part("digests", str(options.updates or 40))[0] for _ in range(options.rounds)]
    return {
        "command": "scripts/bench_parts.py digests UPDATES",
        "digest_microseconds": summary([digest * 1e6 for _, digest in found]),
        "digest_share": summary([digest / update for update, digest in found]),
    }


def report(number: int, options: argparse.Namespace, name: str, found: dict[str, str]) -> None:
    """Prints what a round gave."""
    shown = ", ".join(f"{one} {value}" for one, value in found.items())
    print(f"{name} {number + 1}/{options.rounds}: {shown}", flush=True)


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part with what tells when and on what it was measured."""
    load = os.getloadavg()[0]
    others: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "cost": cost,
        "start": start,
        "digests": digests,
    }
    result = others[name](options) if name in others else compete(name, options)
    described = machine.description()
    if isinstance(result.get("speed", {}).get(JAX), dict):
        described |= {"jax": run([options.python, "-c", "import jax; print(jax.__version__)"])[2]}
    when = {"date": datetime.date.today().isoformat(), "rounds": options.rounds, "load_before": load}
    return result | when | {"with": described}


def known(names: Sequence[str], text: str) -> list[str]:
    """Names separated by commas."""
    found = text.split(",")
    if unknown := [name for name in found if name not in names]:
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; choose from {', '.join(names)}")
    return found


def merged(path: Path, measurements: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a file with these in the place of the older of the same names."""
    before = json.loads(path.read_text()) if path.exists() else {}
    kept = {name: before[name] for name in (*CONTESTS, *OTHERS) if name in before}
    return kept | measurements


def save(folder: Path, measurements: dict[str, Any]) -> None:
    """Writes bench.json, in which other parts keep their numbers, and bench.md."""
    folder.mkdir(parents=True, exist_ok=True)
    results = merged(folder / "bench.json", measurements)
    (folder / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "bench.md").write_text(page(results))


def main() -> None:
    """Measure part by part; what is measured is saved at once."""
    names = (*CONTESTS, *OTHERS)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", type=lambda text: known(names, text), default=names, metavar="NAMES",
                        help=f"parts, separated by commas: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contestant")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="by which long runs are longer than short ones"
    )
    parser.add_argument(
        "--processor", action="store_true", help="time on the processor, which other load distorts less"
    )
    parser.add_argument("--updates", type=int, help="updates by which they are longer, instead of seconds")
    parser.add_argument("--sizes", type=lambda text: known(tuple(SIZES), text), default=tuple(SIZES),
                        help=f"of cost: {', '.join(SIZES)}")  # fmt: skip
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has JAX")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where bench.md and bench.json are")
    parser.add_argument("--page", action="store_true", help="only write bench.md again")
    options = parser.parse_args()
    if options.page:
        save(options.out, {})
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # inherited by every process started here
    for name in options.only:
        save(options.out, {name: measured(name, options)})
    print("\n" + (options.out / "bench.md").read_text())


if __name__ == "__main__":
    main()
