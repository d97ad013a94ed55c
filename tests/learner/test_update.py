"""Whole updates against the slow learner, and what an update says of itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rlcli.collect.rollout import Rollout
from rlcli.config.schema.record import HealthConfig
from rlcli.learner import table
from rlcli.learner.comparison import TorchPolicy
from rlcli.learner.draws import permutation
from rlcli.learner.figures import health_figures, reference
from rlcli.learner.hyperparameters import hyperparameters
from tests.learner.setting import ROWS, Stage, hold, small, stage
from tests.learner.slow import SlowLearner

SHORT = {"kwargs": {"max_episode_steps": 7}}
FAST = {"learning_rate": 0.02, "epochs": 3, "learning_rate_schedule": "constant"}
"""Far enough from the anchor for every bound to bind."""
VARIANTS = {
    "cartpole": small(seed=1, algo={"entropy_coef": 0.02}, envs=SHORT),
    "pendulum": small(
        "Pendulum-v1", seed=2, envs=SHORT,
        network={"shared": True, "activation": "relu", "log_std_init": -0.3},
        algo={"normalize_advantage": "batch", "value_clip": 0.2, "clip_schedule": "linear",
              "entropy_coef": -0.01},
    ),
    "normalised": small(
        "Pendulum-v1", seed=3, network={"activation": "silu"}, algo={"max_grad_norm": None, "gamma": 0.9},
        envs=SHORT | {"normalize_observation": True, "normalize_reward": True},
    ),
    "one batch": small(
        seed=4, network={"hidden": (), "initialisation": "uniform"}, envs=SHORT | {"normalize_reward": True},
        algo={"minibatches": 1, "epochs": 5, "normalize_advantage": "none", "adam_beta1": 0.5, "clip": 0.02,
              "gae_lambda": 0.5, "value_coef": 1.5},
    ),
    "scaled observations": small(
        seed=5, envs=SHORT | {"normalize_observation": True}, network={"hidden": (5, 1)}
    ),
    "a2c": small(seed=6, algo=ROWS["a2c"] | {"learning_rate": 0.03, "entropy_coef": 0.01}, envs=SHORT),
    "a2c, n-step": small(
        "Pendulum-v1", seed=7, envs=SHORT | {"normalize_reward": True},
        algo=ROWS["a2c"] | {"targets": "nstep", "n_step": 3, "learning_rate": 0.05, "rmsprop_decay": 0.9,
                            "rmsprop_eps": 1e-2, "max_grad_norm": None},
    ),
    "a2c, adam": small(seed=8, algo=ROWS["a2c"] | {"optimiser": "adam", "epochs": 3}, envs=SHORT),
    "whole returns": small(
        seed=9, envs=SHORT, algo={"targets": "monte_carlo", "optimiser": "sgd", "learning_rate": 0.02},
    ),
    "ppo_kl": small(seed=10, envs=SHORT, algo=ROWS["ppo_kl"] | {"kl_target": 1e-4, "learning_rate": 0.01}),
    "ppo_kl, far below its target": small(
        "Pendulum-v1", seed=11, envs=SHORT, algo=ROWS["ppo_kl"] | {"kl_target": 1.0, "beta": 20.0},
    ),
    "ppo_kl, fixed": small(
        seed=12, envs=SHORT,
        algo=ROWS["ppo_kl"] | {"beta_schedule": "constant", "beta": 3.0, "learning_rate": 0.01},
    ),
    "mdpo": small(seed=13, envs=SHORT, total_steps=64 * 4, algo=ROWS["mdpo"] | {"epochs": 5, "beta": 4.0}),
    "mdpo, inverse": small(
        "Pendulum-v1", seed=14, envs=SHORT, network={"shared": True},
        algo=ROWS["mdpo"] | {"epochs": 4, "beta_schedule": "inverse", "beta": 5.0, "minibatches": 2},
    ),
    "the second step of mdpo": small(
        "Pendulum-v1", seed=19, envs=SHORT, network={"log_std_init": -0.5},
        algo=ROWS["mdpo"] | {"epochs": 2, "beta": 30.0, "learning_rate": 0.02, "max_grad_norm": None},
    ),
    "the second step, penalised the other way": small(
        "Pendulum-v1", seed=19, envs=SHORT, network={"log_std_init": -0.5},
        algo=ROWS["mdpo"] | {"epochs": 2, "beta": 30.0, "learning_rate": 0.02, "max_grad_norm": None,
                             "penalty": "kl_anchor_pi"},
    ),
    "trpo": small(seed=15, envs=SHORT, algo=ROWS["trpo"] | {"cg_iterations": 60}),
    "trpo, clipped, in large steps": small(
        "Pendulum-v1", seed=16, envs=SHORT | {"normalize_reward": True},
        algo=ROWS["trpo"] | {"cg_iterations": 60, "cg_damping": 0.01, "delta": 0.2, "surrogate": "clipped",
                             "line_search_shrink": 0.6, "max_grad_norm": 0.5},
    ),
    "natural policy gradient": small(
        "Pendulum-v1", seed=17, envs=SHORT,
        algo=ROWS["trpo"] | {"cg_iterations": 60, "line_search": False, "normalize_advantage": "none"},
    ),
    "spo": small(seed=20, envs=SHORT, algo=ROWS["spo"] | FAST | {"clip_schedule": "linear"}),
    "dppo, kl": small(
        "Pendulum-v1", seed=21, envs=SHORT, algo=ROWS["dppo"] | FAST | {"dppo_threshold": 1e-3}
    ),
    "dppo, tv": small(
        seed=22, envs=SHORT, algo=ROWS["dppo"] | FAST | {"dppo_divergence": "tv", "dppo_threshold": 0.01}
    ),
    "cispo": small("Pendulum-v1", seed=23, envs=SHORT, algo=ROWS["cispo"] | FAST | {"clip": 0.05}),
    "cispo, higher": small(seed=24, envs=SHORT, algo=ROWS["cispo"] | FAST | {"clip": 0.05, "clip_high": 0.1}),
    "clip-higher": small(seed=25, envs=SHORT, algo=FAST | {"clip": 0.02, "clip_high": 0.08}),
    "dual clip": small(
        "Pendulum-v1", seed=26, envs=SHORT, algo=FAST | {"learning_rate": 0.05, "clip": 0.1, "clip_dual": 1.1}
    ),
    "spo in a natural step": small(
        seed=27, envs=SHORT, algo=ROWS["trpo"] | {"surrogate": "spo", "cg_iterations": 60, "delta": 0.05}
    ),
    "a rate that rises": small(
        seed=28, envs=SHORT,
        algo={"learning_rate_schedule": "adaptive_kl", "learning_rate_kl": 1.0, "learning_rate_max": 0.004},
    ),
    "a rate that falls": small(
        "Pendulum-v1", seed=29, envs=SHORT,
        algo=FAST | {"learning_rate_schedule": "adaptive_kl", "learning_rate_kl": 1e-6,
                     "learning_rate_max": 1.0},
    ),
    "a ball of parameters": small(
        seed=18, envs=SHORT,
        algo=ROWS["trpo"] | {"metric": "euclidean", "surrogate": "score", "delta": 0.003},
    ),
}  # fmt: skip


@pytest.mark.broken_by(
    "n-step returns of one step less",
    "maths/estimators.py",
    "for _ in range(min(n, len(rewards)) - 1):",
    "for _ in range(min(n, len(rewards)) - 2):",
)
@pytest.mark.broken_by(
    "the entropy's sign flipped",
    "learner/sgd.py",
    "by_entropy = (self._hyper.entropy_coef * -scale).expand_as(by_log_prob)",
    "by_entropy = (self._hyper.entropy_coef * scale).expand_as(by_log_prob)",
)
@pytest.mark.broken_by(
    "mirror descent by the other KL",
    "learner/penalty.py",
    "policy.pullback_kl_to(anchor, by_kl) if self.backward",
    "policy.pullback_kl_from(anchor, by_kl) if self.backward",
    case="the second step of mdpo",
)
@pytest.mark.broken_by(
    "the two penalties swapped",
    "learner/table.py",
    'return Penalty(algo.penalty == "kl_pi_anchor", schedule, adapts)',
    'return Penalty(algo.penalty != "kl_pi_anchor", schedule, adapts)',
    case="the second step of mdpo",
)
@pytest.mark.broken_by(
    "a mask that is not applied",
    "learner/sgd.py",
    "slope_by_log_prob = torch.where(dropped, 0.0, slope_by_log_prob)",
    "slope_by_log_prob = torch.where(dropped, slope_by_log_prob, slope_by_log_prob)",
    case="dppo, kl",
)
@pytest.mark.broken_by(
    "the KL for the total variation",
    "learner/mask.py",
    "if not self.total_variation:",
    "if self.total_variation:",
    case="dppo, tv",
)
@pytest.mark.broken_by(
    "an adaptive rate that falls where it should rise",
    "learner/rate.py",
    "raised = torch.where(kl < target / BAND, rate * STEP, rate)",
    "raised = torch.where(kl < target / BAND, rate / STEP, rate)",
    case="a rate that rises",
)
@pytest.mark.broken_by(
    "an adaptive rate without its maximum",
    "learner/rate.py",
    'torch.maximum(moved, hyper.exact("learning_rate_min")), hyper.exact("learning_rate_max")',
    'torch.maximum(moved, hyper.exact("learning_rate_min")), moved',
    case="a rate that rises",
)
@pytest.mark.broken_by(
    "an adaptive rate that does not fall",
    "learner/rate.py",
    "moved = torch.where(kl > BAND * target, rate / STEP, raised)",
    "moved = raised",
    case="a rate that falls",
)
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_updates_come_to_where_the_slow_learner_comes(config):
    ours = stage(config)
    slow = SlowLearner(config, ours.model, ours.state.policy.parameters[0])
    start = ours.state.policy.parameters.clone()
    for _ in range(3):
        rollout = ours.collect()
        assert rollout.terminated.any() or rollout.truncated.any()
        learned = ours.learn(rollout)
        assert all(all(mask) for mask in hold(learned).values())
        for name, wanted in slow.update(rollout).items():
            assert learned.figures[name].item() == pytest.approx(wanted, rel=2e-4, abs=2e-6), name
        ours = ours._replace(state=learned.state)
        parts = ours.model.network.layout.unflatten(ours.state.policy.parameters)
        for name, part in parts.items():
            torch.testing.assert_close(
                part[0].double(), slow.parts[name].detach(), rtol=0, atol=1e-5, msg=name
            )
    assert (ours.state.policy.parameters - start).abs().max() > 5e-3
    assert config.algo.surrogate != "dppo" or 0.0 < max(slow.masks) < 1.0


def leaves(before: Stage, rollout: Rollout) -> list[torch.Tensor]:
    fields = [field for field in (*rollout, *rollout.finals) if isinstance(field, torch.Tensor)]
    return [*before.state.policy.moments, *before.state.optimiser, *fields]


def test_an_update_does_not_change_what_it_was_given():
    before = stage(VARIANTS["normalised"]).after(1)
    rollout = before.collect()
    kept = [leaf.clone() for leaf in leaves(before, rollout)]
    parameters = before.state.policy.parameters.clone()
    before.learn(rollout)
    assert torch.equal(before.state.policy.parameters, parameters)
    assert all(torch.equal(*pair) for pair in zip(kept, leaves(before, rollout), strict=True))


def test_an_update_repeats():
    before = stage(small(envs=SHORT)).after(1)
    rollout = before.collect()
    first, second = before.learn(rollout), before.learn(rollout)
    assert torch.equal(first.state.policy.parameters, second.state.policy.parameters)
    assert first.figures.keys() == second.figures.keys()
    for name, value in first.figures.items():
        torch.testing.assert_close(value, second.figures[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_small_step_gains_what_was_predicted(env, shared):
    algo = {"epochs": 1, "minibatches": 1, "learning_rate": 2e-5, "value_coef": 0.0, "max_grad_norm": None}
    before = stage(small(env, algo=algo, envs=SHORT, network={"shared": shared}))
    found = before.learn(before.collect()).figures
    assert found["update/gain_predicted"].item() > 1e-6
    assert found["update/gain_realised"].item() == pytest.approx(
        found["update/gain_predicted"].item(), rel=0.01
    )


def test_the_prediction_is_the_slope_along_the_step():
    """Central difference of the realised gain along the step of a large update."""
    before = stage(small(envs=SHORT, algo={"normalize_advantage": "batch"})).after(1)
    rollout = before.collect()
    learned = before.learn(rollout)
    start, step = (
        before.state.policy.parameters,
        learned.state.policy.parameters - before.state.policy.parameters,
    )
    hyper = hyperparameters(before.configs, [1], "cpu")
    batch = learned.batch
    inputs = batch.inputs.double()

    def objective(share: float) -> float:
        policy = before.model.distribution(start.double() + share * step.double(), inputs)
        ratio = (policy.log_prob(batch.actions) - batch.log_anchor.double()).exp()
        advantages = batch.advantages.double()
        advantages = (advantages - advantages.mean()) / advantages.std(correction=0)
        clip = hyper.clip.item()
        return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean().item()

    slope = (objective(1e-3) - objective(-1e-3)) / 2e-3
    assert learned.figures["update/gain_predicted"].item() == pytest.approx(slope, rel=1e-3)
    assert learned.figures["update/gain_realised"].item() == pytest.approx(
        objective(1.0) - objective(0.0), rel=1e-3
    )


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_health_against_mu_and_against_the_anchor_coincide_when_both_are_computed(env):
    before = stage(small(env, algo={"learning_rate": 0.02})).after(1)
    rollout = before.collect()
    learned = before.learn(rollout)
    batch = learned.batch
    initial = before.model.distribution(before.state.policy.parameters, batch.inputs)
    mu = reference("mu", TorchPolicy(initial, batch.actions))
    anchor = reference("anchor", TorchPolicy(initial, batch.actions), mu=mu)
    assert anchor.weights is not None
    final = TorchPolicy(
        before.model.distribution(learned.state.policy.parameters, batch.inputs), batch.actions
    )
    clip = torch.full((1, 1), before.configs[0].algo.clip)
    judged = batch.advantages - batch.advantages.mean()
    computed = health_figures("update", anchor, final, judged, clip)
    assert {"update/kl_anchor_pi", "update/kl_pi_anchor_max", "update/ess", "update/clip_active"} <= set(
        computed
    )
    assert learned.figures["update/kl_anchor_pi"].item() > 1e-4
    for name, value in computed.items():
        twin = name.replace("update/", "behaviour/").replace("anchor", "mu")
        assert learned.figures[name].item() == learned.figures[twin].item(), name
        if name.startswith("update/ratio_p"):
            continue  # a quantile of weighted samples may fall on the neighbouring sample
        assert value.item() == pytest.approx(learned.figures[twin].item(), rel=1e-9), name


def test_epoch_figures_end_with_those_of_the_update():
    before = stage(small(algo={"epochs": 4}))
    learned = before.learn(before.collect())
    assert set(learned.epochs) == {"epochs/kl_mu_pi", "epochs/kl_pi_mu", "epochs/ess", "epochs/clip_fraction"}
    for name, values in learned.epochs.items():
        assert len(values) == 4
        assert values[-1].item() == learned.figures[name.replace("epochs/", "behaviour/")].item()
    divergences = [value.item() for value in learned.epochs["epochs/kl_mu_pi"]]
    assert 0 < divergences[0] < divergences[-1]


def test_epochs_are_not_followed_unless_asked_for():
    config = small()
    config = dataclasses.replace(config, health=dataclasses.replace(config.health, epochs=False))
    before = stage(config)
    rollout = before.collect()
    learned, followed = before.learn(rollout), stage(small()).learn(rollout)
    assert learned.epochs == {}
    assert torch.equal(learned.state.policy.parameters, followed.state.policy.parameters)
    assert learned.figures["behaviour/ess"].item() == followed.figures["behaviour/ess"].item()


@pytest.mark.broken_by(
    "one order of the batch for all epochs",
    "learner/draws.py",
    "generator(seed, stream, update, epoch)",
    "generator(seed, stream, update)",
)
def test_every_epoch_has_its_own_order_of_the_batch(monkeypatch):
    before = stage(small(algo={"epochs": 3}))
    rollout = before.collect()
    orders = []

    def spy(*given):
        orders.append(permutation(*given))
        return orders[-1]

    monkeypatch.setattr(table, "TORCH", table.TORCH._replace(permutation=spy))
    before.learn(rollout)
    assert len(orders) == 3
    assert all(order.sort().values.tolist() == [list(range(64))] for order in orders)
    assert len({tuple(order[0].tolist()) for order in orders}) == 3


def test_without_minibatches_nothing_is_shuffled_and_all_orders_agree():
    algo = {"minibatches": 1, "normalize_advantage": "batch"}
    before = stage(small(algo=algo))
    rollout = before.collect()
    whole = before.learn(rollout)
    two = stage(small(algo=algo | {"normalize_advantage": "minibatch"})).learn(rollout)
    assert torch.equal(whole.state.policy.parameters, two.state.policy.parameters)


def test_a_finished_clip_schedule_leaves_the_figures_defined():
    before = stage(
        small(schedule_steps=64, algo={"clip_schedule": "linear", "learning_rate_schedule": "constant"})
    ).after(1)
    learned = before.learn(before.collect())
    assert all(all(mask) for mask in hold(learned).values())
    assert learned.figures["update/clip"].item() == 0.0
    assert not learned.figures["update/budget_used"].isfinite()


@pytest.mark.broken_by(
    "a gradient although no gain is to be predicted", "learner/prepare.py",
    "config.health.gain_predicted, None", "True, None",
)  # fmt: skip
def test_without_a_predicted_gain_an_update_is_the_same():
    """All but that one figure."""
    config, found = small(envs=SHORT), []
    for predicted in (True, False):
        chosen = dataclasses.replace(config, health=HealthConfig(gain_predicted=predicted))
        before = stage(chosen)
        found.append(before.learn(before.collect()))
    (figures, wanted), (fewer, policy) = ((one.figures, one.state.policy.parameters) for one in found)
    assert torch.equal(policy, wanted)
    assert [*figures.keys() - fewer.keys()] == ["update/gain_predicted"]
    for name, value in fewer.items():
        torch.testing.assert_close(value, figures[name], rtol=0, atol=0, equal_nan=True)
