"""Digests, rows of figures and changes of code that are none, or lead out of the directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.hostile.harm import (
    READS_DIGESTS,
    READS_ROWS,
    REFUSED,
    Harm,
    appends,
    every,
    manifest,
    relink,
    writes,
)

DIGESTS: dict[str, Harm] = {
    "bytes": writes("digests.txt", b"\xff\xfe\n\x00\n"),
    "an endless line": writes("digests.txt", b"# rlcli digests 2: " + b"x" * 10**7),
    "a newer version": writes("digests.txt", "# rlcli digests 9: x\n"),
    "an older version": writes("digests.txt", f"1 {'a' * 32}\n"),
    "no line": appends("digests.txt", "evil"),
    "a link": lambda run: relink(run / "digests.txt", "../../secret"),
    "a device": lambda run: relink(run / "digests.txt", "/dev/zero"),
}  # fmt: skip


@every(READS_DIGESTS)
@pytest.mark.parametrize("harm", DIGESTS.values(), ids=DIGESTS.keys())
def test_digests_that_are_none(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code in (1, *REFUSED)


def figures(**values: Any) -> Harm:
    return appends("metrics.jsonl", json.dumps({"update": 4, **values}))


NONE_LEFT = ("deep", "bytes")
"""Harms after which no row can be read."""
ROWS: dict[str, Harm] = {
    "text": figures(**{"behaviour/ess": "evil", "time/steps_per_second": {"a": 1}}),
    "huge": figures(**{"behaviour/ess": 10**400, "update": 10**4000}),
    "not finite": figures(**{"behaviour/ess": float("inf"), "train/return_100": float("nan")}),
    "deep": writes("metrics.jsonl", "[" * 10**6 + "\n"),
    "bytes": writes("metrics.jsonl", b"\xff\xfe{}\n"),
}  # fmt: skip
NO_ROWS: dict[str, Harm] = {
    "a link": lambda run: relink(run / "metrics.jsonl", "../../secret"),
    "a device": lambda run: relink(run / "metrics.jsonl", "/dev/zero"),
    "a pipe": lambda run: (run / "metrics.jsonl").unlink() or os.mkfifo(run / "metrics.jsonl"),
}


@every()
@pytest.mark.parametrize("harm", ROWS)
def test_figures_that_are_none(harm: str, verb: str, attack: Any) -> None:
    refused = (verb in READS_ROWS or verb.startswith("plot")) and harm in NONE_LEFT
    assert attack(ROWS[harm], verb).code == (2 if refused else 0)


@every(READS_ROWS)
@pytest.mark.parametrize("harm", NO_ROWS.values(), ids=NO_ROWS.keys())
def test_a_run_whose_rows_lead_elsewhere_is_left_out(harm: Harm, verb: str, attack: Any) -> None:
    ended = attack(harm, verb)
    assert ended.code == 2
    assert "No run is left to compare" in ended.err


@every({"show", "diff"})
@pytest.mark.parametrize("harm", NO_ROWS.values(), ids=NO_ROWS.keys())
def test_rows_that_lead_elsewhere(harm: Harm, verb: str, attack: Any) -> None:
    assert attack(harm, verb).code == 4


@every()
def test_changes_of_code_that_lead_elsewhere(verb: str, attack: Any) -> None:
    def harm(run: Path) -> None:
        manifest(code={"commit": "a" * 40, "dirty": True, "diff": "code.diff"})(run)
        (run / "code.diff").unlink(missing_ok=True)
        (run / "code.diff").symlink_to("../../secret")

    ended = attack(harm, verb)
    assert (ended.code == 4) == (verb in READS_DIGESTS | {"resume"})
    assert verb == "export" or not (Path.cwd() / "runs").exists(), "nothing was trained"


@every()
@pytest.mark.parametrize("file", ["config.yaml", "digests.txt", "metrics.jsonl", "train.log"])
def test_a_link_out_of_the_directory(file: str, verb: str, attack: Any) -> None:
    attack(lambda run: relink(run / file, "../../secret"), verb)
