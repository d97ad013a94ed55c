"""Flags stand before or after the verb; --json is JSON, and nothing else, for every verb and flag."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import typer.main

from rlcli.cli.app import app
from rlcli.cli.choices import choices
from rlcli.envs import probe_clock
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


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


CHOICES = [
    (*path, option.opts[0] if option.param_type_name == "option" else "", valid)
    for path, command in verbs(typer.main.get_command(app))
    for name, valid in choices(command).items()
    for option in command.params
    if option.name == name
]


def test_flags_with_choices_are_found() -> None:
    assert {(verb, flag) for verb, flag, _ in CHOICES} == {
        ("train", "--cfg"), ("export", "--format"), ("fork", "--cfg"), ("runs", "--sort"), ("plot", "--x"),
        ("rollouts", "--format"), ("list", ""), ("new", ""),
    }  # fmt: skip


@pytest.mark.broken_by(
    "mistyped choices without the nearest",
    "cli/verb.py",
    "            explain(error, self)\n",
    "",
)
@pytest.mark.parametrize(("verb", "flag", "valid"), CHOICES, ids=[f"{one[0]} {one[1]}" for one in CHOICES])
def test_a_mistyped_choice_names_the_nearest(verb: str, flag: str, valid: list[str], rlcli: Rlcli) -> None:
    for right in valid:
        wrong = right[:-2] + right[-1] + "x" if len(right) > 4 else f"{right}x"
        for words in ((flag, wrong), (f"{flag}={wrong}",)) if flag else ((wrong,),):
            ended = rlcli(verb, *words)
            assert (words, ended.code, ended.out) == (words, 2, "")
            assert f"Unknown value {wrong!r}. Did you mean " in ended.err
            assert repr(right) in ended.err
            assert f"Choose from: {', '.join(valid)}." in ended.err
            assert "Value error" not in ended.err
    ended = rlcli(verb, *([flag] if flag else []), "qqqq")
    assert ended.code == 2
    assert "Unknown value 'qqqq'. Choose from: " in ended.err


@pytest.mark.parametrize(
    ("words", "right"),
    [(("runs", "--status", "finishd"), "finished"), (("eval", "last", "--checkpoint", "bset"), "best")],
)
def test_other_mistyped_values_name_the_nearest(words: tuple[str, ...], right: str, rlcli: Rlcli) -> None:
    assert rlcli("train", *TINY).code == 0
    ended = rlcli(*words)
    assert (ended.code, ended.out) == (2, "")
    assert f"Did you mean {right!r}?" in ended.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), True), (("-q",), False), (("--json",), False), (("--quiet", "--json"), False),
    ],
)  # fmt: skip
def test_the_status_line_of_a_probe_is_off_with_quiet_and_json(
    words: tuple[str, ...], wanted: bool, rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    @contextmanager
    def shown(wanted: bool) -> Iterator[None]:
        asked.append(wanted)
        yield

    monkeypatch.setattr(probe_clock, "shown", shown)
    rlcli("train", "--cfg", "job", *words)
    rlcli(*words, "train", "--cfg", "job")
    assert asked == [wanted, wanted]


def test_what_each_verb_does_is_shown_whole_in_80_columns(rlcli: Rlcli) -> None:
    ended = rlcli("--help")
    assert "..." not in ended.out.partition("Commands:")[2]
    assert max(map(len, ended.out.splitlines())) <= 80
