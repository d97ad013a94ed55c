"""The rows of the algorithm table: what tests train is what is composed, and what cannot be is refused."""

from __future__ import annotations

import dataclasses

import pytest

from rlcli.config.compose import compose
from rlcli.errors import EXIT_USER, UserError
from tests.learner.setting import ROWS, hold, stage


@pytest.mark.parametrize("name", ROWS)
def test_rows_tested_here_are_those_composed(name):
    algo = dataclasses.asdict(compose([f"algo={name}", "tuned=none"]).config.algo)
    assert {key: algo[key] for key in ROWS[name]} == ROWS[name]


REFUSED = {
    "algo=trpo network.shared=true": "algo.step_rule=natural cannot train network.shared=true",
    "algo=trpo algo.anchor=behaviour lag=2": "cannot use the behaviour policy as anchor with lag=2",
    "algo=trpo algo.penalty=kl_pi_anchor": "set algo.penalty=none",
    "algo=ppo_kl algo.step_rule=natural": "takes no algo.penalty=kl_anchor_pi",
    "algo=trpo algo.entropy_coef=0.01": "algo.entropy_coef has no effect with algo.step_rule=natural",
    "algo=trpo algo.target_kl=0.01": "algo.target_kl has no effect with algo.step_rule=natural",
    "algo=ppo algo.delta=0.1": "algo.delta has no effect with algo.step_rule=sgd",
    "algo=ppo algo.line_search=false": "algo.line_search has no effect",
    "algo=ppo algo.n_step=3": "algo.n_step has no effect with algo.targets=gae",
    "algo=a2c algo.targets=nstep algo.gae_lambda=0.9": "algo.gae_lambda has no effect with",
    "algo=a2c algo.clip=0.1": "algo.clip has no effect with algo.surrogate=score",
    "algo=a2c algo.adam_eps=1e-3": "algo.adam_eps has no effect with algo.optimiser=rmsprop",
    "algo=ppo algo.rmsprop_decay=0.9": "algo.rmsprop_decay has no effect with algo.optimiser=adam",
    "algo=ppo algo.beta=2": "algo.beta has no effect with algo.penalty=none",
    "algo=mdpo algo.kl_target=0.1": "algo.kl_target has no effect with algo.beta_schedule=linear",
    "algo=ppo_kl algo.penalty=none algo.kl_target=0.1": "algo.kl_target has no effect with algo.penalty=none",
    "algo=ppo algo.beta_clone=2": "algo.beta_clone has no effect with algo.step_rule=sgd",
    "algo=trpo algo.auxiliary_every=2": "algo.auxiliary_every has no effect with algo.step_rule=natural",
    "algo=ppg algo.delta=0.1": "algo.delta has no effect with algo.step_rule=phasic",
    "algo=ppg algo.beta_clone=-1": "algo.beta_clone=-1: must be >= 0",
    "algo=ppg tuned=none algo.auxiliary_every=3 algo.auxiliary_minibatches=7": "algo.auxiliary_minibatches=7 "
    "does not divide algo.auxiliary_every x algo.rollout_steps x env.num_envs = 3 x 256 x 8 = 6144; "
    "nearest: 6 or 8.",
    "algo=trpo algo.delta=0": "algo.delta=0: must be > 0",
    "algo=trpo algo.line_search_shrink=1": "must be > 0, < 1",
    "algo=reinforce algo.minibatches=4": "cannot have algo.minibatches=4: its weights are of whole rollouts",
    "algo=reinforce algo.normalize_advantage=batch": "set algo.normalize_advantage=none",
    "algo=reinforce algo.recompute=epoch": "weights are recomputed before each step",
    "algo=reinforce algo.targets=vtrace": "would weigh each sample twice; use algo.surrogate=score",
    "algo=reinforce algo.anchor=update lag=1": "would weigh each sample again: use algo.anchor=behaviour",
    "algo=reinforce algo.weights=none algo.weight_cap=2": "algo.weight_cap has no effect with algo.weights",
    "algo=reinforce algo.weights=trajectory algo.discount_states=true": "algo.discount_states has no effect",
    "algo=reinforce algo.weight_cap=sqrt": "expected a number or sqrt_n (did you mean 'sqrt_n'?)",
    "algo=reinforce algo.weight_cap=0": "algo.weight_cap=0: must be > 0",
    "algo=a2c algo.weights=per_step": "algo.weights has no effect with algo.surrogate=score",
    "algo=a2c collect.whole_episodes=true": "it needs algo.surrogate=weighted",
    "algo=ppo algo.surrogate=cliped": "did you mean 'clipped'",
    "algo=trpo algo.surrogate=clipped algo.reuse=2": "cannot have algo.step_rule=natural: the Fisher",
    "algo=a2c algo.reuse=2": "algo.reuse=2 cannot have algo.surrogate=score: samples of earlier rollouts",
    "algo=ppo algo.penalty=kl_anchor_pi algo.reuse=2": "cannot have algo.penalty=kl_anchor_pi: the",
    "algo=ppg algo.reuse=2": "cannot have algo.step_rule=phasic: this step rule learns from rollouts",
    "algo=reinforce algo.reuse=2": "cannot have algo.weights=per_decision: each sample of earlier",
    "algo=ppo algo.reuse=2 algo.targets=vtrace": "cannot have algo.targets=vtrace: these targets correct",
    "algo=ppo algo.reuse=2 lag=1": "algo.reuse=2 cannot have lag=1: the weights are bounded",
    "algo=ppo network=gru algo.reuse=2": "cannot have network.name=gru: the recurrent state",
    "algo=ppo algo.minibatch_of=sequences algo.reuse=2": "cannot have algo.minibatch_of=sequences",
    "algo=ppo algo.reuse=2 algo.target_kl=0.01": "set algo.target_kl_rule=epoch_exact",
    "algo=ppo algo.reuse=0": "algo.reuse=0: must be >= 1",
    "algo=ppo tuned=none algo.reuse=3 algo.minibatches=7": "algo.minibatches=7 does not divide "
    "algo.reuse x algo.rollout_steps x env.num_envs = 3 x 128 x 8 = 3072; nearest: 6 or 8.",
    "algo=spo algo.clip_high=0.3": "algo.clip_high has no effect with algo.surrogate=spo; it needs "
    "algo.surrogate=clipped|cispo",
    "algo=dppo algo.clip=0.3": "algo.clip has no effect with algo.surrogate=dppo",
    "algo=ppo algo.dppo_threshold=0.1": "algo.dppo_threshold has no effect with algo.surrogate=clipped",
    "algo=dppo algo.dppo_divergence=tvv": "did you mean 'tv'",
    "algo=dppo algo.step_rule=natural": "where no sample is masked; use algo.surrogate=ratio",
    "algo=cispo tuned=none algo.clip=0.3 algo.clip_high=3": "algo.clip=0.3 has no effect with "
    "algo.surrogate=cispo and algo.clip_high=3",
    "algo=cispo algo.clip_dual=3": "algo.clip_dual has no effect with algo.surrogate=cispo",
    "algo=ppo algo.clip_dual=1": "algo.clip_dual=1: must be > 1",
    "algo=ppo tuned=none algo.clip_high=0.3 algo.clip_schedule=linear": "would lower algo.clip to 0 and "
    "leave algo.clip_high=0.3",
    "algo=ppo algo.learning_rate_kl=0.1": "algo.learning_rate_kl has no effect with "
    "algo.learning_rate_schedule=linear; it needs algo.learning_rate_schedule=adaptive_kl",
    "algo=trpo algo.learning_rate_schedule=adaptive_kl": "whose learning rate moves the value function alone",
    "algo=ppo algo.learning_rate_schedule=adaptive_kl algo.learning_rate=1": "algo.learning_rate=1 is "
    "outside algo.learning_rate_min=1e-05 and algo.learning_rate_max=0.01",
    "algo=a2c algo.rho_bar_pg=2": "algo.rho_bar_pg has no effect with algo.targets=gae",
    "algo=ppo algo.targets=vtrace algo.rho_bar_pg=2": "it needs algo.surrogate=score",
    "algo=retrace network.critic=v": "algo.targets=retrace cannot be had with network.critic=v: Retrace "
    "gives targets of action values, the others of state values; set network.critic=q",
    "algo=ppo network.critic=q": "set algo.targets=retrace, as algo=retrace does",
    "algo=retrace network=nature_cnn": "network.critic=q cannot have network.name=nature_cnn: only a "
    "multilayer perceptron",
    "algo=retrace algo.step_rule=phasic algo.auxiliary_minibatches=1": "cannot have algo.step_rule=phasic",
    "algo=retrace tuned=none algo.rho_bar_pg=null algo.surrogate=weighted": "network.critic=q cannot have "
    "algo.surrogate=weighted: it would weigh each sample twice; use algo.surrogate=score",
    "algo=retrace algo.anchor=update lag=2": "the anchor would weigh each sample again; use "
    "algo.anchor=behaviour",
    "algo=retrace algo.surrogate=clipped": "cannot have algo.rho_bar_pg=10: algo.surrogate=clipped brings",
    "algo=ppo algo.retrace_advantage=critic": "algo.retrace_advantage has no effect with algo.targets=gae",
    "algo=ppo algo.vtrace_bootstrap=v": "algo.vtrace_bootstrap has no effect with algo.targets=gae",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_has_no_effect_or_no_meaning_is_refused(line):
    with pytest.raises(UserError) as caught:
        compose(line.split())
    assert caught.value.exit_code == EXIT_USER == 2
    assert len(caught.value.faults) == 1
    assert REFUSED[line] in caught.value.faults[0]


PHASES = "algo=ppg algo.auxiliary_every=2 algo.auxiliary_minibatches=4"


@pytest.mark.parametrize(
    "line",
    [
        "algo=a2c algo.surrogate=clipped algo.clip=0.2",
        "algo=a2c algo.targets=nstep algo.n_step=3",
        "algo=a2c algo.targets=monte_carlo algo.optimiser=adam algo.adam_eps=1e-3",
        "algo=ppo algo.penalty=kl_pi_anchor algo.beta=0.5",
        "algo=ppo algo.optimiser=sgd",
        "algo=ppo_kl algo.penalty=none algo.surrogate=clipped",
        "algo=mdpo algo.beta_schedule=adaptive algo.kl_target=0.02",
        "algo=trpo lag=2",
        "algo=trpo algo.surrogate=clipped algo.clip=0.3 algo.metric=euclidean",
        "algo=trpo algo.line_search=false algo.targets=nstep algo.optimiser=rmsprop",
        "algo=ppo_kl algo.anchor=behaviour lag=1",
        "algo=a2c algo.surrogate=weighted algo.weights=per_step algo.weight_cap=2",
        "algo=reinforce algo.self_normalise=true algo.weight_cap=sqrt_n lag=2",
        "algo=reinforce algo.baseline=none algo.weights=prefix algo.discount_states=true",
        "algo=reinforce algo.targets=gae algo.weights=trajectory",
        "algo=ppg algo.auxiliary_every=1 algo.auxiliary_minibatches=4 lag=2",
        f"{PHASES} network.shared=true algo.penalty=kl_pi_anchor algo.beta=0.5",
        f"{PHASES} algo.epochs=3 algo.recompute=epoch algo.targets=vtrace lag=1",
        f"{PHASES} algo.loss_reduction=sum algo.value_clip=0.2 algo.target_kl=0.01",
        "algo=spo lag=2 algo.penalty=kl_pi_anchor algo.beta=0.5",
        "algo=trpo algo.surrogate=spo",
        "algo=trpo algo.surrogate=cispo algo.clip_high=2",
        "algo=dppo algo.dppo_divergence=tv lag=2",
        "algo=dppo algo.anchor=update algo.penalty=kl_anchor_pi lag=1",
        f"{PHASES} algo.surrogate=dppo network.shared=true",
        "algo=ppo algo.clip_high=0.28 algo.clip_dual=3 lag=1",
        "algo=ppo algo.learning_rate_schedule=adaptive_kl lag=1",
        f"{PHASES} algo.learning_rate_schedule=adaptive_kl",
        "algo=impala algo.rho_bar_pg=2 algo.vtrace_bootstrap=lambda_mix algo.gae_lambda=0.9",
        "algo=retrace algo.gae_lambda=0.9",
        "algo=offpac network.shared=true algo.normalize_advantage=minibatch",
        "algo=ppo algo.targets=retrace network.critic=q lag=2",
        "algo=trpo algo.targets=retrace network.critic=q algo.retrace_advantage=critic",
        "algo=a2c algo.step_rule=phasic algo.auxiliary_every=2 algo.auxiliary_minibatches=4",
    ],
)
def test_ablations_need_no_code(line):
    """A row with parts of others trains: what must hold holds, and every number is defined or absent."""
    sizes = ["algo.rollout_steps=8", "env.num_envs=2", "network.hidden=[4]"]
    if "reinforce" not in line and "weighted" not in line:
        sizes.append("algo.minibatches=2")
    now = stage(compose([*line.split(), *sizes, "tuned=none"]).config)
    for _ in range(2):
        learned = now.learn(now.collect())
        assert all(all(mask) for mask in hold(learned).values())
        now = now._replace(state=learned.state)
