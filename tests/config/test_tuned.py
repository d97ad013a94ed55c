"""Tuned settings: every file composes, and a family of environments has a file beneath theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.config.compose import Composed, compose
from rlcli.config.groups import files
from rlcli.config.rules.effect import keys_have_effect
from rlcli.config.schema.network import kinds_of_network
from rlcli.config.serialise import flatten

TUNED = files("tuned")
GAMES = {"ALE": "ALE/Pong-v5"}
"""An environment of each family."""
MUJOCO = [f"{name}-v5" for name in ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Swimmer", "Humanoid")]


def composed(name: str) -> Composed:
    """The run that a tuned file applies to."""
    algo, _, env = name.partition("/")
    return compose([f"algo={algo}", f"env={GAMES.get(env, env)}"])


@pytest.mark.parametrize("name", TUNED)
def test_every_file_composes_and_each_of_its_keys_has_an_effect(name: str) -> None:
    if name.endswith("/ALE") and "nature_cnn" not in kinds_of_network():
        pytest.skip("there is no network=nature_cnn yet")
    job = composed(name)
    assert job.config.tuned == name
    own = [key for key, source in job.provenance.items() if source == f"tuned/{name}"]
    assert own
    # Read as a file of a person who set each key on purpose.
    assert not list(keys_have_effect(job.config, dict.fromkeys(own, "command line")))


@pytest.mark.parametrize("name", TUNED)
def test_every_file_has_a_description(name: str) -> None:
    comments = [line for line in TUNED[name].read_text().splitlines() if line.startswith("# ")]
    assert comments[0] == "# @package _global_"
    assert comments[1].endswith((".", ":"))


@pytest.mark.parametrize("algo", ["ppo", "trpo", "a2c"])
@pytest.mark.parametrize("env", ["LunarLander-v3", "BipedalWalker-v3", *MUJOCO])
def test_continuous_control_is_tuned_with_its_source_named(algo: str, env: str) -> None:
    assert "\n# Source: " in TUNED[f"{algo}/{env}"].read_text()


def test_settings_of_the_zoo_are_translated_to_our_units() -> None:
    """By hand, of four entries of RL Baselines3 Zoo: 512 steps in minibatches of 64 are 8 of them."""
    cheetah = flatten(composed("ppo/HalfCheetah-v5").config)
    assert (cheetah["algo.rollout_steps"], cheetah["algo.minibatches"], cheetah["env.num_envs"]) == (
        512,
        8,
        1,
    )
    assert (cheetah["network.hidden"], cheetah["network.log_std_init"]) == ([256, 256], -2.0)
    walker = flatten(composed("ppo/BipedalWalker-v3").config)
    assert (walker["env.num_envs"], walker["algo.minibatches"]) == (32, 2048 * 32 // 64)
    trpo = flatten(composed("trpo/HalfCheetah-v5").config)
    assert (trpo["algo.delta"], trpo["algo.epochs"], trpo["algo.minibatches"]) == (0.04, 20, 2 * 1024 // 128)
    lander = flatten(composed("a2c/LunarLander-v3").config)
    assert (lander["algo.learning_rate"], lander["algo.learning_rate_schedule"]) == (8.3e-4, "linear")


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Configs with a family of environments, and one environment of it with settings of its own."""
    folder = tmp_path / "tuned" / "a2c"
    (folder / "Family").mkdir(parents=True)
    (folder / "Family.yaml").write_text("# @package _global_\nalgo: {gamma: 0.5, epochs: 3}\n")
    (folder / "Family" / "One-v0.yaml").write_text("# @package _global_\nalgo: {gamma: 0.6}\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("words", "tuned", "gamma", "epochs"),
    [
        ("env=Family/One-v0", "a2c/Family/One-v0", 0.6, 3),
        ("env=Family/One-v0 tuned=a2c/Family/One-v0", "a2c/Family/One-v0", 0.6, 3),
        ("env=Family/One-v0 algo.gamma=0.7", "a2c/Family/One-v0", 0.7, 3),
        ("env=Family/Two-v0", "a2c/Family", 0.5, 3),
        ("env=CartPole-v1 tuned=a2c/Family", "a2c/Family", 0.5, 3),
        ("env=Family/One-v0 tuned=none", "none", 0.99, 1),
        ("env=Other/One-v0", "none", 0.99, 1),
        ("env=Family", "a2c/Family", 0.5, 3),
    ],
)
@pytest.mark.broken_by(
    "the family over its environment",
    "config/compose.py",
    "for name in (family, choice)",
    "for name in (choice, family)",
    case="env=Family/One-v0-a2c/Family/One-v0-0.6-3",
)
def test_a_family_applies_beneath_its_environments(
    own: str, words: str, tuned: str, gamma: float, epochs: int
) -> None:
    job = compose(["algo=a2c", *words.split()], config_dir=own)
    assert (job.config.tuned, job.config.algo.gamma, job.config.algo.epochs) == (tuned, gamma, epochs)


def test_the_origin_of_each_value_names_the_file_of_the_family(own: str) -> None:
    lines = compose(["algo=a2c", "env=Family/One-v0"], config_dir=own).yaml.splitlines()
    assert "  epochs: 3  # tuned/a2c/Family" in lines
    assert "  gamma: 0.6  # tuned/a2c/Family/One-v0" in lines
