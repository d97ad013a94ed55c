"""Names of Stable-Baselines3, CleanRL and RLlib point to keys here, with values converted."""

from __future__ import annotations

import inspect

import pytest
from sb3_contrib import TRPO
from stable_baselines3 import A2C, PPO

from rlcli.catalog.table import METRICS
from rlcli.config.compose import compose
from rlcli.config.groups import GROUPS
from rlcli.config.overrides import sections
from rlcli.config.peer_names import PEER_NAMES
from rlcli.config.schema.keys import KEYS
from rlcli.errors import UserError


def faults(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        compose(["tuned=none", *overrides])
    return caught.value.faults


def test_every_counterpart_exists() -> None:
    known = {*KEYS, *METRICS, *GROUPS, *sections()}
    assert [(one.name, ours) for one in PEER_NAMES for ours in one.ours if ours not in known] == []


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
def test_every_argument_of_stable_baselines3_is_in_the_table(algorithm: type) -> None:
    names = {one.name for one in PEER_NAMES if one.library == "Stable-Baselines3"}
    arguments = set(inspect.signature(algorithm).parameters) - {"_init_setup_model"}
    assert arguments - names == set()


@pytest.mark.parametrize(
    ("override", "written"),
    [
        ("algo.lr=1e-3", "algo.learning_rate=1e-3"),
        ("LR=1e-3", "algo.learning_rate=1e-3"),
        ("n_steps=64", "algo.rollout_steps=64"),
        ("ent_coef=0.1", "algo.entropy_coef=0.1"),
        ("clip_range=0.1", "algo.clip=0.1"),
        ("n_envs=4", "env.num_envs=4"),
        ("total_timesteps=1000", "total_steps=1000"),
        ("num_steps=64", "algo.rollout_steps=64"),
        ("update_epochs=2", "algo.epochs=2"),
        ("norm_adv=false", "algo.normalize_advantage=none"),
        ("vf_coef=0.5", "algo.value_coef=0.25"),
        ("sgd_minibatch_size=256", "algo.minibatches=4"),
        ("train_batch_size=4096", "algo.rollout_steps=512"),
        ("lambda=0.9", "algo.gae_lambda=0.9"),
        ("eval_freq=100", "eval.every=800"),
    ],
)
def test_a_name_comes_with_the_override_to_write(override: str, written: str) -> None:
    [fault] = faults(override)
    assert f"Write {written}." in fault


@pytest.mark.broken_by(
    "minibatch size taken for a number of minibatches",
    "config/peer_values.py",
    "count = batch / size",
    "count = size",
)
def test_sizes_of_minibatches_are_converted_with_the_numbers_of_the_command() -> None:
    assert "Write algo.minibatches=16." in faults("n_steps=256", "n_envs=4", "batch_size=64")[2]
    assert (
        "Write algo.minibatches=4." in faults("algo.rollout_steps=64", "env.num_envs=4", "batch_size=64")[0]
    )
    assert "Write algo.minibatches=40." in faults(
        "train_batch_size=4000", "minibatch_size=100", "num_env_runners=2"
    )[1]  # fmt: skip


def test_what_has_no_counterpart_says_so() -> None:
    assert "vf_clip_param of RLlib has no counterpart here" in faults("vf_clip_param=10")[0]
