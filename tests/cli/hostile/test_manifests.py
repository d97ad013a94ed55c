"""A manifest.json that is none, and names that would steer a terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.cli.hostile.harm import (
    REFUSED,
    STEERING,
    Harm,
    appends,
    every,
    in_turn,
    line,
    manifest,
    relink,
    writes,
)

BROKEN: dict[str, Harm] = {
    "deep": writes("manifest.json", b"[" * 100_000),
    "deep objects": writes("manifest.json", b'{"a":' * 900 + b"1" + b"}" * 900),
    "deep field": manifest(tags=json.loads("[" * 40 + "]" * 40)),
    "digits": writes("manifest.json", b'{"version": ' + b"9" * 5000 + b"}"),
    "bytes": writes("manifest.json", b"\xff\xfe"),
    "nothing": writes("manifest.json", b""),
    "a list": writes("manifest.json", b"[1, 2]"),
    "a number": writes("manifest.json", b"NaN"),
    "large": writes("manifest.json", b'{"a": "' + b"x" * 17 * 2**20 + b'"}'),
    "newer": manifest(version=99),
    "steps": manifest(env_steps=10**400),
    "nan": manifest(eval_return_mean=float("nan")),
    "too large": manifest(eval_return_mean=10**4000),
    "types": manifest(packages=["x"], machine=3, tags="abc"),
    "diff elsewhere": manifest(code={"commit": None, "dirty": True, "diff": "../../secret"}),
    "an option": manifest(code={"commit": "--exec=touch pwned", "dirty": False, "diff": None}),
    "link": lambda run: relink(run / "manifest.json", "../../secret"),
}  # fmt: skip


@in_turn(BROKEN)
def test_a_manifest_that_is_none(harm: Harm, verb: str, attack: Any) -> None:
    ended = attack(harm, verb)
    if verb == "runs":
        assert ended.code == 0
        assert "damaged" in ended.out
    else:
        assert ended.code in REFUSED


@every()
def test_nothing_steers_the_terminal(verb: str, attack: Any) -> None:
    def harm(run: Path) -> None:
        names = ("id", "name", "algo", "env", "backend", "sweep", "started", "notes", "message")
        texts = dict.fromkeys(names, STEERING)
        manifest(**texts, tags=[STEERING], overrides=[STEERING], packages={STEERING: STEERING},
                 machine={STEERING: STEERING}, status="failed")(run)  # fmt: skip
        line("notes", json.dumps(STEERING))(run)
        line("id", json.dumps(f"CartPole-v1{STEERING}"))(run)
        writes("digests.txt", f"{STEERING}\n1 2 3\n")(run)
        appends("metrics.jsonl", json.dumps({STEERING: 1.0, "update": 3}))(run)

    assert attack(harm, verb).code in (0, 1, *REFUSED)


@every()
def test_the_name_of_a_folder_does_not_either(verb: str, attack: Any, workplace: Path) -> None:
    def harm(run: Path) -> None:
        run.rename(run.with_name(f"run{STEERING}"))
        shutil.copytree(run.with_name(f"run{STEERING}"), run)

    assert attack(harm, verb).code in (0, 1)
