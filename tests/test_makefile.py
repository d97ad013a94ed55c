"""The Makefile installs no more than a target needs; other files call targets that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
CALLERS = (ROOT / "Dockerfile", WORKFLOW, ROOT / ".ci" / "run")
OWN = "--no-build-isolation --editable"
"""How rlcli itself is installed."""
COMPILER = "ziglang || true; fi"
"""Installed where there is no other compiler."""
TRAINING = ["torch setuptools", COMPILER, f"{OWN} ."]
DEV = f"{OWN} '.[dev]'"
TARGET = r"\bmake ([a-z][a-z-]*)"


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """A call of make at the top of the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "EXTRAS")}
    return subprocess.run(["make", "-C", str(ROOT), *words], capture_output=True, text=True, env=environment)


def installations(venv: Path, *words: str) -> list[str]:
    """What pip would be asked to install by a call of make, in order."""
    done = make("--dry-run", *words, f"VENV={venv}")
    assert done.returncode == 0, done.stderr
    return re.findall(r"-m pip install .* --constraint constraints\.txt (.*)", done.stdout)


def stamped(venv: Path, *names: str) -> Path:
    """An environment in which these sets are installed, by its stamps."""
    venv.mkdir()
    for name in names:
        (venv / name).touch()
    return venv


def test_train_installs_no_extra(tmp_path: Path) -> None:
    assert installations(tmp_path / "venv", "train") == TRAINING
    assert installations(tmp_path / "venv", "install") == TRAINING


def test_test_adds_the_rest_to_the_same_environment(tmp_path: Path) -> None:
    assert installations(tmp_path / "venv", "test") == [*TRAINING, DEV]
    venv = stamped(tmp_path / "trained", ".installed")
    assert installations(venv, "test") == [DEV]
    assert installations(venv, "train") == []
    assert installations(stamped(tmp_path / "tested", ".installed", ".installed-dev"), "check") == []


def test_extras_are_added_to_what_training_needs(tmp_path: Path) -> None:
    venv = stamped(tmp_path / "venv", ".installed")
    assert installations(venv, "train", "EXTRAS=box2d,mujoco") == [f"{OWN} '.[box2d,mujoco]'"]
    assert installations(venv, "install", "EXTRAS=dev") == [DEV]
    assert installations(venv, "test", "EXTRAS=box2d") == [f"{OWN} '.[box2d]'", DEV]
    assert installations(venv, "test", "EXTRAS=dev") == [DEV]


def test_an_unknown_extra_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    venv = stamped(tmp_path / "venv", ".installed")
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(sys.executable)
    done = make("install", "EXTRAS=box2d,mujocco", f"VENV={venv}")
    assert done.returncode != 0
    assert "there is no extra 'mujocco'" in done.stderr
    assert "mujoco," in done.stderr
    assert not (venv / ".installed-box2d,mujocco").exists()


def test_torch_comes_from_the_index_that_is_named(tmp_path: Path) -> None:
    """Without its dependencies, which that index may have in other versions than the pins."""
    asked = installations(tmp_path / "venv", "install", "TORCH_INDEX=file:///wheels")
    assert asked == ["--no-deps --index-url 'file:///wheels' torch", *TRAINING]


def test_no_target_uses_an_undefined_variable() -> None:
    """A stamp of another name would be an empty prerequisite: the target would install nothing."""
    assert "undefined" not in make("--warn-undefined-variables", "--dry-run", "help").stderr


@pytest.mark.parametrize("caller", CALLERS, ids=lambda path: path.name)
def test_targets_called_from_elsewhere_exist(caller: Path) -> None:
    code = re.sub(r"^\s*#.*$", "", caller.read_text(), flags=re.MULTILINE)
    targets = set(re.findall(TARGET, code)) | set(re.findall(r'"make", "([a-z-]+)"', code))
    assert {"install", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert {name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_the_workflow_checks_what_a_change_needs() -> None:
    """The workflow of the code host calls the targets of .ci/run, and trains once."""
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    called = {
        name
        for job in jobs.values()
        for step in job["steps"]
        for name in re.findall(TARGET, step.get("run", ""))
    }
    assert set(re.findall(TARGET, (ROOT / ".ci" / "run").read_text())) | {"train"} <= called
