"""Names of Stable-Baselines3, CleanRL and RLlib point to keys here, with values converted."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

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
    assert "vf_clip_param of RLlib is not a setting here" in faults("vf_clip_param=10")[0]


@pytest.mark.broken_by(
    "n_steps of Stable-Baselines3 is called the number of minibatches",
    "config/peer_names.py",
    '("n_steps", "algo.rollout_steps"),',
    '("n_steps", "algo.minibatches"),',
)
def test_the_translated_script_is_what_the_messages_say_to_write() -> None:
    page = (Path(__file__).parents[2] / "docs" / "coming_from.md").read_text(encoding="utf-8")
    script, command = re.findall(r"## A script.*?```python\n(.*?)```.*?```sh\n(.*?)```", page, re.DOTALL)[0]
    words = set(shlex.split(command.replace("\\\n", " ")))
    given = {
        one.arg: ast.unparse(one.value).replace(" ", "")
        for call in ast.walk(ast.parse(script))
        if isinstance(call, ast.Call) and not (isinstance(call.func, ast.Name) and "evaluate" in call.func.id)
        for one in call.keywords
        if one.arg and not isinstance(one.value, ast.Call)
    }
    assert len(given) == 12
    for fault in faults("seed=1", *(f"{name}={value}" for name, value in given.items() if name != "seed")):
        ours = re.findall(r"of Stable-Baselines3.*? Write ([\w.]+=[^ ]+)\.", fault)
        if ours:
            assert _same(ours[0], words), fault
        else:
            name = re.findall(r"Unknown key '(\w+)'. Did you mean 'algo", fault)[0]
            assert _same(f"algo.{name}={given[name]}", words), fault


def test_the_page_has_the_defaults_of_stable_baselines3() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs" / "coming_from.md").read_text().split())
    words = re.findall(r"takes without arguments is here `(.*?)`", page)[0].split()
    made = compose(words).config
    theirs = {name: one.default for name, one in inspect.signature(PPO).parameters.items()}
    assert made.env.num_envs * made.algo.rollout_steps == theirs["n_steps"]
    assert made.env.num_envs * made.algo.rollout_steps // made.algo.minibatches == theirs["batch_size"]
    assert made.algo.learning_rate_schedule == "constant"
    for ours, name in (
        ("epochs", "n_epochs"), ("learning_rate", "learning_rate"), ("gamma", "gamma"),
        ("clip", "clip_range"),
        ("gae_lambda", "gae_lambda"), ("entropy_coef", "ent_coef"), ("value_coef", "vf_coef"),
        ("max_grad_norm", "max_grad_norm"), ("target_kl", "target_kl"), ("value_clip", "clip_range_vf"),
    ):  # fmt: skip
        assert getattr(made.algo, ours) == theirs[name], name


def _same(written: str, words: set[str]) -> bool:
    """Whether an override is among the words, with the same value."""
    key, _, value = written.partition("=")
    return any(
        one.startswith(f"{key}=") and ast.literal_eval(one.partition("=")[2]) == ast.literal_eval(value)
        for one in words
    )
