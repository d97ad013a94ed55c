"""A config.yaml that is none, or asks for more than a machine has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.hostile.harm import (
    READS_CONFIG,
    REFUSED,
    Harm,
    every,
    in_turn,
    line,
    writes,
)


def config(text: str | bytes) -> Harm:
    return writes("config.yaml", text)


MALFORMED: dict[str, Harm] = {
    "object": config("!!python/object/apply:os.system ['touch pwned']"),
    "object as a value": line("notes", "!!python/object/apply:os.system ['touch pwned']"),
    "new object": line("kwargs", "{a: !!python/object/new:subprocess.Popen [[touch, pwned]]}"),
    "name": line("notes", "!!python/name:os.system"),
    "module": line("notes", "!!python/module:antigravity"),
    "own tag": line("notes", "!evil x"),
    "laughs": config("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    "merge": config("base: &b {seed: 1}\n<<: *b\n"),
    "deep": config("[" * 20_000),
    "deep mapping": line("kwargs", "{a: " * 60 + "1" + "}" * 60),
    "many keys": config("".join(f"k{number}: 0\n" for number in range(20_000))),
    "large": config("# " + "x" * 2_000_000),
    "bytes": config(b"\xff\xfe\x00seed: 1"),
    "nothing": config(""),
    "a list": config("- 1\n"),
    "twice": config("seed: 1\nseed: 2\n"),
    "no names": config("1: 2\n? [a, b]\n: 3\n"),
    "unknown key": config("seed: 1\nsudo: rm\n"),
    "target": line("kwargs", "{}\n_target_: os.system"),
    "digits": line("seed", "9" * 5000),
    "not finite": line("gamma", ".nan"),
    "infinite": line("total_steps", ".inf"),
    "negative": line("seed", "-1"),
    "a date": line("kwargs", "{a: 2001-01-01}"),
    "gone": lambda run: (run / "config.yaml").unlink(),
    "a folder": lambda run: (run / "config.yaml").unlink() or (run / "config.yaml").mkdir(),
}  # fmt: skip


@in_turn(MALFORMED, READS_CONFIG)
def test_a_config_that_is_no_config(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in REFUSED


SIZES = {
    "hidden": "[1000000000, 1000000000]", "num_envs": "1000000000000", "rollout_steps": str(10**30),
    "lag": str(10**15), "threads": "1000000", "line_search_steps": str(10**12), "cg_iterations": str(10**12),
    "epochs": str(10**12), "episodes": str(10**12), "total_steps": str(10**40), "device": "cuda:99",
}  # fmt: skip


@every({"reproduce"})
@pytest.mark.parametrize(("key", "value"), SIZES.items(), ids=SIZES.keys())
def test_numbers_that_no_machine_can_hold(key: str, value: str, verb: str, attack: Any) -> None:
    assert attack(line(key, value), verb).code in REFUSED


@every({"eval"})
@pytest.mark.parametrize("key", ["hidden", "num_envs", "rollout_steps", "lag", "threads"])
def test_numbers_that_no_policy_can_have(key: str, verb: str, attack: Any) -> None:
    assert attack(line(key, SIZES[key]), verb).code in REFUSED
