"""Overrides that cannot be read: the cause in words, and a word to type that works."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from rlcli.config.overrides import parse_command
from rlcli.config.quoting import hydra_text, shell_word

UNREADABLE = (
    "network.hidden=[64,64", "network.hidden=64,64]", "network.hidden=[64,,64]", "notes=it's", "notes=a(b)",
    "tags=[a=b]", "notes=a{b", "env.kwargs={a:1", "env.kwargs={a=1}", "env.kwargs.x=a b!", "seed=range(3",
    "algo.clip=0.1,", "algo.clip==0.1", "wandb={mode:offline", "algo.clip=tag(log,interval(0.1,0.2)",
)  # fmt: skip


@pytest.mark.parametrize("override", UNREADABLE)
def test_an_override_that_cannot_be_read_comes_with_one_that_can(override: str) -> None:
    [fault] = parse_command([override], multirun=True).faults
    [written] = shlex.split(fault.text.partition(" Write ")[2])
    assert parse_command([written], multirun=True).faults == ()


@pytest.mark.parametrize(
    "override",
    [
        *UNREADABLE,
        "seed=choice(",
        "algo.clip=${}",
        "seed=range(1,2,0)",
        "seed=sort(3,a)",
        "notes=)",
        "algo .clip=1",
    ],
)
def test_no_message_ends_in_none(override: str) -> None:
    for fault in parse_command([override], multirun=True).faults:
        assert "None" not in fault.text


@pytest.mark.broken_by(
    "brackets that are not closed",
    "config/quoting.py",
    'return f"the bracket {opened[-1]} is not closed" if opened else None',
    "return None",
)
def test_an_unbalanced_bracket_or_quote_is_named() -> None:
    named = {
        "network.hidden=[64,64": "the bracket [ is not closed",
        "network.hidden=64]": "the bracket ] closes nothing",
        "seed=range(3": "the bracket ( is not closed",
        "notes=it's": "the quote ' is not closed",
    }
    for override, cause in named.items():
        assert cause in parse_command([override], multirun=True).faults[0].text


def test_settings_split_by_the_shell_are_joined_again() -> None:
    split = ["network.hidden=[64,", "64]", "notes=my", "first", "run", "seed=1"]
    found = [fault.text for fault in parse_command(split).faults]
    assert ["write 'network.hidden=[64, 64]'" in found[0], "write 'notes=my first run'" in found[1]] == [
        True
    ] * 2
    assert len(found) == 2


@pytest.mark.parametrize("text", ["a", "it's", 'a"b', "a'b\"c", "a\\", "$x `y` !z", "é (b)"])
def test_quoted_text_passes_the_shell_and_the_grammar(text: str) -> None:
    word = shell_word(f"notes={hydra_text(text)}")
    passed = subprocess.run(
        ["sh", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True
    ).stdout
    command = parse_command([passed])
    assert command.faults == ()
    assert command.settings[0].values[0].data == text
