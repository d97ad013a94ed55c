"""Forks: what they take from their parent, what begins anew, and that they need nothing but themselves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint
from rlcli.config.compose import compose
from rlcli.config.overrides import parse_command
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.errors import RlcliError, StorageError, UserError
from rlcli.runs.fork import beginning, read_source
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.train import Result, train
from rlcli.store.checkpoints import Checkpoints, Which
from rlcli.store.config_file import read_config
from rlcli.store.start_file import FILE, write_beginning
from rlcli.sweeps.api import fork
from rlcli.sweeps.fork import plan_forks
from rlcli.sweeps.multirun import resume_sweep, run_sweep
from tests.runs.resuming import assert_same_run, assert_same_states, copy, resumed, train_with_copies
from tests.runs.tiny import manifest_of, rows_of, tiny

Trained = Callable[..., Result]
NORMALISED = {"env__normalize_observation": True, "env__normalize_reward": True}
WHOLE = {"algo__name": "reinforce", "algo__surrogate": "weighted", "collect__whole_episodes": True}
ADAPTIVE = {"algo__penalty": "kl_anchor_pi", "algo__beta_schedule": "adaptive", "algo__surrogate": "ratio"}


def forked(parent: Path, into: Path, *words: str, at: Which = "last") -> Path:
    """A fork of a run, trained to its end."""
    result = fork(parent, [f"runs_dir={into.parent}", f"name={into.name}", *words], at=at)
    assert result.status == "finished"
    return into


def test_a_fork_learns_from_no_rollout_of_its_parent(trained: Trained) -> None:
    parent = trained("parent", algo__reuse=2).dir
    found, text = beginning(read_source(parent), read_config(parent))
    assert not [name for name in found.tensors if name.startswith("train.kept.")]
    assert "starts with new episodes, schedules and kept rollouts" in text


def test_a_fork_is_a_run_that_was_put_at_its_parents_parameters(trained: Trained, tmp_path: Path) -> None:
    """By hand: the fork's fresh state with the tensors of the parent's checkpoint in place of its own."""
    parent = trained("parent", **NORMALISED).dir
    found = forked(parent, tmp_path / "fork", "seed=5", "algo.clip=0.1")
    config = read_config(found)
    fresh = NativeSession([config])
    taken = ("train.policy.", "train.optimiser.", "train.reward_moments.")
    saved = Checkpoints(parent).load().tensors
    tensors = {
        name: saved[name] if name.startswith(taken) else tensor
        for name, tensor in fresh.state(0).tensors.items()
    }
    fresh.close()
    by_hand = NativeSession([config], [Checkpoint(tensors, 0)])
    for _ in range(config.updates):
        by_hand.update()
    wanted = by_hand.state(0)
    by_hand.close()
    ended = Checkpoints(found).load()
    assert ended.update == wanted.update == 3
    assert all(tensor.equal(wanted.tensors[name]) for name, tensor in ended.tensors.items())


@pytest.mark.parametrize(
    ("settings", "words", "carried"),
    [
        ({}, "", "parameters optimiser"),
        ({}, "algo.optimiser=sgd", "parameters"),
        ({}, "algo=trpo algo.rollout_steps=16 algo.minibatches=2", "parameters"),
        ({}, "env.normalize_observation=true", "parameters optimiser"),
        (NORMALISED, "seed=3", "parameters optimiser observation_statistics reward_scale"),
        (NORMALISED, "algo.gamma=0.9", "parameters optimiser observation_statistics"),
        (NORMALISED, "env.normalize_observation=false", "parameters optimiser reward_scale"),
        (ADAPTIVE, "algo.kl_target=0.02", "parameters optimiser beta"),
        (ADAPTIVE, "algo.beta=2", "parameters optimiser"),
        (ADAPTIVE, "algo.beta_schedule=constant", "parameters optimiser"),
    ],
)
@pytest.mark.broken_by(
    "what another setting belongs to is taken all the same",
    "runs/fork.py",
    "if here and there and not differing:",
    "if here and there:",
    case="settings1-algo.optimiser=sgd-parameters",
)
def test_what_is_taken(trained: Trained, settings: dict[str, object], words: str, carried: str) -> None:
    source = read_source(trained("parent", total_steps=32, **settings).dir)
    [job] = plan_forks(source, parse_command(words.split())).jobs
    taken, told = beginning(source, job.config)
    assert [name.replace(" ", "_") for name in taken.parent.carried] == carried.split()
    assert all(name.replace("_", " ") in told.partition(";")[0] for name in carried.split())
    for name, tensor in taken.tensors.items():
        assert tensor.equal(source.checkpoint.tensors[name])


def test_the_optimiser_is_left_where_that_is_asked_for(trained: Trained, tmp_path: Path) -> None:
    """It moves as a fresh one from these parameters, and says so."""
    source = read_source(trained("parent", total_steps=32).dir)
    planned = plan_forks(source, parse_command(["lag=1"]), fresh_optimiser=True)
    [taken] = planned.beginnings
    assert taken.parent.carried == ("parameters",)
    assert set(taken.tensors) == {"train.policy.parameters"}
    assert "starts with new episodes, schedules and optimiser (--fresh-optimiser)." in planned.notes[0]
    session = NativeSession([planned.jobs[0].config], None, [taken.tensors])
    tensors = session.state(0).tensors
    session.close()
    moments = [tensor for name, tensor in tensors.items() if name.startswith("train.optimiser.")]
    assert moments
    assert not any(tensor.count_nonzero() for tensor in moments)


@pytest.mark.broken_by(
    "the older policies are fresh ones",
    "backends/native_state.py",
    "new.expand(old.shape).clone(), state.queue",
    "old, state.queue",
)
def test_with_lag_the_first_rollouts_are_of_the_parents_policy(trained: Trained) -> None:
    source = read_source(trained("parent", total_steps=32, algo__anchor="behaviour", lag=2).dir)
    [job] = plan_forks(source, parse_command([])).jobs
    taken, _ = beginning(source, job.config)
    session = NativeSession([job.config], None, [taken.tensors])
    tensors = session.state(0).tensors
    session.close()
    wanted = source.checkpoint.tensors["train.policy.parameters"]
    assert tensors["train.queue.parameters"].equal(torch.stack([wanted, wanted]))
    assert tensors["train.policy.parameters"].equal(wanted)


def test_a_fork_resumes_also_before_its_first_checkpoint(finished: Path, tmp_path: Path) -> None:
    source = read_source(finished)
    planned = plan_forks(source, parse_command(["checkpoint.every=64", "seed=4"]))
    (tmp_path / "fork").mkdir()
    write_beginning(tmp_path / "fork", planned.beginnings[0])
    _, copies = train_with_copies(planned.jobs[0].config, tmp_path / "fork", [1, 2])
    for killed in copies:
        resumed(killed)
        assert rows_of(killed) == rows_of(tmp_path / "fork")
        assert_same_states(killed, tmp_path / "fork")


def test_a_fork_of_a_fork_is_reproduced_without_its_parents(finished: Path, tmp_path: Path) -> None:
    parent = copy(finished, "of which the parent goes")
    first = forked(parent, tmp_path / "first", "seed=2", at=2)
    second = forked(first, tmp_path / "second", "algo.learning_rate=1e-3", at="best")
    shutil.rmtree(parent)
    shutil.rmtree(first)
    assert reproduce(plan(second), tmp_path / "again").identical
    assert manifest_of(tmp_path / "again")["parent"] == manifest_of(second)["parent"]
    assert manifest_of(second)["parent"]["dir"] == str(first)
    assert resumed(second, "total_steps=160").updates == 5


def test_a_sweep_of_forks_is_the_forks_alone(finished: Path, tmp_path: Path) -> None:
    command = parse_command(
        [f"runs_dir={tmp_path}", "seed=0,1", "algo.clip=0.1", "name=sweep"], multirun=True
    )
    planned = plan_forks(read_source(finished), command)
    sweep = run_sweep(planned.jobs, command, quiet=True, beginnings=planned.beginnings)
    assert sweep.status == "finished"
    for seed in (0, 1):
        alone = forked(finished, tmp_path / f"{seed}", f"seed={seed}", "algo.clip=0.1")
        assert_same_run(sweep.dir / f"seed={seed}", alone)


def test_forks_from_one_backend_to_the_other(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    there = forked(finished, tmp_path / "there", "backend=sb3", "algo.learning_rate=0")
    back = forked(there, tmp_path / "back", "backend=native", "algo.learning_rate=0")
    wanted, found = (Checkpoints(one).load().tensors["train.policy.parameters"] for one in (finished, back))
    assert found.equal(wanted)


def test_a_sweep_killed_before_a_fork_began_trains_it_as_a_fork(finished: Path, tmp_path: Path) -> None:
    command = parse_command([f"runs_dir={tmp_path}", "seed=0,1", "name=sweep"], multirun=True)
    planned = plan_forks(read_source(finished), command)
    sweep = run_sweep(planned.jobs, command, quiet=True, beginnings=planned.beginnings)
    waiting = sweep.dir / "seed=1"
    rows = rows_of(waiting)
    for path in [*waiting.iterdir()]:
        if path.name not in ("config.yaml", FILE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    resume_sweep(sweep.dir, quiet=True)
    assert rows_of(waiting) == rows


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("network.hidden=[16]", "keeps its parent's network, network.hidden=[8]"),
        ("network.log_std_init=-1", "network.log_std_init=0"),
        ("env=Acrobot-v1", "Acrobot-v1 has the observation space box of shape (6)"),
        ("env=Pendulum-v1", "the action space box of shape (1)"),
        ("env=CartPole-v2", "Did you mean 'CartPole-v1'"),
        ("tuned=auto", "none are read from files"),
        ("schedule_past=[1,2]", "have no past"),
        ("sweep.trials=3", "not searched over"),
        ("hydra/launcher=joblib", "add -m"),
        ("algo.minibatches=7", "nearest: 4 or 8"),
        ("algo.delta=0.1", "needs algo.step_rule=natural"),
        ("algo.gamma=${seed}", "give a value"),
        ("seed=-1", "must be >= 0"),
    ],
)
def test_what_a_fork_refuses(finished: Path, tmp_path: Path, words: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        fork(finished, [f"runs_dir={tmp_path}", *words.split()])
    assert told in " ".join([str(raised.value), raised.value.hint or ""])
    assert not list(tmp_path.iterdir())


def test_the_settings_of_the_network_may_be_repeated(finished: Path) -> None:
    words = ["network=mlp", "network.hidden=[8]", "env=CartPole-v1", "algo=ppo"]
    [job] = plan_forks(read_source(finished), parse_command(words)).jobs
    assert job.config.algo == read_config(finished).algo


def test_another_algorithm_trains_a_network_with_memory_on_its_sequences(trained: Trained) -> None:
    memory = {"network__name": "gru", "algo__minibatch_of": "sequences", "total_steps": 32}
    source = read_source(trained("parent", **memory).dir)
    [job] = plan_forks(source, parse_command(["algo=trpo", "algo.rollout_steps=16"])).jobs
    algo = job.config.algo
    assert (algo.minibatch_of, algo.minibatches, job.config.env.num_envs) == ("sequences", 2, 2)


def test_settings_of_an_environment_and_an_algorithm(finished: Path) -> None:
    words = ["algo=impala", "env.kwargs.sutton_barto_reward=true", "algo.rollout_steps=16", "tags=[x]"]
    [job] = plan_forks(read_source(finished), parse_command(words)).jobs
    algo = job.config.algo
    assert (algo.name, algo.targets, job.config.lag, algo.rollout_steps) == ("impala", "vtrace", 1, 16)
    assert job.config.env.kwargs == {"sutton_barto_reward": True}
    assert (job.config.total_steps, job.config.schedule_steps, job.config.tags) == (96, 96, ("x",))
    assert job.config.network == read_config(finished).network


def settings_of(
    parent: Path, *words: str, config: RunConfig | None = None, typed: tuple[str, ...] = ()
) -> tuple[dict[str, Any], str]:
    """What a fork would be trained with, by key, and the sentences about it.

    With `config` it is the fork of a run that had this, and was started with `typed`.
    """
    source = read_source(parent)
    if config is not None:
        source = replace(source, config=config, overrides=typed)
    planned = plan_forks(source, parse_command(words))
    return flatten(planned.jobs[0].config), " ".join(planned.notes)


PRESET = ("lag", "collect.mode", "collect.order", "env.normalize_reward")
"""Keys beside those of the section algo that presets of algorithms set."""


@pytest.mark.parametrize("there", ["ppo", "impala_async", "impala", "ppg", "trpo"])
@pytest.mark.parametrize("here", ["ppo", "impala_async", "impala", "ppg"])
@pytest.mark.broken_by(
    "the other preset's keys are taken, and the parent's stay",
    "config/inherited.py",
    "*(labels for _, labels in earlier[:1])",
    "",
    case="ppo-ppg",
)
def test_another_algorithm_is_its_whole_preset(finished: Path, there: str, here: str) -> None:
    """Every key of either preset is as in a training, for the user set none of them."""
    fixed = ["env.num_envs=2", "network.hidden=[8]", "tuned=none"]
    found, _ = settings_of(finished, f"algo={here}", config=compose([f"algo={there}", *fixed]).config)
    wanted = flatten(compose([f"algo={here}", *fixed]).config)
    names = [name for name in wanted if name in PRESET or name.startswith("algo.")]
    assert {name: found[name] for name in names} == {name: wanted[name] for name in names}


def test_tuned_settings_of_the_algorithm_go_with_it(finished: Path) -> None:
    config = compose(["env=CartPole-v1", "algo=impala", "network.hidden=[8]", "algo.gamma=0.5"]).config
    assert config.algo.learning_rate != 2.5e-4
    assert config.tuned == "impala/CartPole-v1"
    for tuned in (config.tuned, "none"):  # as it is in forks, which may have the values all the same
        found, _ = settings_of(finished, "algo=ppo", config=replace(config, tuned=tuned))
        assert (found["algo.gamma"], found["algo.learning_rate"]) == (0.5, 2.5e-4)


@pytest.mark.parametrize(
    ("settings", "words", "changes", "told"),
    [
        (
            {"algo__gamma": 0.5, "algo__clip": 0.1},
            "algo=trpo",
            {"algo.gamma": 0.5, "algo.clip": 0.2},
            "algo.clip 0.1 -> 0.2.",
        ),
        ({"lag": 2}, "algo=dppo", {"lag": 2}, ""),
        ({"lag": 2}, "algo=impala_async", {"lag": 1, "collect.order": "free"}, "lag 2 -> 1"),
        ({}, "algo=reinforce", {"algo.minibatches": 1, "algo.epochs": 2}, "algo.minibatches 2 -> 1."),
        (ADAPTIVE, "algo=trpo", {"algo.penalty": "none"}, "algo.penalty kl_anchor_pi -> none"),
        ({"collect__mode": "process"}, "algo=a2c", {"collect.mode": "process"}, ""),
        (WHOLE, "algo=ppo", {"collect.whole_episodes": False}, "collect.whole_episodes true -> false"),
    ],
    ids=["without effect", "fits", "order", "minibatches", "penalty", "no key of a preset", "episodes"],
)
@pytest.mark.broken_by(
    "settings of the user's are not tried with the other preset",
    "config/inherited.py",
    "wrong = broken & left.keys()",
    "wrong = set[str]()",
    case="order",
)
@pytest.mark.broken_by(
    "settings of the user's go with the preset",
    "config/inherited.py",
    "        frozenset(own),\n",
    "        frozenset(),\n",
    case="fits",
)
def test_what_the_user_set_stays_as_far_as_it_fits(
    finished: Path, settings: dict[str, Any], words: str, changes: dict[str, Any], told: str
) -> None:
    found, text = settings_of(finished, words, config=tiny(**settings))
    assert {name: found[name] for name in changes} == changes
    assert told in text
    assert ("Not kept" in text) == bool(told)


def test_a_value_that_was_typed_is_the_users_also_where_it_is_the_presets(finished: Path) -> None:
    for typed, rate in ((("algo.learning_rate=2.5e-4",), 2.5e-4), ((), 7e-4)):
        found, _ = settings_of(finished, "algo=a2c", config=tiny(), typed=typed)
        assert found["algo.learning_rate"] == rate


def test_a_preset_that_is_not_here_leaves_what_was_typed(finished: Path) -> None:
    """The parent's was a file of a folder of configs, which a fork does not read."""
    config = tiny(algo__name="mine", algo__gamma=0.5, algo__gae_lambda=0.5)
    found, _ = settings_of(finished, "algo=trpo", config=config, typed=("algo=mine", "algo.gae_lambda=0.5"))
    assert (found["algo.gamma"], found["algo.gae_lambda"], found["algo.epochs"]) == (0.99, 0.5, 10)


def test_each_fork_of_a_sweep_has_its_own_preset(finished: Path) -> None:
    source = read_source(finished)
    planned = plan_forks(source, parse_command(["algo=impala_async,a2c"], multirun=True))
    found = [(job.config.lag, job.config.collect.is_free) for job in planned.jobs]
    assert found == [(1, True), (0, False)]


FREE = {"lag": 1, "algo__anchor": "behaviour", "collect__mode": "process", "collect__order": "free",
        "collect__actors": 1, "collect__unrolls": 2, "collect__max_lag": 2, "collect__too_old": "wait",
        "collect__timeout": 60.0}  # fmt: skip


@pytest.mark.broken_by(
    "inherited settings of actors stay without them",
    "config/inherited.py",
    "and without_effect(name, now) is not None",
    "and False",
)
def test_inherited_settings_without_effect_are_the_defaults_again(trained: Trained, tmp_path: Path) -> None:
    parent = trained("parent", **FREE).dir
    found, text = settings_of(parent, "collect.mode=inline")
    assert {name: value for name, value in found.items() if name.startswith("collect.")} == {
        name: value for name, value in flatten(RunConfig()).items() if name.startswith("collect.")
    }
    assert found["lag"] == 1
    assert "collect.actors 1 -> 2, collect.order free -> fixed, collect.unrolls 2 -> 1" in text
    fixed, text = settings_of(parent, "collect.order=fixed")
    assert (fixed["collect.actors"], fixed["collect.timeout"], fixed["collect.unrolls"]) == (1, 60, 1)
    inline = forked(parent, tmp_path / "inline", "collect.mode=inline")
    back, text = settings_of(inline, "collect.mode=process")
    assert (back["collect.order"], back["collect.actors"], "Not kept" in text) == ("fixed", 2, False)


@pytest.mark.parametrize("key", ["unrolls=2", "queue=2", "max_lag=3", "timeout=5", "cpus=2", "address=auto"])
def test_a_setting_without_effect_is_refused_where_it_is_given(finished: Path, key: str) -> None:
    with pytest.raises(
        UserError, match=r"collect\.\w+ has no effect with collect\.(mode=inline|order=fixed)"
    ):
        settings_of(finished, "collect.mode=inline", f"collect.{key}", config=tiny(**FREE))


@pytest.mark.parametrize(
    ("at", "told"),
    [(7, "Nearest kept: 2, 3."), (1, "Nearest kept: 2, 3"), ("best", "no checkpoint 'best'")],
)
def test_a_checkpoint_that_is_not_kept(trained: Trained, at: Which, told: str) -> None:
    parent = trained("parent", checkpoint__every=32, eval__episodes=0).dir
    with pytest.raises(UserError, match=told):
        read_source(parent, at)


def test_a_parent_without_a_checkpoint(finished: Path) -> None:
    parent = copy(finished, "without checkpoints")
    shutil.rmtree(parent / "checkpoints")
    with pytest.raises(UserError, match="no checkpoint to fork from: it is finished"):
        read_source(parent)


def test_a_damaged_parent(finished: Path) -> None:
    parent = copy(finished, "damaged")
    path = parent / "checkpoints" / "3.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(StorageError, match=r"is damaged.*Kept besides: 2"):
        read_source(parent)
    assert read_source(parent, 2).checkpoint.update == 2


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.unlink(), "is missing: the run is a fork"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
        (lambda path: shutil.copy(path.parent.parent / "other" / FILE, path), "another parent"),
    ],
)
def test_a_fork_whose_beginning_was_harmed(
    finished: Path, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    found = forked(finished, tmp_path / "fork")
    forked(finished, tmp_path / "other", at=2)
    harm(found / FILE)
    for again in (lambda: plan(found), lambda: resumed(found, "total_steps=160")):
        with pytest.raises(StorageError, match=told):
            again()


def test_a_beginning_that_does_not_fit_the_run(finished: Path, tmp_path: Path) -> None:
    taken, _ = beginning(read_source(finished), read_config(finished))
    (tmp_path / "run").mkdir()
    tensors = {"train.policy.parameters": torch.zeros(3)}
    write_beginning(tmp_path / "run", taken.__class__(tensors, taken.parent))
    with pytest.raises(StorageError):
        train([read_config(finished)], [tmp_path / "run"])


def test_a_name_that_is_taken_leaves_nothing(finished: Path, tmp_path: Path) -> None:
    forked(finished, tmp_path / "fork")
    with pytest.raises(RlcliError, match="is taken"):
        forked(finished, tmp_path / "fork")
    assert [path.name for path in tmp_path.iterdir()] == ["fork"]
