"""Fault injection: kill runs, damage files, resume, compare with uninterrupted runs: `make faults`.

Campaigns over short runs of several algorithms and environments, with and without lag, normalised:

- *moments*: `kill -9` after a random time; the run is resumed, and half the time killed again meanwhile,
  until it has come to its end. Some are whole command lines, from `rlcli train` to `rlcli resume`.
- *operations*: one run is killed before each of its operations on the disk (sync, rename, removal,
  truncation) in turn, and so is its resume.
- *damage*: a random bit of a killed run's files is flipped, or a file is truncated at a random place, and the
  run is resumed. The damage must be named, or do no harm.
- *environments*: they break Gymnasium's interface, try to end the process, print, leave the folder
  (`faults_environments.py`).
- *settings*: files that others may have written, made to do harm (`faults_settings.py`).
- *streams*: standard output and standard error are closed, full or gone (`faults_streams.py`). The run must
  be the same, and the exit code that of training.

A run is *lost* when it cannot be resumed, *different* when its weights, rows, digests, checkpoints or
statistics are not, to the last bit, those of the uninterrupted run.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import faults_settings
import faults_streams
import machine
from faults_environments import environments
from processes import (
    KILLED,
    Kind,
    checkpoints,
    ended,
    forked,
    has_begun,
    killed_before,
    log,
    resumes,
    stopped,
    trains,
)
from rlcli.errors import StorageError
from rlcli.store.checkpoints import Checkpoints

RUNS = (
    ("algo=ppo", "env=CartPole-v1"),
    ("algo=ppo", "env=CartPole-v1", "lag=2", "env.backend=gymnasium"),
    ("algo=ppo_kl", "env=Pendulum-v1", "env.kwargs.max_episode_steps=40"),
    ("algo=trpo", "env=Pendulum-v1", "lag=2", "env.kwargs.max_episode_steps=40"),
    ("algo=mdpo", "env=Acrobot-v1", "env.kwargs.max_episode_steps=60"),
    ("algo=a2c", "env=FrozenLake-v1"),
    ("algo=impala", "env=LunarLander-v3", "lag=2"),
)
RLCLI = (sys.executable, "-m", "rlcli")


class Campaign:
    """What came of some trials."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def judge(self, kind: Kind, run_dir: Path, code: int, about: str) -> None:
        """Counts a run that was brought to its end, or should have been."""
        if code != 0:
            self._failed("lost", f"{about}: ended with {code}: {log(run_dir).read_text()[-2000:]}")
        elif differing := kind.differences(run_dir):
            self._failed("different", f"{about}: {', '.join(differing)}")
        else:
            self.counts["same"] += 1

    def _failed(self, what: str, text: str) -> None:
        self.counts[what] += 1
        self.failures.append(f"{what}: {text}")
        print(self.failures[-1], file=sys.stderr)


def moments(kinds: Sequence[Kind], kills: int, root: Path, draw: random.Random) -> Campaign:
    """Runs killed after random times, until there were so many kills."""
    done = Campaign()
    number = 0
    while done.counts["kills"] < kills:
        kind = kinds[number % len(kinds)]
        run_dir = root / "moments" / str(number)
        number += 1
        code = ended(forked(functools.partial(trains, kind.config, run_dir), run_dir), _moment(kind, draw))
        if code != KILLED:
            continue  # it was done before
        if not has_begun(run_dir):
            done.counts["before there was a run"] += 1
            continue
        done.counts["kills"] += 1
        while draw.random() < 0.5 and code == KILLED:
            code = ended(forked(functools.partial(resumes, run_dir), run_dir), _moment(kind, draw))
            done.counts["kills"] += code == KILLED
        if code == KILLED:
            code = ended(forked(functools.partial(resumes, run_dir), run_dir))
        done.judge(kind, run_dir, code, f"{kind.name}, run {number}")
    return done


def _moment(kind: Kind, draw: random.Random) -> float:
    return draw.uniform(0.0, 1.1 * kind.seconds)


def commands(kind: Kind, kills: int, root: Path, draw: random.Random) -> Campaign:
    """The same with whole command lines: `rlcli train` killed, `rlcli resume` to the end."""
    done = Campaign()
    root = root / "commands"
    environment = os.environ | {"RLCLI_RUNS": str(root)}
    for number in range(kills):
        run_dir = root / f"run-{number}"
        words = (*kind.words, f"name=run-{number}", "logger=[console,jsonl]")
        with subprocess.Popen(
            [*RLCLI, "train", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as process:
            while process.poll() is None and not has_begun(run_dir):
                time.sleep(0.001)
            time.sleep(_moment(kind, draw))
            process.kill()
        done.counts["kills"] += process.returncode == KILLED
        ending = subprocess.run(
            [*RLCLI, "resume", f"run-{number}", "-q"], capture_output=True, text=True, env=environment
        )
        log(run_dir).write_text(ending.stdout + ending.stderr)
        done.judge(kind, run_dir, ending.returncode, f"rlcli, run {number}")
    return done


def operations(kind: Kind, every: int, root: Path) -> Campaign:
    """A run, and a resume, killed before every so manieth of its operations."""
    done = Campaign()
    root = root / "operations"

    def dies(call: Callable[[], int], operation: int) -> int:
        with killed_before(operation):
            return call()

    half = root / "half"
    stops = functools.partial(stopped, kind.config, half)
    ended(forked(stops, half))
    for what, prepare in (("train", None), ("resume", half)):
        for operation in range(1, 10_000, every):
            run_dir = root / f"{what} {operation}"
            if prepare is None:
                call = functools.partial(trains, kind.config, run_dir)
            else:
                shutil.copytree(prepare, run_dir)
                call = functools.partial(resumes, run_dir)
            code = ended(forked(functools.partial(dies, call, operation), run_dir))
            if code == 0:
                break
            if not has_begun(run_dir):
                done.counts["before there was a run"] += 1
                continue
            done.counts["kills"] += 1
            code = ended(forked(functools.partial(resumes, run_dir), run_dir))
            done.judge(kind, run_dir, code, f"{what} killed before operation {operation}")
    return done


FILES = ("checkpoints/*.safetensors", "checkpoints/index.json", "manifest.json", "metrics.jsonl")


def damage(kinds: Sequence[Kind], places: int, root: Path, draw: random.Random) -> dict[str, Campaign]:
    """Killed runs with one file damaged at one place; a campaign for each of FILES."""
    done = {pattern: Campaign() for pattern in FILES}
    root = root / "damage"
    for number in range(places):
        kind, pattern = kinds[number % len(kinds)], FILES[number % len(FILES)]
        half = root / f"half {number % len(kinds)}"
        if not half.exists():
            ended(forked(functools.partial(stopped, kind.config, half, 8 + number % len(kinds)), half))
        run_dir = root / str(number)
        shutil.copytree(half, run_dir)
        path = draw.choice(sorted(run_dir.glob(pattern)))
        about = f"{kind.name}: {path.relative_to(run_dir)}, {_damage(path, draw)}"
        code = ended(forked(functools.partial(resumes, run_dir), run_dir))
        _weigh(done[pattern], kind, run_dir, code, path.name, about)
        shutil.rmtree(run_dir)
    return done


def _damage(path: Path, draw: random.Random) -> str:
    """Flips a bit or cuts the file; what was done."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    if draw.random() < 0.7:
        bit = draw.randrange(8)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        return f"bit {bit} of byte {place} flipped"
    path.write_bytes(content[:place])
    return f"cut after byte {place}"


def _weigh(done: Campaign, kind: Kind, run_dir: Path, code: int, name: str, about: str) -> None:
    """Damage is harmless when the run is the same all the same, and detected when what is said names it."""
    said = log(run_dir).read_text()
    named = name in said or "config.yaml is not the config" in said
    differing = kind.differences(run_dir) if code == 0 else [f"code {code}"]
    if not differing:
        done.counts["named, and made good" if named else "harmless"] += 1
    elif named and (code in (2, 4) or differing in (["rows"], ["checkpoints", "rows"])):
        done.counts["named, and refused" if code else "named; the run continued"] += 1
    elif differing == ["checkpoints"] and _is_named_when_read(kind, run_dir, name):
        done.counts["named when it is read"] += 1
    else:
        done.counts["undetected"] += 1
        done.failures.append(f"undetected: {about}: {', '.join(differing)}: {said[-2000:]}")
        print(done.failures[-1], file=sys.stderr)


def _is_named_when_read(kind: Kind, run_dir: Path, name: str) -> bool:
    """Whether one checkpoint differs, an earlier one, and whoever reads it hears so."""
    found, wanted = checkpoints(run_dir), checkpoints(kind.whole)
    if {path for path in {**found, **wanted} if found.get(path) != wanted.get(path)} != {name}:
        return False
    try:
        Checkpoints(run_dir).load(int(name.partition(".")[0]))
    except StorageError as error:
        return name in str(error)
    return False


OUTCOMES = (
    "harmless", "named, and made good", "named when it is read", "named; the run continued",
    "named, and refused", "undetected",
)  # fmt: skip


def written(results: dict[str, Any], folder: Path) -> None:
    """The results as JSON and as a page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.json").write_text(json.dumps(results, indent=1) + "\n")
    kills, hurt = results["kills"], results["damage"]
    lines = [
        "# Faults",
        "",
        "| runs killed | kills | resumed to the same run | lost | different |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, counts in kills.items():
        cells = (counts.get(key, 0) for key in ("kills", "same", "lost", "different"))
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    lines += ["", "| what failed | trials | the same run | lost | different |", "|---|---:|---:|---:|---:|"]
    for name, counts in results["classes"].items():
        cells = (counts.get(key, 0) for key in ("same", "lost", "different"))
        lines.append(f"| {name} | {sum(counts.values())} | " + " | ".join(map(str, cells)) + " |")
    lines += ["", f"| file damaged | {' | '.join(OUTCOMES)} |", "|---|" + "---:|" * len(OUTCOMES)]
    for name, counts in hurt.items():
        lines.append(f"| `{name}` | " + " | ".join(str(counts.get(key, 0)) for key in OUTCOMES) + " |")
    counted = results["environments"]
    lines += [
        "",
        f"Misdeeds of environments: {counted['contained']} contained, {counted.get('escaped', 0)} not.",
    ]
    told = ", ".join(f"{count} {what}" for what, count in sorted(results["settings"].items()))
    lines += ["", f"Hostile settings: {told}."]
    lines += [
        "",
        f"`{results['command']}`, {results['date']}, {results['seconds']:.0f} s. Runs of sixteen updates: "
        + "; ".join(f"`{name}`" for name in results["runs"])
        + ".",
        "",
        *machine.table(results["measured_on"]),
    ]
    (folder / "faults.md").write_text("\n".join(lines) + "\n")


def main() -> int:
    """Runs all campaigns; exit code 1 when a run was lost, came out different, or damage went unnoticed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=120, help="kill -9 at random moments")
    parser.add_argument("--commands", type=int, default=10, help="of them, whole command lines besides")
    parser.add_argument("--every", type=int, default=1, help="kill before every so manieth operation")
    parser.add_argument("--places", type=int, default=200, help="places damaged")
    parser.add_argument("--settings", type=int, default=60, help="hostile settings and directories")
    parser.add_argument("--streams", type=int, default=60, help="commands whose streams fail")
    parser.add_argument("--runs", type=int, default=len(RUNS), help="sorts of runs, the first so many")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--out", type=Path, default=machine.RESULTS, help="folder of the results")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    draw, begun = random.Random(chosen.seed), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="rlcli-faults-") as folder:
        root = Path(folder)
        kinds = [Kind(words, root) for words in RUNS[: chosen.runs]]
        killed = {
            "at random moments": moments(kinds, chosen.kills, root, draw),
            "from the command line": commands(kinds[0], chosen.commands, root, draw),
            "before each operation on the disk": operations(kinds[0], chosen.every, root),
        }
        hurt = damage(kinds, chosen.places, root, draw)
        contained, escaped = environments(root)
        hostile, broken = faults_settings.campaign(chosen.settings, root, draw)
        classes = {"streams": Campaign()}
        faults_streams.campaign(kinds[0], chosen.streams, root, draw, classes["streams"].judge)
    every = [*killed.values(), *hurt.values(), *classes.values()]
    results = {
        "command": "scripts/faults.py "
        + " ".join(f"--{name} {value}" for name, value in vars(chosen).items() if name != "out"),
        "date": datetime.date.today().isoformat(),
        "seconds": time.perf_counter() - begun,
        "runs": [kind.name for kind in kinds],
        "kills": {name: dict(campaign.counts) for name, campaign in killed.items()},
        "classes": {name: dict(campaign.counts) for name, campaign in classes.items()},
        "damage": {name: dict(campaign.counts) for name, campaign in hurt.items()},
        "environments": dict(contained),
        "settings": dict(hostile),
        "failures": [*(text for campaign in every for text in campaign.failures), *escaped, *broken],
        "measured_on": machine.description(),
    }
    written(results, chosen.out)
    print((chosen.out / "faults.md").read_text())
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
