"""Mistakes: each found before anything is composed or made, with what to write instead, all at once."""

from __future__ import annotations

import pytest

from rlcli.config.compose import compose
from rlcli.errors import UserError
from tests.sweeps.composing import compose_multirun


def faults(*overrides: str, multirun: bool = False) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        (compose_multirun if multirun else compose)(overrides)
    return caught.value.faults


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("algo=pppo", "Unknown algo 'pppo'. Did you mean 'ppo'"),
        ("network=cnn", "Unknown network 'cnn'. Choose from: gru, impala_resnet, lstm, mlp, nature_cnn."),
        (
            "+experiment=nothing",
            "Unknown experiment 'nothing'. Choose from: none, benchmark_shape, cartpole_memory, pong.",
        ),
        ("network=cnn", "One of your own needs its module: --import MODULE, or RLCLI_IMPORT."),
        ("algo=quadratic", "One of your own needs its module: --import MODULE"),
        ("network.resid.width=3", "there is no network 'resid'. One of your own needs its module"),
        ("algo.quadratic.eps=3", "there is no algo 'quadratic'. One of your own needs its module"),
        ("tuned=ppo/CartPol-v1", "Did you mean 'ppo/CartPole-v1'"),
        ("algo=null", "algo takes a name"),
        ("algo={clip:0.1}", "algo takes a name"),
        ("algo.clipp=0.1", "Unknown key 'algo.clipp'. Did you mean 'algo.clip'"),
        ("+algo.clipp=0.1", "Unknown key 'algo.clipp'. Did you mean 'algo.clip'"),
        ("++brand.new=1", "Unknown key 'brand.new'"),
        ("gamma=0.9", "Unknown key 'gamma'. Did you mean 'algo.gamma'?"),
        ("algo.clip=abc", "algo.clip=abc: expected a number"),
        ("algo.clip=true", "expected a number"),
        ("algo.clip=[0.1]", "expected a number, one value"),
        ("algo.clip=", "expected a number"),
        ("algo.clip=null", "must not be null"),
        ("algo.clip=nan", "must be finite"),
        ("algo.clip=0", "must be > 0, < 1"),
        ("network.log_std_init=1e300", "between 1.2e-38 and 3.4e+38"),
        ("network.log_std_init=-21", "must be >= -20, <= 20"),
        ("algo.learning_rate=1e39", "must be 0 or of a size between"),
        ("algo.adam_eps=1e-40", "must be 0 or of a size between"),
        ("algo.reward_clip=1e300", "must be 0 or of a size between"),
        ("total_steps=-5", "total_steps=-5: must be >= 1"),
        ("total_steps=1.5", "expected a whole number"),
        ("algo.gamma=1.5", "algo.gamma=1.5: must be >= 0, <= 1"),
        ("network.shared=yes", "expected true or false"),
        ("network.hidden=[64,0]", "must be >= 1"),
        ("network.activation=rleu", "did you mean 'relu'"),
        ("logger=[console,wandbb]", "did you mean 'wandb'"),
        ("logger=null", "an empty list is []"),
        ("env.kwargs=3", "expected a mapping"),
        ("algo.name=trpo", "choose with algo=..."),
        ("network.name=mlp", "choose with network=..."),
        ("~algo", "algo cannot be removed"),
        ("~algo.clip", "algo.clip cannot be removed"),
        ("~algo.target_kl", "set it to null: algo.target_kl=null"),
        ("~brand", "Unknown key 'brand'"),
        ("algo@other=ppo", "leave out '@other'"),
        ("wandb=offline", "wandb contains wandb.mode"),
        ("wandb={mod:offline}", "Did you mean 'wandb.mode'"),
        ("algo.clip", "write key=value"),
        ("algo.clip=[0.1", "Cannot read the override 'algo.clip=[0.1'"),
        ("seed=1,2", "add -m"),
        ("logger=jsonl,console", "or write a list: logger=[jsonl,console]"),
        ("seed=range(3)", "add -m"),
        ("hydra.run.dir=/tmp/x", "hydra.run.dir is set by rlcli itself"),
        ("name=a/b", "name='a/b'"),
        ("name=..", "name='..'"),
        ("name=-x", "name='-x'"),
        ("algo.minibatches=${algo.nothing}", "Cannot compose"),
        ("algo.minibatches=${algo.clip}", "expected a whole number"),
    ],
)
def test_one_mistake_is_one_fault(override: str, said: str) -> None:
    found = faults(override)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=interval(0,1)", "use range() or choice()"),
        ("env=glob(Nothing*)", "matches none of"),
        ("algo=ppo,pppo", "Unknown algo 'pppo'"),
        ("algo.clip=0.1,2", "algo.clip=2: must be"),
        ("hydra.verbose=true,false", "cannot be swept over"),
    ],
)
def test_mistakes_of_a_sweep(override: str, said: str) -> None:
    found = faults(override, multirun=True)
    assert len(found) == 1
    assert said in found[0]


def test_all_faults_come_at_once() -> None:
    found = faults(
        "algo.clipp=0.1", "tuned=none", "algo.clip=abc", "total_steps=-5", "algo.minibatches=7", "network=x"
    )
    assert len(found) == 5
    assert any("nearest: 4 or 8" in fault for fault in found)


def test_a_rule_on_a_broken_key_keeps_quiet() -> None:
    found = faults("tuned=none", "env.num_envs=abc", "algo.rollout_steps=3", "algo.minibatches=7")
    assert len(found) == 1


def test_both_ways_to_name_the_environment_exclude_each_other() -> None:
    assert "give one" in faults("env=CartPole-v1", "env.id=Pendulum-v1")[0]


@pytest.mark.parametrize("count", [5, 96, 1023, 2000])
def test_minibatches_must_divide_and_the_nearest_that_do_are_named(count: int) -> None:
    fault = faults("tuned=none", f"algo.minibatches={count}")[0]
    named = [int(word) for word in fault.rpartition("nearest: ")[2].rstrip(".").split(" or ")]
    assert all(1024 % value == 0 for value in named)
    between = range(min(named) + 1, max(named)) if len(named) == 2 else range(1025, count)
    assert not any(1024 % value == 0 for value in between)


def test_minibatches_of_one_sample_need_another_normalisation() -> None:
    shape = ("tuned=none", "env.num_envs=1", "algo.rollout_steps=16", "algo.minibatches=16")
    assert "minibatches of one sample" in faults(*shape)[0]
    for how in ("batch", "none"):
        assert compose([*shape, f"algo.normalize_advantage={how}"]).config.algo.minibatches == 16


def test_a_key_without_effect_is_refused_only_where_set_on_purpose() -> None:
    assert compose(["network.initialisation=uniform"]).config.network.hidden_gain > 1
    fault = faults("network.initialisation=uniform", "network.hidden_gain=2")[0]
    assert fault.startswith("network.hidden_gain has no effect with network.initialisation=uniform")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["algo.beta=0"], "algo.beta=0 with algo.beta_schedule=adaptive stays 0"),
        (["algo.beta=1e38", "algo.beta_max=10"], "algo.beta x algo.beta_max = 1e+38 x 10"),
        (["algo.beta=1e-37", "algo.beta_min=0.01"], "algo.beta x algo.beta_min"),
        (["algo.beta_min=2"], "must be > 0, <= 1"),
        (["algo.beta_max=0.5"], "must be >= 1"),
    ],
)
def test_an_adaptive_penalty_has_room_to_adapt(settings: list[str], said: str) -> None:
    [fault] = faults("algo=ppo_kl", *settings)
    assert said in fault


def test_bounds_of_what_does_not_adapt_have_no_effect() -> None:
    [fault] = faults("algo=mdpo", "algo.beta_min=0.5")
    assert "algo.beta_min has no effect with algo.beta_schedule=linear" in fault
    assert compose(["algo=mdpo", "algo.beta=0"]).config.algo.beta == 0
