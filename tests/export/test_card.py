"""Model cards: what they say, and text of others in them made harmless."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from rlcli.export.card import command
from rlcli.export.markdown import block, inline, table
from rlcli.export.run import export_run
from tests.runs.tiny import manifest_of, rows_of

HOSTILE = "<script>alert(1)</script> [x](javascript:1) ![p](http://a.b/c) `c` | www.a.b \x1b[2J\n# title"


def test_a_card_has_use_results_health_and_origin(finished: Path, tmp_path: Path) -> None:
    text = (export_run(finished, "torch", out=tmp_path / "out").dir / "README.md").read_text()
    row = rows_of(finished)[-1]
    for expected in (
        "# finished", "A policy for CartPole-v1, trained with ppo by rlcli", "after update 3 (96 environment",
        'policy = torch.jit.load("policy.pt")', "action, logits, value = policy(observation)",
        "| observation | float32 | batch x 4 |", "The evaluation after update 3",
        f"| eval/return\\_mean | {row['eval/return_mean']:.4g} |",
        f"| update/entropy | {row['update/entropy']:.4g} |",
        "rlcli train", f"| run id | {manifest_of(finished)['id']} |", "On 1,000 observations",
    ):  # fmt: skip
        assert expected in text
    assert "rollout_steps: 16" in text


def test_a_card_of_an_earlier_checkpoint_has_its_figures(finished: Path, tmp_path: Path) -> None:
    text = (export_run(finished, "torch", out=tmp_path / "out", which=2).dir / "README.md").read_text()
    rows = rows_of(finished)
    assert "after update 2 (64 environment steps)" in text
    assert "There was no evaluation." in text
    assert f"| update/entropy | {rows[1]['update/entropy']:.4g} |" in text


def test_text_of_a_run_is_harmless(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    content = manifest_of(run_dir) | {
        "name": HOSTILE,
        "notes": HOSTILE,
        "command": ["rlcli", "```\n", HOSTILE],
    }
    content["packages"]["torch"] = HOSTILE
    (run_dir / "manifest.json").write_text(json.dumps(content))
    text = (export_run(run_dir, "torch").dir / "README.md").read_text()
    outside, fence = [], ""
    for line in text.splitlines():
        marks = re.match("`{3,}", line)
        if marks and (not fence or line == fence):
            fence = "" if fence else marks[0]
        elif not fence:
            outside.append(line)
    assert not fence
    shown = "\n".join(outside)
    assert "\x1b" not in text
    for harm in ("<script", "](", "![", "| www.", "\n# title", "http://"):
        assert harm not in shown


def test_markdown_is_escaped() -> None:
    assert inline("a_b*c|<d>&`e`") == r"a\_b\*c\|&lt;d&gt;&amp;\`e\`"
    assert inline("two\nlines www.a.b http://c") == r"two lines www\.a.b http\://c"
    assert inline("0.5 and -1, see a.b") == "0.5 and -1, see a.b"
    assert block("a\n````\nb", "py") == "`````py\na\n````\nb\n`````"
    assert table(("a", "b"), [("x|y", 1)]) == "| a | b |\n|---|---|\n| x\\|y | 1 |"
    assert table(("a",), []) == ""


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["/somewhere/bin/rlcli", "train", "seed=1", "notes=a b"], "rlcli train seed=1 'notes=a b'"),
        (["/somewhere/bin/rlcli", "train", "-m", "seed=1,2"], "rlcli train seed=2"),
        (["/usr/bin/python"], "rlcli train seed=2"),
        (None, "rlcli train seed=2"),
        ([1], "rlcli train seed=2"),
    ],
)
def test_the_command_that_trained_it(argv: object, shown: str) -> None:
    assert command({"command": argv, "overrides": ["seed=2"]}) == shown
