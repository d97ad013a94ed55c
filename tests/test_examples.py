"""Examples in the help texts, the README and docs/ run as printed, in bash and in zsh."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli, quick_ope, rlcli
from tests.extend.conftest import forget
from tests.sweeps.conftest import SMALL

__all__ = ["forget", "quick_ope", "rlcli"]

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FILE = re.DOTALL | re.MULTILINE
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b|\b[A-Z]\b|\.\.\.|<[a-z]+>")
SHELLS = [(shell, path) for shell in ("bash", "zsh") if (path := shutil.which(shell))]
STUB = """#!/bin/sh
{ printf '%s\\0' "$@"; printf '\\n\\0'; } >> "$ARGUMENTS"
"""
ID = re.compile(r"(?=.*[a-f])(?=.*\d)[0-9a-f]{4,8}")
PARTS = (["status"], ["best"], ["--retry"])
"""Ends of commands of which a text shows the beginning alone."""
REFUSED = (["n_envs=4"], ["n_steps=256"], ["algo=pppo"])
"""First settings of examples that are shown with their error message."""
TINY = (*SMALL, "total_steps=16")
SWEEPS, SEARCHES = ("widths", "methods", "my-sweep", "two-envs", "three", "grid"), ("ppo16", "my-search")


def commands(text: str) -> Iterator[str]:
    """Command lines in the blocks of a page: all lines of `sh`, those after `$` of `console`."""
    for kind, block in re.findall(r"^```(console|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        prompt = r"\$ " if kind == "console" else ""
        yield from re.findall(rf"^{prompt}((?:.*\\\n)*.+)$", block, re.MULTILINE)


def files() -> Iterator[tuple[str, str]]:
    """Files that pages show: the name on a line of its own, then the block."""
    for page in PAGES:
        yield from re.findall(r"^`([\w./-]+)`:\n\n```(?:python|yaml)\n(.*?)^```", page.read_text(), FILE)


def examples() -> Iterator[str]:
    """Every command line of rlcli that a page shows, as it is printed; docs/cli.md has the help texts."""
    for page in PAGES:
        text = page.read_text()
        for command in commands(text):
            if command.startswith("rlcli "):
                yield command
        for block in re.findall(r"^  Examples:\n((?:    .*\n)+)", text, re.MULTILINE):
            lines = re.sub(r" \\\n\s+", " ", block).splitlines()
            yield from (line.strip() for line in lines if line.strip().startswith("rlcli"))
        inline = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for code in re.findall(r"`(rlcli [a-z][^`]*)`", inline):
            command = " ".join(code.replace("\\|", "|").split())
            whole = command.count(" ") > 1 and not PLACEHOLDER.search(command)
            if whole and "|" not in command:
                yield command


EXAMPLES = list(dict.fromkeys(examples()))


def printed(example: str) -> str:
    """The command of an example, without the description that help texts put beside it."""
    return example if "\\\n" in example else re.split(r"\s{3,}(?!#)", example, maxsplit=1)[0]


def words_of(example: str) -> list[str]:
    """The arguments that an example is meant to give to rlcli."""
    return shlex.split(printed(example).replace("\\\n", " "), comments=True)[1:]


def arguments(shell: str, folder: Path, lines: list[str]) -> list[list[str]]:
    """The arguments that rlcli gets from lines typed into an interactive shell."""
    stub, record = folder / "bin" / "rlcli", folder / f"{Path(shell).name}.arguments"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(STUB)
    stub.chmod(0o755)
    options = ["-f", "-i"] if shell.endswith("zsh") else ["--norc", "--noprofile"]
    env = os.environ | {
        "PATH": f"{stub.parent}:{os.environ['PATH']}",
        "ARGUMENTS": str(record),
        "HISTFILE": "",
    }
    typed = "".join(f"{line}\n" for line in lines)
    done = subprocess.run([shell, *options], input=typed, text=True, capture_output=True, env=env, cwd=folder)
    assert record.exists(), done.stderr
    return [call.split("\0")[:-1] for call in record.read_text().split("\n\0")[:-1]]


def test_there_are_examples_of_every_verb() -> None:
    verbs = {example.split()[1] for example in EXAMPLES}
    assert {
        "train",
        "resume",
        "eval",
        "runs",
        "show",
        "reproduce",
        "compare",
        "diff",
        "list",
        "explain",
        "new",
        "sweep",
    } <= verbs
    assert len(EXAMPLES) > 60


@pytest.mark.parametrize("shell", [path for _, path in SHELLS], ids=[name for name, _ in SHELLS])
def test_shells_pass_every_example_on_as_it_is_printed(shell: str, tmp_path: Path) -> None:
    passed = arguments(shell, tmp_path, [printed(example) for example in EXAMPLES])
    assert misread(passed, EXAMPLES) is None
    assert len(passed) == len(EXAMPLES)


def misread(passed: list[list[str]], lines: list[str]) -> str | None:
    """The first example that a shell does not pass on as it is meant: after a syntax error none is."""
    for example, got in itertools.zip_longest(lines, passed[: len(lines)]):
        if got != words_of(example):
            return f"{example}: {'not passed on' if got is None else got}"
    return None


@pytest.mark.parametrize("shell", [path for _, path in SHELLS], ids=[name for name, _ in SHELLS])
def test_an_example_that_a_shell_misreads_is_named(shell: str, tmp_path: Path) -> None:
    lines = ["rlcli runs", "rlcli train algo.clip=interval(0.1,0.3)", "rlcli show last"]
    assert (misread(arguments(shell, tmp_path, lines), lines) or "").startswith(lines[1])


def test_no_command_has_a_comment() -> None:
    """Interactive zsh takes one for arguments."""
    shown = [command for page in PAGES for command in commands(page.read_text())]
    assert len(shown) > 60
    assert [command for command in shown if "#" in command] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\na b\nc \\\n  d\n```\n", ["a b", "c \\\n  d"]),
        ("```console\n$ a\noutput\n$ b \\\n    c\n```\n", ["a", "b \\\n    c"]),
        ("```text\na\n```\n", []),
    ],
)
def test_commands_in_blocks(text: str, expected: list[str]) -> None:
    assert list(commands(text)) == expected


def prepared(rlcli: Rlcli) -> str:
    """Files of the pages, and tiny runs under the names that examples use; returns the id of one."""
    for name, content in files():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)
    assert rlcli("train", "-q", "env=corridor:Corridor-v0", *TINY, "name=made").code == 0
    shutil.copytree("runs/made", "copied_run")
    for name in ("wide", "other", "my-run", "watched", "ported"):
        assert rlcli("train", "-q", *TINY, f"name={name}").code == 0
    for name in SWEEPS:
        assert rlcli("train", "-q", "-m", *TINY, "seed=0,1", f"name={name}").code == 0
    searching = ("sweep.sampler=random", "sweep.trials=2", "algo.clip=interval(0.1,0.3)")
    for name in SEARCHES:
        assert rlcli("train", "-q", "-m", *TINY, *searching, f"name={name}").code == 0
    assert rlcli("train", "-q", *TINY, "name=latest").code == 0
    return str(json.loads(Path("runs/wide/manifest.json").read_text())["id"])


def tiny(words: list[str], run: str, steps: int) -> list[str]:
    """The arguments of an example with a run that exists and a tiny budget; trainings composed."""
    words = [run if ID.fullmatch(word) else word for word in words if word != "--checkout"]
    if words == ["runs", "last"]:  # of a sweep, where one was started last
        words = ["runs", SWEEPS[0]]
    if words[:2] == ["resume", "last"]:  # of a run: examples before may have resumed a sweep
        words = ["resume", "latest", *words[2:]]
    words = [
        re.sub(r"(\w_steps)=\d+", rf"\1={steps}", re.sub(r"trials=\d+", "trials=3", word)) for word in words
    ]
    words = [{"1000": "3", "40": "last"}.get(word, word) for word in words]
    if words[0] in ("train", "resume"):
        words = [word for word in words if not word.startswith("hydra")]
    if words[0] == "resume" and any("=" in word for word in words) and not words[1].endswith(SEARCHES):
        words += [f"total_steps={steps}"]
    if words[:1] == ["audit"]:  # these runs keep one checkpoint
        words = [word for word in words if word not in ("--fresh", "100")]
    if words[:1] == ["sync"] and "--dry-run" not in words:  # nobody is logged in
        words = [*words, "--dry-run"]
    if words[:1] == ["ope"]:
        words = [*words, "--episodes", "4"]
    words = ["5" if word == "200" else word for word in words]
    if "--video" in words[:-1]:  # filming takes longer than all else
        words[words.index("--video") + 1] = "1"
    if words[0] == "plot":  # these sweeps vary no number
        words = [word for word in words if word != "--slices"]
    if words[0] == "train" and not {"--cfg", "--dry-run"} & {*words}:
        return [*words, "--cfg", "job"]
    return words


def test_every_example_runs(rlcli: Rlcli, quick_ope: None) -> None:
    """In order, with runs of the names they use; launchers and checkouts are left out."""
    run = prepared(rlcli)
    failed: list[str] = []
    steps = 32
    for example in EXAMPLES:
        words = words_of(example)
        if words[1:] in PARTS or words[1:2] in REFUSED or "--rm" in words:  # what others need is not removed
            continue
        steps += 16 * (words[0] in ("fork", "resume"))  # each goes on from where the one before ended
        ended = rlcli(*tiny(words, run, steps))
        if ended.code != 0 and not (words[0] == "diff" and ended.code == 1):
            failed.append(f"{example}: {ended.err}")
    assert failed == [], "\n".join(failed)
