"""The comparison behind `make same-numbers`: what it finds, what it leaves out, and one run of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rlcli.config.compose import compose
from rlcli.runs.train import train
from scripts.run_comparison import Comparison, compare, read_digests

ROOT = Path(__file__).parents[1]
WORDS = (
    "tuned=none", "total_steps=64", "env.num_envs=2", "algo.rollout_steps=16", "network.hidden=[8]",
    "eval.episodes=0", "checkpoint.every=1", "checkpoint.seconds=0", "checkpoint.keep=1", "logger=[jsonl]",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    train([compose(WORDS).config], [run_dir], quiet=True)
    return run_dir


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole, tmp_path / "changed"))


def altered_digest(run_dir: Path, update: int, quantity: int) -> None:
    """Changes one digest; quantities are counted from 0."""
    path = run_dir / "digests.txt"
    lines = path.read_text().splitlines()
    fields = lines[update].split()
    fields[1 + quantity] = "0" * 32
    lines[update] = " ".join(fields)
    path.write_text("\n".join(lines) + "\n")


def altered_rows(run_dir: Path, update: int, **figures: float | None) -> None:
    path = run_dir / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for name, value in figures.items():
        rows[update - 1].pop(name.replace("__", "/"), None)
        if value is not None:
            rows[update - 1][name.replace("__", "/")] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def altered_tensor(run_dir: Path, update: int, name: str, new_name: str | None = None) -> None:
    """Moves one element of a tensor, or gives the tensor another name."""
    path = run_dir / "checkpoints" / f"{update}.safetensors"
    tensors = load_file(path)
    if new_name is None:
        tensors[name] = tensors[name].copy()
        tensors[name].flat[0] = np.nextafter(tensors[name].flat[0], np.inf)
    else:
        tensors[new_name] = tensors.pop(name)
    save_file(tensors, path)


def test_a_run_equals_itself(whole: Path) -> None:
    found = compare(whole, whole)
    assert found == Comparison(updates=2, digests=10)


def test_a_figure_that_differs_is_named(whole: Path, changed: Path) -> None:
    altered_digest(changed, 2, 4)
    altered_rows(changed, 2, behaviour__ess=0.5)
    found = compare(whole, changed)
    [difference] = found.differences
    assert difference.startswith("update 2, figure behaviour/ess: ")
    assert found.figures_alone


def test_a_tensor_that_differs_in_its_last_bit_is_named(whole: Path, changed: Path) -> None:
    altered_digest(changed, 1, 0)
    altered_tensor(changed, 1, "train.policy.parameters")
    found = compare(whole, changed)
    assert not found.figures_alone
    [difference] = found.differences
    assert difference.startswith("update 1, parameters, tensor train.policy.parameters: 1 of ")


def test_an_update_that_only_one_side_has_is_a_difference(whole: Path, changed: Path) -> None:
    path = changed / "digests.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert compare(whole, changed).differences == ["update 2: only one side has it"]


def test_a_digest_without_a_checkpoint_to_look_into_is_a_difference(whole: Path, changed: Path) -> None:
    altered_digest(changed, 2, 1)
    (changed / "checkpoints" / "2.safetensors").unlink()
    [difference] = compare(whole, changed).differences
    assert "update 2, optimiser: digests differ" in difference


def test_figures_of_one_side_are_left_out_and_named(whole: Path, changed: Path) -> None:
    for update in (1, 2):
        altered_digest(changed, update, 4)
        altered_rows(changed, update, update__lag=None, update__khat=0.1)
    found = compare(whole, changed)
    assert found.differences == []
    assert list(found.left_out) == ["figure update/khat", "figure update/lag"]


def test_tensors_of_one_side_are_left_out_and_named(whole: Path, changed: Path) -> None:
    altered_digest(changed, 1, 1)
    altered_tensor(changed, 1, "train.coefficient", "train.penalty")
    found = compare(whole, changed)
    assert found.differences == []
    assert list(found.left_out) == ["tensor train.coefficient", "tensor train.penalty"]


def test_keys_of_one_side_are_named(whole: Path, changed: Path) -> None:
    path = changed / "config.yaml"
    path.write_text(path.read_text().replace("  anchor: update", "  anchored: update"))
    assert list(compare(whole, changed).left_out) == ["key algo.anchor", "key algo.anchored"]


def newer_digests(run_dir: Path) -> None:
    path = run_dir / "digests.txt"
    lines = path.read_text().replace("digests 2", "digests 9").splitlines()
    path.write_text("\n".join([lines[0], *(line.replace("a", "b") for line in lines[1:])]) + "\n")


def test_digests_of_another_version_are_not_compared_but_all_tensors_are(whole: Path, changed: Path) -> None:
    newer_digests(changed)
    assert read_digests(changed).version == "9"
    found = compare(whole, changed)
    assert found.differences == []
    assert found.digests == 0
    assert list(found.left_out) == ["digests (versions 2 and 9): tensors and figures are compared"]
    altered_tensor(changed, 2, "collector.returns")
    altered_rows(changed, 1, train__episodes=-1.0)
    assert [text.partition(":")[0].split()[-1] for text in compare(whole, changed).differences] == [
        "train/episodes",
        "collector.returns",
    ]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_run_at_a_revision_and_in_this_tree(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "same_numbers.py"), "HEAD", "--only", "a2c discrete"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    verdict = done.stdout.splitlines()[-1]
    # Uncommitted changes may be meant to change numbers; without any it is identical.
    assert verdict.startswith("different: 1 of 1 runs" if done.returncode else "identical: 1 runs, 8 updates")


def test_runs_with_and_without_evaluations_are_the_same(whole: Path, tmp_path: Path) -> None:
    """What evaluations find and how often they are made is left out, by rule."""
    evaluated = tmp_path / "evaluated"
    words = [*(word for word in WORDS if not word.startswith("eval.")), "eval.every=32", "eval.episodes=1"]
    train([compose(words).config], [evaluated], quiet=True)
    assert "eval/return_mean" in (evaluated / "metrics.jsonl").read_text()
    assert compare(whole, evaluated) == Comparison(updates=2, digests=10)
    config = evaluated / "config.yaml"
    config.write_text(config.read_text().replace("  every: 32\n", ""))
    assert compare(whole, evaluated) == Comparison(updates=2, digests=10)
