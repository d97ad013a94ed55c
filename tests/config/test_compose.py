"""Composition: what wins over what, and what a key's value is said to come from."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from rlcli.config import hydra_bridge
from rlcli.config.compose import compose, from_yaml, to_dict, to_yaml
from rlcli.config.overrides import parse_command
from rlcli.config.schema.keys import KEYS
from rlcli.errors import UserError
from tests.sweeps.composing import compose_multirun, multirun


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A folder of a user's own configs."""
    files = {
        "env/mine.yaml": "id: Acrobot-v1\nnum_envs: 3\n",
        "env/CartPole-v1.yaml": "id: CartPole-v1\nnum_envs: 5\n",
        "tuned/ppo/Acrobot-v1.yaml": "# @package _global_\nalgo: {gamma: 0.5, clip: 0.31, epochs: 7}\n",
        "experiment/e.yaml": "# @package _global_\nalgo: {clip: 0.32, epochs: 9}\n",
        "experiment/swap.yaml": "# @package _global_\ndefaults: [{override /env: mine}]\nseed: 4\n",
        "experiment/typo.yaml": "# @package _global_\nalgo: {clipp: 0.1}\n",
        "experiment/wrong.yaml": "# @package _global_\nalgo: {clip: much}\n",
    }
    for name, text in files.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "own")


def test_command_line_over_experiment_over_tuned_over_default(own: str) -> None:
    job = compose(["env=mine", "experiment=e", "algo.epochs=11"], config_dir=own)
    algo = job.config.algo
    assert (algo.gae_lambda, algo.gamma, algo.clip, algo.epochs) == (0.95, 0.5, 0.32, 11)
    keys = ("algo.adam_eps", "algo.gae_lambda", "algo.gamma", "algo.clip", "algo.epochs")
    assert [job.provenance[key] for key in keys] == [
        "default",
        "algo/ppo",
        "tuned/ppo/Acrobot-v1",
        "experiment/e",
        "command line",
    ]


def test_the_order_typed_does_not_change_precedence(own: str) -> None:
    job = compose(["algo.epochs=11", "experiment=e", "env=mine"], config_dir=own)
    assert (job.config.algo.epochs, job.config.algo.clip) == (11, 0.32)


def test_a_file_of_ones_own_wins_over_ours(own: str) -> None:
    assert compose(["tuned=none"], config_dir=own).config.env.num_envs == 5
    assert compose(["tuned=none"]).config.env.num_envs == 8


def test_an_experiment_may_choose_groups_and_tuned_follows(own: str) -> None:
    job = compose(["experiment=swap"], config_dir=own)
    assert (job.config.env.id, job.config.tuned, job.config.seed) == ("Acrobot-v1", "ppo/Acrobot-v1", 4)


@pytest.mark.parametrize(
    ("overrides", "applied"),
    [
        ([], "ppo/CartPole-v1"),
        (["tuned=auto"], "ppo/CartPole-v1"),
        (["algo=ppo_clip"], "ppo/CartPole-v1"),
        (["env.id=Pendulum-v1"], "ppo/Pendulum-v1"),
        (["env=Acrobot-v1"], "none"),
        (["tuned=none"], "none"),
        (["tuned=null"], "none"),
        (["tuned=ppo/Pendulum-v1"], "ppo/Pendulum-v1"),
        (["experiment=benchmark_shape"], "none"),
        (["experiment=benchmark_shape", "tuned=auto"], "ppo/CartPole-v1"),
    ],
)
def test_tuned_settings_apply_by_algorithm_and_environment(overrides: list[str], applied: str) -> None:
    config = compose(overrides).config
    assert config.tuned == applied
    assert config.algo.gamma == {"ppo/CartPole-v1": 0.98, "ppo/Pendulum-v1": 0.9, "none": 0.99}[applied]


def test_an_alias_is_the_same_row() -> None:
    assert compose(["algo=ppo_clip"]).config == compose(["algo=ppo"]).config


@pytest.mark.parametrize("env", ["Acrobot-v1", "ALE/Pong-v5", "some.module:Thing-v3", "phys2d/CartPole-v1"])
def test_any_id_composes_without_a_file(env: str) -> None:
    job = compose([f"env={env}"])
    assert job.config.env.id == env
    assert compose([f"env.id={env}"]).config == job.config


@pytest.mark.parametrize(
    "override", ["env.kwargs.g=9.5", "+env.kwargs.g=9.5", "++env.kwargs.g=9.5", "env.kwargs={g:9.5}"]
)
def test_arguments_of_the_environment_are_free(override: str) -> None:
    job = compose([override])
    assert job.config.env.kwargs == {"g": 9.5}
    assert job.provenance["env.kwargs"] == "command line"


def test_values_are_converted() -> None:
    config = compose(
        ["total_steps=1e5", "seed=3.0", "logger=jsonl", "name=12", "tags=[a,1]", "network.hidden=[8,9]",
         "algo.target_kl=null", "algo.max_grad_norm=null", "algo.gamma=1", "wandb={mode:offline,group:g}"]
    ).config  # fmt: skip
    assert (config.total_steps, config.seed, config.name) == (100_000, 3, "12")
    assert isinstance(config.total_steps, int)
    assert isinstance(config.algo.gamma, float)
    assert (config.logger, config.tags, config.network.hidden) == (("jsonl",), ("a", "1"), (8, 9))
    assert (config.algo.target_kl, config.algo.max_grad_norm) == (None, None)
    assert (config.wandb.mode, config.wandb.group) == ("offline", "g")


def test_interpolation_resolves() -> None:
    config = compose(["tuned=none", "algo.epochs=8", "algo.minibatches=${algo.epochs}"]).config
    assert config.algo.minibatches == 8


def test_schedules_last_as_long_as_the_run_unless_told() -> None:
    assert compose(["total_steps=5000"]).config.schedule_steps == 5000
    assert compose(["total_steps=5000", "schedule_steps=100"]).config.schedule_steps == 100


def test_the_last_of_two_values_counts() -> None:
    assert (
        compose(["seed=1", "seed=2", "env=Acrobot-v1", "env=CartPole-v1"]).config
        == compose(["seed=2"]).config
    )


def test_what_was_typed_composes_to_the_same_again() -> None:
    job = compose(["env.id=Pendulum-v1", "+env.kwargs.g=9.8", "total_steps=1e4", "notes='a b, c'"])
    assert compose(job.overrides).config == job.config


def test_provenance_is_yaml_of_the_same_config() -> None:
    job = compose(
        ["algo.clip=0.1", "notes='# not a comment: at all'", "env.kwargs.a=[1,{b:null}]", "tags=['1e3']"]
    )
    lines = job.yaml.splitlines()
    assert "  clip: 0.1  # command line" in lines
    assert "  epochs: 20  # tuned/ppo/CartPole-v1" in lines
    assert "  adam_eps: 1.0e-05  # default" in lines
    assert "  surrogate: clipped  # algo/ppo" in lines
    assert from_yaml(job.yaml) == job.config
    assert yaml.safe_load(job.yaml) == to_dict(job.config) == yaml.safe_load(to_yaml(job.config))
    assert set(job.provenance) == set(KEYS)


def test_a_files_mistakes_are_named(own: str) -> None:
    with pytest.raises(UserError, match=r"unknown key.*'algo.clipp'.*'algo.clip'"):
        compose(["experiment=typo"], config_dir=own)
    with pytest.raises(UserError, match=r"algo.clip=much \(from experiment/wrong\): expected a number"):
        compose(["experiment=wrong"], config_dir=own)


def test_sweeps_take_the_whole_grammar() -> None:
    def seeds(*texts: str) -> list[int]:
        return [job.config.seed for job in compose_multirun(texts)]

    assert seeds("seed=3,1") == [3, 1]
    assert seeds("seed=choice(2,5)") == [2, 5]
    assert seeds("seed=range(0,6,2)") == [0, 2, 4]
    assert sorted(seeds("seed=shuffle(range(4))")) == [0, 1, 2, 3]
    assert seeds("seed=7") == [7]
    ids = [job.config.env.id for job in compose_multirun(["env=glob(MountainCar*)"])]
    assert ids == ["MountainCar-v0", "MountainCarContinuous-v0"]
    assert {job.config.algo.name for job in compose_multirun(["algo=glob(ppo*)"])} == {"ppo", "ppo_kl"}


def test_a_sweep_is_the_product_and_says_what_varies() -> None:
    jobs = compose_multirun(["seed=0,1", "algo.clip=0.1,0.2", "network.hidden=[8],[9,9]", "lag=0"])
    assert len(jobs) == 8
    assert jobs[1].varied == ("seed=0", "algo.clip=0.1", "network.hidden=[9,9]")
    assert jobs[1].config.network.hidden == (9, 9)
    assert [job.config.seed for job in jobs] == [0] * 4 + [1] * 4


def test_each_job_of_a_sweep_has_its_own_tuned_settings() -> None:
    jobs = compose_multirun(["env=CartPole-v1,Pendulum-v1,Acrobot-v1"])
    assert [job.config.tuned for job in jobs] == ["ppo/CartPole-v1", "ppo/Pendulum-v1", "none"]


def test_a_fault_of_one_job_names_the_job() -> None:
    with pytest.raises(UserError) as caught:
        compose_multirun(["tuned=none", "algo.minibatches=4,5"])
    assert caught.value.faults == (
        "with algo.minibatches=5: algo.minibatches=5 does not divide algo.rollout_steps x env.num_envs = "
        "128 x 8 = 1024; nearest: 4 or 8.",
    )


QUICK = (
    "seed=7", "seed=-3", "seed=0", "total_steps=1_000", "algo.learning_rate=3e-4", "algo.clip=0",
    "tags=[a,'b c']",
    "name='1e3'", "notes=''", "network.hidden=[8,8]",
    "algo.target_kl=null", "logger=[jsonl]", "algo.weight_cap=sqrt_n",
    "env.normalize_reward=true", "env.kwargs={a:1,b:{c:x}}", "env.kwargs.b.d=[1,2]", "env.kwargs.a=${seed}",
    "wandb.project=${name}", "notes=???",
)  # fmt: skip


def by_hydra(layers: hydra_bridge.Layers, words: Sequence[str]) -> object:
    """The plain data after Hydra itself has parsed and set the overrides."""
    config = copy.deepcopy(layers.config)
    parsed = OverridesParser.create().parse_overrides(list(words))
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("count", [1, 2, 5, len(QUICK) - 2])
def test_values_set_in_shared_data_are_those_that_hydra_sets(count: int) -> None:
    draw = random.Random(count)
    for _ in range(4):
        layers = hydra_bridge.layers(("algo=ppo", "env=CartPole-v1"), None)
        words = draw.sample(QUICK[:-2], count) + draw.sample(QUICK[-2:], draw.randrange(2))
        for seed in range(2):
            command = parse_command([*words, f"seed={seed}"])
            values = [(one.key, one.values[0]) for one in command.settings]
            if "notes=???" in words:
                with pytest.raises(UserError):
                    layers.with_values(values)
            else:
                assert layers.with_values(values) == by_hydra(layers, command.hydra_words())


def test_values_of_a_sweep_are_those_that_hydra_reads_from_their_texts() -> None:
    layers = hydra_bridge.layers(("algo=ppo", "env=CartPole-v1"), None)
    command = multirun(
        [
            "notes='a,b',c\\ d,007",
            "algo.clip=0.1,1e-2",
            "env.kwargs={a:1},{b:'2'}",
            "network.hidden=[4],[4,5]",
        ]
    )
    for chosen, _ in command.jobs():
        words = [f"{one.hydra_key}={chosen[one.key].text}" for one in command.settings]
        assert layers.with_values(list(chosen.items())) == by_hydra(layers, words)


@pytest.mark.parametrize(
    ("words", "minibatches"),
    [
        ("algo=trpo", 8),
        ("algo=trpo env.num_envs=6", 6),
        ("algo=trpo env=Pendulum-v1", 2),
        ("algo=ppo tuned=none env.num_envs=6", 3),
        ("algo=ppo tuned=none env.num_envs=1", 1),
        ("algo=trpo algo.minibatches=2", 2),
    ],
)
@pytest.mark.parametrize("network", ["lstm", "gru"])
@pytest.mark.broken_by(
    "more minibatches than there are sequences",
    "config/sequences.py",
    "range(min(count, envs), 0, -1) if envs % fewer == 0",
    "range(count, 0, -1)",
    case="gru-algo=trpo-8",
)
def test_presets_fit_whole_sequences(network: str, words: str, minibatches: int) -> None:
    """Their minibatches are of samples: TRPO's sixteen would cut the sequences of eight environments."""
    composed = compose([f"network={network}", *words.split()])
    assert composed.config.algo.minibatches == minibatches
    told = "lowered to divide env.num_envs=" in composed.provenance["algo.minibatches"]
    assert told == ("algo.minibatches" not in words)


def test_minibatches_that_are_given_are_not_lowered() -> None:
    with pytest.raises(UserError, match=r"algo\.minibatches=16 does not divide env\.num_envs=8.*nearest: 8"):
        compose(["network=lstm", "algo.minibatches=16", "env.num_envs=8"])
