"""`rlcli list`, `--cfg` and help."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rlcli import __version__
from rlcli.config.compose import compose, from_yaml
from rlcli.extras import extra_command
from tests.cli.conftest import ALGORITHMS, Rlcli
from tests.cli.test_environments import SHORT

ROOT = Path(__file__).parents[2]
TUNED = sorted(path.parent.name for path in (ROOT / "conf" / "tuned").glob("*/CartPole-v1.yaml"))
"""The algorithms that have settings of their own for CartPole."""


def test_what_can_be_listed(rlcli: Rlcli) -> None:
    assert [row["name"] for row in rlcli("list", "algos", "--json").rows()] == ALGORITHMS
    assert [row["name"] for row in rlcli("list", "networks", "--json").rows()] == [
        "gru", "impala_resnet", "lstm", "mlp", "nature_cnn",
    ]  # fmt: skip
    launchers = {(row["name"], row["setting"]): row for row in rlcli("list", "launchers", "--json").rows()}
    assert [name for name, setting in launchers if not setting] == [
        "cohort", "basic", "joblib", "submitit", "ray",
    ]  # fmt: skip
    assert launchers["joblib", "n_jobs"]["default"] == "-1"
    configs = {(row["group"], row["name"]) for row in rlcli("list", "configs", "--json").rows()}
    assert {
        ("tuned", "ppo/CartPole-v1"),
        ("env", "Pendulum-v1"),
        ("experiment", "benchmark_shape"),
    } <= configs
    assert all(row["description"] for row in rlcli("list", "configs", "--json").rows())
    envs = {row["name"]: row for row in rlcli("list", "envs", "--json").rows()}
    assert envs["CartPole-v1"] == {
        "name": "CartPole-v1", "array": True, "mujoco": False, "box2d": False, "tuned": TUNED,
        "cannot_train": "",
    }  # fmt: skip
    assert envs["Ant-v5"]["mujoco"]
    assert envs["LunarLander-v3"]["box2d"]
    assert envs["MountainCar-v0"] == {
        "name": "MountainCar-v0", "array": True, "mujoco": False, "box2d": False, "tuned": [],
        "cannot_train": "",
    }  # fmt: skip
    assert envs["FrozenLake-v1"]["tuned"] == []
    assert not envs["FrozenLake-v1"]["array"]


def test_lists_are_plain_when_piped(rlcli: Rlcli) -> None:
    lines = rlcli("list", "envs").out.splitlines()
    assert lines[0].split() == ["name", "array", "mujoco", "box2d", "tuned", "cannot", "train"]
    assert lines[1].split() == ["CartPole-v1", "array", *TUNED]
    assert "FrozenLake-v1" in lines


@pytest.mark.broken_by(
    "environments whose package is missing are not marked",
    "envs/obstacles.py",
    "if missing is not None:",
    "if False:",
)
def test_what_cannot_be_trained_yet_is_marked_with_the_reason(
    rlcli: Rlcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is true: those are refused, and one that is not marked is trained."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name in ("jax", "Box2D", "ale_py") else find(name, *rest),
    )
    reasons = {row["name"]: row["cannot_train"] for row in rlcli("list", "envs", "--json").rows()}
    assert reasons["CartPole-v1"] == ""
    assert reasons["phys2d/CartPole-v1"] == 'needs jax: pip install "gymnasium[jax]"'
    assert reasons["LunarLander-v3"] == f"needs Box2D: {extra_command('box2d')}"
    assert reasons["ALE/..."] == f"needs ale_py: {extra_command('atari')}"
    for name in ("phys2d/CartPole-v1", "LunarLander-v3"):
        assert rlcli("train", f"env={name}").code == 2


def test_images_are_marked(rlcli: Rlcli) -> None:
    pytest.importorskip("Box2D")
    reasons = {row["name"]: row["cannot_train"] for row in rlcli("list", "envs", "--json").rows()}
    assert reasons["CarRacing-v3"] == "images: network=nature_cnn"
    assert reasons["LunarLander-v3"] == ""
    assert "its observations are images" in rlcli("train", "env=CarRacing-v3").err


def test_atari_is_marked_with_what_can_be_trained(rlcli: Rlcli) -> None:
    pytest.importorskip("ale_py")
    reasons = {row["name"]: row["cannot_train"] for row in rlcli("list", "envs", "--json").rows()}
    assert reasons["ALE/Pong-v5"] == "images: network=nature_cnn"
    assert rlcli("train", "env=ALE/Pong-v5", "env.kwargs.obs_type=ram", *SHORT).code == 0


def test_ones_own_configs_are_listed(rlcli: Rlcli, workplace: Path) -> None:
    (workplace / "own" / "algo").mkdir(parents=True)
    (workplace / "own" / "algo" / "mine.yaml").write_text("# My own.\nname: ppo\n")
    rows = rlcli("list", "algos", "--config-dir", "own", "--json").rows()
    assert {"name": "mine", "description": "My own."} in rows


def test_cfg_shows_the_job_and_trains_nothing(rlcli: Rlcli, workplace: Path) -> None:
    ended = rlcli("train", "--cfg", "job", "algo.clip=0.1")
    assert ended.code == 0
    assert from_yaml(ended.out) == compose(["algo.clip=0.1"]).config
    assert "  clip: 0.1  # command line" in ended.out.splitlines()
    assert list(workplace.iterdir()) == []


def test_cfg_of_a_sweep_is_a_document_a_job(rlcli: Rlcli) -> None:
    documents = list(yaml.safe_load_all(rlcli("train", "-m", "--cfg", "job", "seed=3,4").out))
    assert [document["seed"] for document in documents] == [3, 4]


@pytest.mark.parametrize("what", ["hydra", "all"])
def test_cfg_shows_hydras_own_settings(what: str, rlcli: Rlcli) -> None:
    content = yaml.safe_load(rlcli("train", "--cfg", what, "hydra.verbose=true").out)
    assert content["hydra"]["verbose"] is True
    assert ("algo" in content) == (what == "all")


def test_flags_stand_anywhere(rlcli: Rlcli) -> None:
    expected = rlcli("train", "--cfg", "job", "seed=1", "algo.clip=0.1").out
    for words in (
        ("seed=1", "--cfg", "job", "--quiet", "algo.clip=0.1"),
        ("--quiet", "seed=1", "algo.clip=0.1", "-c", "job"),
        ("--cfg=job", "--", "seed=1", "+algo.clip=0.1"),
    ):
        assert rlcli("train", *words).out == expected
    assert rlcli("--quiet", "train", "seed=1", "algo.clip=0.1", "--cfg", "job").out == expected


def test_version_and_help(rlcli: Rlcli) -> None:
    assert rlcli("--version").out == f"rlcli {__version__}\n"
    assert "Examples:\n    rlcli train " in rlcli("--help").out
    for verb in ("train", "eval", "runs", "show", "list", "explain", "doctor"):
        assert f"  {verb} " in rlcli("--help").out
        assert "Examples:\n" in rlcli(verb, "--help").out


def test_the_module_is_the_command(workplace: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "rlcli", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"rlcli {__version__}\n")
