"""Effect of the minimum of an adaptive KL penalty: long runs of ppo_kl per minimum: `make bounds`.

Writes docs/results/ppo_kl_bounds.md and its numbers, ppo_kl_bounds.json. The seeds of a campaign train as one
cohort. Asked of every run: beta never below its floor, no more than 8 updates in a row with a KL above 1.5
times its target, and no KL above 20 times it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
from rlcli.learner.penalty import ADAPTIVE_BAND

RLCLI = str(Path(sys.executable).with_name("rlcli"))
TARGET = 0.01
LONGEST, HIGHEST = 8, 20.0
"""Updates in a row beyond the band, and times the target, that are still accepted."""
FLOORS: dict[str, float | None] = {
    "none": None, "1/256": 1 / 256, "1/64": 1 / 64, "1/16": 1 / 16, "1/8": 1 / 8, "1/4": 1 / 4, "1/2": 1 / 2,
    "1": 1.0,
}  # fmt: skip
COMMAND = ("train", "-m", "algo=ppo_kl", "tuned=none", "total_steps={steps}", "seed=range({seeds})")
QUIET = ("eval.episodes=0", "checkpoint.every=0", "logger=[jsonl]", "cohort.workers=1", "-q")


def longest_run(values: list[bool]) -> int:
    """The most of them that are true one after the other."""
    longest = now = 0
    for value in values:
        now = now + 1 if value else 0
        longest = max(longest, now)
    return longest


def assessed(path: Path) -> dict[str, Any]:
    """One run by its rows."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    times = [row["update/kl_anchor_pi"] / TARGET for row in rows]
    betas = [row["update/beta"] for row in rows]
    return {
        "updates": len(rows),
        "beta_least": min(betas),
        "beta_most": max(betas),
        "at_floor": statistics.mean(row["update/beta_bound"] == -1 for row in rows),
        "highest": max(times),
        "longest": longest_run([one > ADAPTIVE_BAND for one in times]),
        "return_100": statistics.mean(row["train/return_100"] for row in rows if "train/return_100" in row),
    }


def campaign(floor: float | None, steps: int, seeds: int, root: Path) -> list[dict[str, Any]]:
    """Every seed with this floor, its ceiling the default or, without a floor, none."""
    words = [word.format(steps=steps, seeds=seeds) for word in COMMAND]
    bounds = ["algo.beta_min=null", "algo.beta_max=null"] if floor is None else [f"algo.beta_min={floor!r}"]
    name = f"floor-{floor}"
    subprocess.run(
        [RLCLI, *words, *bounds, *QUIET, f"runs_dir={root}", f"name={name}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return [assessed(path) for path in sorted((root / name).glob("*/metrics.jsonl"))]


def kept(floor: float | None, run: dict[str, Any]) -> bool:
    """Whether a run did what is asked."""
    bounded = run["beta_least"] >= (floor or 0.0) and run["beta_least"] > 0.0
    return bool(bounded and run["longest"] <= LONGEST and run["highest"] <= HIGHEST)


def line(name: str, runs: list[dict[str, Any]]) -> str:
    """One floor's row of the table."""
    highest = ", ".join(f"{run['highest']:.1f}" for run in sorted(runs, key=lambda run: run["highest"]))
    learnt = statistics.mean(run["return_100"] for run in runs)
    good = sum(kept(FLOORS[name], run) for run in runs)
    least, most = min(run["beta_least"] for run in runs), max(run["beta_most"] for run in runs)
    return (
        f"| {name} | {least:.2g} | {most:g} "
        f"| {statistics.mean(run['at_floor'] for run in runs):.0%} | {max(run['longest'] for run in runs)} "
        f"| {highest} | {learnt:.0f} | {good} of {len(runs)} |"
    )


WHY = """\
# Bounds of an adaptive penalty

PPO with an adaptive KL penalty halves beta after every update whose KL stays below two thirds of its target.
While a policy is good and hardly moves, that is every update: without a floor beta comes to 0 within a
thousand updates. Then the penalty is gone, and when the policy does move its KL is tens of times the target
before doubling has brought beta back. `algo.beta_min` and `algo.beta_max` bound it: factors of `algo.beta`.

"""
HEADS = (
    "floor", "least beta", "greatest beta", "updates at the floor", "most in a row above 1.5 x target",
    "greatest KL over the target, of each run", "mean return, last 100 episodes, over the run", "as asked",
)  # fmt: skip
CHOICE = """
Asked of a run: beta never below its floor, at most 8 updates in a row with KL(anchor||pi) above 1.5 times
algo.kl_target, and no KL above 20 times it. What counts is the first update in which a policy moves again,
and that has the beta of the quiet ones before it: a few doublings below where beta is needed are too many.
The default floor, 1/2, is the lowest power of two that keeps all three in every run, and it costs no return.
Where it stands there most of the time, as here, the default start of 1 is more than the target asks for.

The ceiling is reached only where the KL does not answer to beta: with one gradient step an update, at which
the penalty has no slope yet, or with a target below what one step moves. 64 leaves six doublings, three times
what any run here or on Pendulum-v1 has asked for, and no more than six halvings back.

A row of metrics.jsonl says `update/beta_bound`: -1 at the floor, 1 at the ceiling.
"""


def page(found: dict[str, Any]) -> str:
    """What was measured, as markdown."""
    options = found["options"]
    command = " ".join(("rlcli", *(word.format(**options) for word in COMMAND)))
    rows = "\n".join(line(name, runs) for name, runs in found["floors"].items())
    about = (
        f"`{command} algo.beta_min=FLOOR`, CartPole-v1 with 8 environments, `algo.beta=1`, "
        f"`algo.kl_target={TARGET:g}`; {found['date']}."
    )
    measured = "\n".join(machine.table(found["with"]))
    head = f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}\n"
    return f"{WHY}{head}{rows}\n\n{about}\n{CHOICE}\n{measured}\n"


def main() -> None:
    """Run the campaigns, write the page and its numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--floors", nargs="+", choices=FLOORS, default=list(FLOORS))
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="where page and numbers go")
    options = parser.parse_args()
    found: dict[str, Any] = {
        "options": {"steps": options.steps, "seeds": options.seeds},
        "date": datetime.date.today().isoformat(), "with": machine.description(), "floors": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="rlcli-bounds-") as scratch:
        for name in options.floors:
            found["floors"][name] = campaign(FLOORS[name], options.steps, options.seeds, Path(scratch))
            print(line(name, found["floors"][name]), flush=True)
            (options.out / "ppo_kl_bounds.json").write_text(json.dumps(found, indent=1) + "\n")
            (options.out / "ppo_kl_bounds.md").write_text(page(found))


if __name__ == "__main__":
    main()
