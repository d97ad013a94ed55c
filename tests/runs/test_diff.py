"""In what two runs differ, and what that does to results."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.config.schema.keys import KEYS
from rlcli.runs.diff import Differences, differences
from rlcli.runs.train import Result
from rlcli.store.provenance import PACKAGES, packages
from tests.runs.tiny import manifest_of

Trained = Callable[..., Result]


def told(found: Differences) -> dict[str, tuple[Any, Any, str]]:
    return {one.name: (one.left, one.right, one.effect) for one in found.settings}


def test_a_run_does_not_differ_from_itself(finished: Path) -> None:
    found = differences(finished, finished)
    assert (found.settings, found.same) == ([], True)
    assert found.comparison == (3, 3, None)
    assert found.figures[0] == found.figures[1]
    assert {"update", "behaviour/ess", "eval/return_mean"} <= set(found.figures[0])


def test_what_was_told_differently_by_what_it_does(trained: Trained) -> None:
    one = trained("one").dir
    other = trained("other", seed=1, compute__threads=1, env__replay_limit=50, tags=("x",)).dir
    found = differences(one, other)
    assert told(found) == {
        "seed": (0, 1, "results"),
        "env.replay_limit": (100_000, 50, "maybe"),
        "tags": ([], ["x"], "nothing"),
    }
    assert not found.same
    assert found.comparison is not None
    assert found.comparison.difference is not None
    assert found.comparison.difference.update == 1


def test_every_group_comes_from_the_declarations() -> None:
    assert {key.declaration.effect for key in KEYS.values()} == {"results", "maybe", "nothing"}
    assert set(packages()) <= set(PACKAGES)


def test_packages_machine_and_code(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    content = manifest_of(other)
    content["packages"] |= {"torch": "1.0", "rich": "1.0", "new": "2"}
    content["machine"]["python"] = "2.7"
    content["code"] = {"commit": "b" * 40, "dirty": True, "diff": "code.diff"}
    content["overrides"] = ["seed=0"]
    (other / "manifest.json").write_text(json.dumps(content))
    (other / "code.diff").write_text("changes")
    effects = {name: effect for name, (_, _, effect) in told(differences(finished, other)).items()}
    assert effects == {
        "torch": "maybe", "rich": "nothing", "new": "maybe", "python": "maybe", "commit": "maybe",
        "uncommitted changes": "maybe", "overrides": "nothing",
    }  # fmt: skip
    again = tmp_path / "again"
    shutil.copytree(other, again)
    assert differences(other, again).settings == []
    (again / "code.diff").write_text("other changes")
    assert list(told(differences(other, again))) == ["uncommitted changes"]
    assert differences(finished, other).same, "by what came of it"


def test_a_longer_run_is_the_same_as_far_as_both_go(trained: Trained) -> None:
    short, long = trained("short").dir, trained("long", total_steps=160, schedule_steps=96).dir
    found = differences(short, long)
    assert found.same
    assert found.comparison == (3, 3, None)
    assert list(told(found)) == ["total_steps"]


@pytest.mark.parametrize("digests", [None, "# rlcli digests 2: x\n", f"1 {'a' * 32}\n"])
def test_without_digests_nothing_is_claimed(digests: str | None, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    (other / "digests.txt").unlink()
    if digests is not None:
        (other / "digests.txt").write_text(digests)
    found = differences(finished, other)
    assert (found.comparison, found.same) == (None, False)
    reason = {None: "has no digests", "1": "version 2 cannot be compared with those of version 1"}
    assert reason.get(digests[:1] if digests else None, "no update that both") in str(found.reason)


def test_a_torn_last_row_is_left_out(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    path = other / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    left, right = differences(finished, other).figures
    assert (left["update"], right["update"]) == (3, 2)


def test_differences_are_plain(finished: Path) -> None:
    assert dataclasses.asdict(differences(finished, finished))["reason"] is None
