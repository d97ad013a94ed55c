"""One update of Stable-Baselines3 and one of ours, from the same start and data, end at the same place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.backends.sb3_setting import both, like
from tests.learner.setting import PROBES

STEP = 1e-5
"""Largest difference of a parameter."""
NATURAL = 2e-3
"""Largest relative difference of a natural step: SB3 starts conjugate gradients at random, in float32."""
WANDERING = f"{PROBES}ProbeWandering-v0"


def farthest(config: Any, **how: Any) -> tuple[float, float]:
    """The largest difference between both backends' parameters, and the largest move of any."""
    seen = both(config, **how)
    ours, theirs = (one.state.policy.parameters[0] for one in (seen.native, seen.sb3))
    return (ours - theirs).abs().max().item(), (ours - seen.before).abs().max().item()


PPO = {
    "as it is": {},
    "no whitening": {"normalize_advantage": "none"},
    "whitened over the batch": {"normalize_advantage": "batch", "minibatches": 1},
    "clipped, with entropy": {"clip": 0.02, "entropy_coef": 0.05, "learning_rate": 0.01},
    "stopped by k3": {"target_kl": 1e-4, "epochs": 8},
    "unlimited gradients": {"max_grad_norm": None, "value_coef": 0.1},
    "annealed": {"clip_schedule": "linear", "learning_rate_schedule": "linear"},
    "rmsprop": {"optimiser": "rmsprop"},
    "sgd": {"optimiser": "sgd", "learning_rate": 0.05},
    "Monte Carlo": {"targets": "monte_carlo"},
    "one step": {"targets": "nstep", "n_step": 1},
    "the whole rollout": {"targets": "nstep", "n_step": 16},
}


@pytest.mark.parametrize("algo", PPO.values(), ids=PPO.keys())
def test_one_update_of_ppo(algo):
    apart, moved = farthest(like("ppo", algo=algo), updates=2)
    assert apart < STEP < 100 * STEP < moved


@pytest.mark.parametrize(
    "network",
    [{"activation": name} for name in ("relu", "elu", "silu", "gelu")] + [{"hidden": (8, 6)}, {"hidden": ()}],
)
def test_one_update_of_other_networks(network):
    config = like("ppo", network=network)
    apart, moved = farthest(config)
    assert apart < STEP < 100 * STEP < moved


@pytest.mark.parametrize("row", ["ppo", "a2c"])
def test_one_update_on_a_gaussian_policy(row):
    config = like(row, "Pendulum-v1", algo={"entropy_coef": 0.01}, network={"log_std_init": -0.3})
    apart, moved = farthest(config, updates=1)
    assert apart < STEP < 10 * STEP < moved


@pytest.mark.parametrize(
    "algo", [{}, {"normalize_advantage": "batch"}, {"optimiser": "adam"}, {"entropy_coef": 0.1}]
)
def test_one_update_of_a2c(algo):
    apart, moved = farthest(like("a2c", algo=algo), updates=2)
    assert apart < STEP < 10 * STEP < moved


def test_the_divisor_of_whitening_is_what_differs():
    """Without the conversion the test would fail: whitening by the population deviation is seen."""
    apart, _ = farthest(
        like("ppo", algo={"max_grad_norm": None, "optimiser": "sgd", "learning_rate": 0.05}), ddof=0
    )
    assert apart > STEP


SPACES = {
    "levers": {"kwargs": {"action": "multidiscrete", "space": "dict"}},
    "switches, whitened": {
        "kwargs": {"action": "multibinary", "space": "tuple"},
        "normalize_observation": True,
        "normalize_reward": True,
    },
}


@pytest.mark.parametrize("envs", SPACES.values(), ids=SPACES.keys())
@pytest.mark.parametrize("row", ["ppo", "a2c"])
def test_one_update_with_structured_spaces(row, envs):
    apart, moved = farthest(like(row, WANDERING, envs=envs), updates=2)
    assert apart < STEP < 10 * STEP < moved


TRPO = {
    "as it is": like("trpo"),
    "few iterations": like("trpo", algo={"cg_iterations": 4}),
    "a narrow ball, little damping": like("trpo", algo={"delta": 1e-3, "cg_damping": 0.01}),
    "short steps": like("trpo", algo={"line_search_shrink": 0.5, "normalize_advantage": "none"}),
    "another weight of values": like("trpo", algo={"value_coef": 2.0}),
    "a Gaussian": like("trpo", "Pendulum-v1"),
    "a Gaussian in two dimensions": like("trpo", f"{PROBES}ProbeEcho-v0"),
    "levers": like("trpo", WANDERING, envs=SPACES["levers"]),
    "switches": like("trpo", WANDERING, envs=SPACES["switches, whitened"]),
}


@pytest.mark.parametrize("config", TRPO.values(), ids=TRPO.keys())
def test_one_update_of_trpo(config):
    seen = both(config, updates=2)
    ours, theirs = (one.state.policy.parameters[0] - seen.before for one in (seen.native, seen.sb3))
    assert (ours - theirs).norm() < NATURAL * ours.norm()
    assert seen.native.figures["update/step_outcome"] == seen.sb3.figures["update/step_outcome"] == 0.0


@pytest.mark.parametrize(
    ("row", "optimiser"),
    [("ppo", "adam"), ("ppo", "rmsprop"), ("a2c", "adam"), ("a2c", "rmsprop"), ("trpo", "adam")],
)
def test_optimisers_remember_the_same(row, optimiser):
    """So that a state of either backend is one of the other, whatever the weight of the value loss."""
    seen = both(like(row, algo={"optimiser": optimiser, "value_coef": 0.25, "entropy_coef": 0.0}), updates=1)
    ours, theirs = (one.state.optimiser for one in (seen.native, seen.sb3))
    assert ours.steps.tolist() == theirs.steps.tolist() != [0.0]
    for one, other in ((ours.first, theirs.first), (ours.second, theirs.second)):
        assert (one - other).norm() <= 1e-4 * one.norm()
