"""Flags stand before or after the verb; --json is JSON, and nothing else, for every verb and flag."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Rlcli
from tests.sweeps.conftest import SMALL

TINY = (*SMALL, "total_steps=16")


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "train", *TINY, "--cfg", "job"),
        ("--cfg", "job", "train", *TINY, "--json"),
        ("-m", "train", "seed=0,1", *TINY, "--cfg=all", "--json"),
        ("train", "--json", "--cfg", "hydra"),
        ("--json", "list", "algos"),
        ("--json", "explain", "batch_size"),
        ("--version", "--json"),
    ],
    ids=" ".join,
)
def test_json_is_json(words: tuple[str, ...], rlcli: Rlcli) -> None:
    ended = rlcli(*words)
    assert (ended.code, ended.err) == (0, "")
    assert ended.rows()


def test_the_configuration_as_json_has_values_and_origins(rlcli: Rlcli) -> None:
    first, second = rlcli("train", "-m", "seed=3,4", "--cfg", "job", "--json").rows()
    assert (first["config"]["seed"], second["config"]["seed"]) == (3, 4)
    assert first["origin"]["seed"] == "command line"


@pytest.mark.broken_by(
    "progress beside JSON",
    "cli/verb.py",
    'ctx.params["quiet"] = True',
    "pass",
)
def test_json_shows_no_progress_and_works_for_every_verb_of_a_run(rlcli: Rlcli) -> None:
    console = ["logger=[console,jsonl]" if word.startswith("logger") else word for word in TINY]
    for words in (
        ("train", *console), ("--json", "-q", "eval", "last", "-n", "2"), ("show", "last"), ("runs",),
        ("resume", "last", "total_steps=32", "schedule_steps=32"), ("reproduce", "last"),
        ("diff", "last", "last"),
        ("train", "-m", "seed=0,1", "name=pair", *TINY), ("sweep", "status", "pair"),
        ("sweep", "best", "pair"), ("show", "pair"), ("resume", "pair"),
    ):  # fmt: skip
        ended = rlcli(*words, *(() if "--json" in words else ("--json",)))
        assert (words, ended.code, ended.err) == (words, 0, "")
        assert ended.rows()


def test_flags_before_the_verb_keep_their_values(rlcli: Rlcli) -> None:
    before = rlcli("--episodes", "2", "eval", "nothing")
    assert "There is no run" in before.err or "nothing" in before.err
    assert rlcli("runs", "-q").code == 0
    assert rlcli("train", "--cfg", "job", "#", "a", "comment").code == 0


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--learning-rate", "3e-4"), "Did you mean 'algo.learning_rate'?"),
        (("--total-timesteps=1000",), "Write total_steps=1000."),
        (("--seed", "1"), "Write seed=1."),
        (("--track",), "Settings are written key=value"),
    ],
)
def test_a_setting_written_as_a_flag_is_named(words: tuple[str, ...], meant: str, rlcli: Rlcli) -> None:
    ended = rlcli("train", *words)
    assert ended.code == 2
    assert meant in " ".join(ended.err.split())
