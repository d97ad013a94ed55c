"""The command that installs an extra, for each way rlcli can be installed; and that messages have it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from rlcli import extras
from rlcli.envs.registry import validate_id
from rlcli.errors import UserError
from rlcli.extras import extra_command, install_command

PYPROJECT = '[project]\nname = "rlcli"\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that rlcli runs from, not the current one."""
    folder = tmp_path / "my clone"
    folder.mkdir()
    monkeypatch.setattr(extras, "__file__", str(folder / "rlcli" / "extras.py"))
    return folder


def test_of_an_installed_wheel(root: Path) -> None:
    assert extra_command("mujoco") == "pip install 'rlcli[mujoco]'"
    (root / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert extra_command("mujoco") == "pip install 'rlcli[mujoco]'"


@pytest.mark.broken_by(
    "from a checkout with an environment of its own, make is told",
    "extras.py",
    'Path(sys.prefix).resolve() == root / ".venv" and',
    "True and",
)
def test_of_a_checkout_in_an_environment_of_ones_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "Makefile").touch()
    assert extra_command("box2d") == f"pip install -e '{root}[box2d]'"
    monkeypatch.chdir(root)
    assert extra_command("box2d") == "pip install -e '.[box2d]'"


def test_of_a_checkout_in_the_environment_of_make(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "Makefile").touch()
    monkeypatch.setattr(sys, "prefix", str(root / ".venv"))
    assert extra_command("atari") == f"make -C '{root}' install EXTRAS=atari"
    monkeypatch.chdir(root)
    assert extra_command("atari") == "make install EXTRAS=atari"


def test_a_package_of_no_extra() -> None:
    assert install_command("gymnasium[jax]") == 'pip install "gymnasium[jax]"'


@pytest.mark.parametrize(
    ("env_id", "module", "extra"),
    [
        ("LunarLander-v3", "Box2D", "box2d"),
        ("BipedalWalker-v3", "Box2D", "box2d"),
        ("HalfCheetah-v5", "mujoco", "mujoco"),
        ("ALE/Pong-v5", "ale_py", "atari"),
    ],
)
def test_an_environment_whose_extra_is_missing(
    env_id: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gymnasium

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == module else find(name, *rest)
    )
    if module == "ale_py":  # may be registered already
        monkeypatch.delitem(gymnasium.registry, env_id, raising=False)
    with pytest.raises(UserError) as raised:
        validate_id(env_id)
    assert f"needs the package {module} of the extra {extra}, which is not installed" in str(raised.value)
    assert raised.value.hint == f"Install it with: {extra_command(extra)}"


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Taxi-v4", "Blackjack-v1", "CliffWalking-v1"])
def test_toy_text_needs_no_extra(env_id: str) -> None:
    validate_id(env_id)
