"""Fault injection by hostile files: random config folders, run directories and W&B settings that do harm.

Each trial takes an honest folder and puts something at a random place in it. Whatever that is, the command
ends within seconds with one message or continues unharmed; nothing is executed, nothing outside is changed,
nothing is sent to the server that a file names.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from processes import KILLED, command

PATIENCE = 20.0
"""Seconds a command may take, starting included."""
SMALL = (
    "tuned=none", "total_steps=64", "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[4]",
    "eval.episodes=1", "logger=[jsonl]", "checkpoint.every=32", "checkpoint.seconds=0",
)  # fmt: skip
EVIL = "{_target_: os.system, _args_: [touch pwned]}"
TEXTS = (
    f"# @package _global_\nhydra: {{callbacks: {{a: {EVIL}}}}}\n",
    f"# @package hydra.launcher\na: {EVIL}\n",
    f"# @package _global_\nenv: {{kwargs: {{a: {EVIL}}}}}\n",
    "# @package _global_\nnotes: '${oc.env:WANDB_API_KEY}'\n",
    "a0: &a [x, x]\n" + "".join(f"a{n}: &a [*a, *a, *a]\n" for n in range(1, 40)),
    "a: " + "[" * 20_000,
    "a: !!python/object/apply:os.system ['touch pwned']\n",
    "defaults: [x]\n",
    "a: " + "1:" * 60_000 + "1\n",
)
FILES = (
    "config.yaml", "manifest.json", "metrics.jsonl", "digests.txt", "train.log", "checkpoints/index.json",
    "checkpoints/2.safetensors", "lock", "wandb", "checkpoints", "config.yaml.new", "code.diff",
)  # fmt: skip


def campaign(trials: int, root: Path, draw: random.Random) -> tuple[Counter[str], list[str]]:
    """So many trials: what came of them, and in what a promise was broken."""
    root = root / "settings"
    root.mkdir()
    honest, diary = root / "honest", root / "outside" / "diary"
    diary.parent.mkdir()
    diary.write_text("dear diary\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        port = server.getsockname()[1]
        _run(root, ("train", *SMALL, f"runs_dir={root}", "name=honest"))
        counts: Counter[str] = Counter()
        failures: list[str] = []
        for number in range(trials):
            place = root / str(number)
            shutil.copytree(honest, place / "run")
            harm = draw.choice((_config, _replaced, _replaced, _sparse))
            what, words = harm(place, diary, draw)
            _settings(place, port)
            begun = time.monotonic()
            code, said = _run(place, words)
            wrong = _broken(root, diary, code, said, time.monotonic() - begun, _asked(server))
            counts["refused" if code in (2, 4) else "unharmed" if code == 0 else "failed"] += 1
            if wrong:
                failures.append(f"settings: trial {number}, {what}: {wrong}: {said[-1000:]}")
                print(failures[-1], file=sys.stderr)
            shutil.rmtree(place)
    return counts, failures


def _config(place: Path, _: Path, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """A folder of configs; the command is one that composes from it."""
    number = draw.randrange(len(TEXTS))
    name = draw.choice(("experiment/x", "tuned/x", "train", "schema"))
    path = place / "configs" / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXTS[number])
    group, _, choice = name.partition("/")
    chosen = (f"{group}={choice}",) if choice else ()
    words = draw.choice((("train",), ("train", "-m", "seed=0,1")))
    return f"text {number} as {name}", (*words, *SMALL[1:], *chosen, "--config-dir", "configs")


def _replaced(place: Path, diary: Path, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """A file of a run is a link, a pipe, a folder or a second name of another."""
    name = draw.choice(FILES)
    path = place / "run" / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    ways: dict[str, Callable[[], object]] = {
        "a link": lambda: path.symlink_to(diary),
        "a link to nowhere": lambda: path.symlink_to(diary.with_name("nothing")),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
        "a second name": lambda: path.hardlink_to(diary),
    }
    way = draw.choice(sorted(ways))
    ways[way]()
    return f"{name} is {way}", _verb(draw)


def _sparse(place: Path, _: Path, draw: random.Random) -> tuple[str, tuple[str, ...]]:
    """A file of a run has a hole of gigabytes."""
    name = draw.choice([name for name in FILES if (place / "run" / name).is_file()])
    os.truncate(place / "run" / name, draw.choice((2**31, 2**33)))
    return f"{name} has a hole", _verb(draw)


def _verb(draw: random.Random) -> tuple[str, ...]:
    more = ("resume", "run", "total_steps=128", "logger=[jsonl,wandb]")
    return draw.choice((more, more, ("show", "run"), ("eval", "run", "--episodes", "1"), ("runs", ".")))


def _settings(place: Path, port: int) -> None:
    """W&B's settings where the command is given, and in the run directory."""
    for folder in (place, place / "run"):
        if not (folder / "wandb").exists() and not (folder / "wandb").is_symlink():
            (folder / "wandb").mkdir()
            (folder / "wandb" / "settings").write_text(f"[default]\nbase_url = http://127.0.0.1:{port}\n")


def _run(place: Path, words: tuple[str, ...]) -> tuple[int, str]:
    """Exit code, that of a kill when the command had to be ended, and what was said."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    variables |= {"WANDB_API_KEY": "k" * 40, "HOME": str(place), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = command(words, place, variables | {"WANDB_MODE": "offline"}, PATIENCE)
    return done.code, done.out + done.err


def _asked(server: socket.socket) -> bool:
    """Whether anybody has called."""
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _broken(root: Path, diary: Path, code: int, said: str, seconds: float, asked: bool) -> str:
    """What of the promises was broken; nothing when they were kept."""
    found = {
        "it hung": code == KILLED or seconds > PATIENCE,
        "something was executed": bool(list(root.rglob("pwned"))),
        "a file outside was changed": diary.read_text() != "dear diary\n"
        or list(diary.parent.iterdir()) != [diary],
        "a server was asked": asked,
        "the key was shown": "k" * 40 in said,
        "a traceback": "Traceback" in said or "defect of rlcli" in said,
    }
    return ", ".join(name for name, broken in found.items() if broken)
