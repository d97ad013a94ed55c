"""Structured actions and observations: learned from, bit for bit the same in a cohort, saved and restored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure, Policy
from rlcli.config.compose import compose
from rlcli.config.schema.env import EnvConfig
from rlcli.envs.registry import describe
from tests.backends.test_cohort import assert_same_state, members, rows
from tests.envs.probes import Levers, Riddle, Switches
from tests.learner.setting import PROBES, small

WANDERING = PROBES + "ProbeWandering-v0"
NORMALISED = {"normalize_observation": True, "normalize_reward": True}
LEARNING = {
    "rollout_steps": 20, "epochs": 8, "minibatches": 2, "learning_rate": 0.02, "gamma": 0.9,
    "max_grad_norm": None, "entropy_coef": 0.0,
}  # fmt: skip

SHAPES: dict[str, dict[str, Any]] = {
    "levers, parts": {"env": WANDERING, "envs": {"kwargs": {"action": "multidiscrete", "space": "dict"}}},
    "switches, parts in order, normalised": {
        "env": WANDERING, "envs": {"kwargs": {"action": "multibinary", "space": "tuple"}} | NORMALISED,
        "network": {"shared": True}, "algo": {"target_kl_rule": "epoch_exact"},
    },
    "levers, normalised, lag": {"env": WANDERING, "envs": NORMALISED, "lag": 2},
    "switches, lag, odd sizes": {
        "env": WANDERING, "envs": {"kwargs": {"action": "multibinary"}, "num_envs": 3}, "lag": 2,
        "network": {"hidden": (5, 1, 7)}, "algo": {"rollout_steps": 11, "minibatches": 3},
    },
    "one environment": {
        "env": PROBES + "ProbeLevers-v0", "envs": {"num_envs": 1}, "algo": {"minibatches": 1},
        "network": {"hidden": ()},
    },
    "choices seen": {
        "env": PROBES + "ProbeRiddle-v0", "envs": {"kwargs": {"space": "multidiscrete"}} | NORMALISED,
    },
    "switches seen": {"env": PROBES + "ProbeRiddle-v0", "envs": {"kwargs": {"space": "multibinary"}}},
    "a hand of cards": {"env": "Blackjack-v1"},
}  # fmt: skip


ALGORITHMS = sorted(
    path.stem
    for path in (Path(__file__).parents[2] / "conf" / "algo").glob("*.yaml")
    if path.stem not in ("impala_async", "offpac", "retrace")  # actors; one choice, which has action values
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_three_runs_together_are_the_three_alone(shape: dict[str, Any]) -> None:
    configs = members(shape)
    together = NativeSession(configs)
    found = rows(together, 3)
    for run, config in enumerate(configs):
        alone = NativeSession([config])
        assert [row[run] for row in found] == [row[0] for row in rows(alone, 3)]
        assert_same_state(together, run, alone, 0)


@pytest.mark.parametrize(
    "name", ["levers, parts", "switches, parts in order, normalised", "levers, normalised, lag"]
)
def test_a_run_goes_on_from_its_state_in_another_cohort(name: str) -> None:
    """Environments are put back amid their episodes by replaying structured actions."""
    configs = members(SHAPES[name])
    wanted, part, other = (NativeSession([config]) for config in (configs[0], configs[0], configs[1]))
    expected = rows(wanted, 4)
    rows(part, 2)
    rows(other, 1)
    saved = part.state(0)
    history = saved.tensors["collector.history"]
    assert history.dtype == torch.int64
    assert history.shape[2:] == (2, 2)
    assert saved.tensors["collector.lengths"].max() > 0, "an episode must be going on"
    joined = NativeSession([configs[1], configs[0]], [other.state(0), saved])
    assert [row[1] for row in rows(joined, 2)] == [row[0] for row in expected[2:]]
    assert_same_state(joined, 1, wanted, 0)


@pytest.mark.parametrize("action", ["multidiscrete", "multibinary"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_takes_structured_spaces(algo: str, action: str) -> None:
    common = [
        f"algo={algo}", f"env={WANDERING}", f"env.kwargs={{action: {action}}}", "env.num_envs=4",
        "algo.rollout_steps=16", "total_steps=640", "network.hidden=[8]", "tuned=none",
    ]  # fmt: skip
    if algo == "ppg":
        common += ["algo.auxiliary_every=2", "algo.auxiliary_minibatches=4"]
    configs = [compose([*common, f"seed={seed}"]).config for seed in range(3)]
    together = NativeSession(configs)
    found = rows(together, 2)
    assert ("auxiliary/clone_kl" in found[-1][0]) == (algo == "ppg")
    for run, config in enumerate(configs):
        alone = NativeSession([config])
        assert [row[run] for row in found] == [row[0] for row in rows(alone, 2)]
        assert_same_state(together, run, alone, 0)


def trained(name: str, updates: int = 40, **envs: Any) -> Policy:
    config = small(
        f"{PROBES}Probe{name}-v0", total_steps=80 * updates, algo=LEARNING, envs=envs,
        network={"hidden": (16,), "policy_gain": 0.01},
    )  # fmt: skip
    session = NativeSession([config])
    for _ in range(updates):
        outcome = session.update()[0]
        assert not isinstance(outcome, Failure), outcome.error
    return session.policy(0)


def judged(policy: Policy, observations: Any) -> tuple[Any, torch.Tensor]:
    """The distribution and V at float32 observations [B, O]."""
    model, snapshot = policy
    inputs = model.encode(snapshot, torch.as_tensor(np.array(observations, np.float32))[None])
    return model.distribution(snapshot.parameters, inputs), model.value(snapshot.parameters, inputs)[0]


@pytest.mark.parametrize("probe", [Levers, Switches])
def test_every_factor_of_an_action_is_learned(probe: type[Levers]) -> None:
    policy, value = judged(trained(probe.__name__), [[-1.0], [1.0]])
    right = np.array([probe.RIGHT[sign] for sign in (-1.0, 1.0)]) - getattr(probe().action_space, "start", 0)
    assert (policy.log_prob(torch.from_numpy(right)[None]).exp() > 0.95).all()
    assert value.tolist() == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("space", Riddle.SPACES)
def test_every_part_of_an_observation_is_learned_from(space: str, normalize: bool) -> None:
    env, kwargs = Riddle(space), {"space": space}
    policy = trained("Riddle", kwargs=kwargs, normalize_observation=normalize)
    seen = [env.reset(seed=seed)[0] for seed in range(60)]
    answers = [env.answer(space, one) for one in seen]
    spec = describe(EnvConfig(id=f"{PROBES}ProbeRiddle-v0", kwargs=kwargs)).observation
    parts = [np.array([member.of(one) for one in seen]) for member in spec.members]
    found, value = judged(policy, spec.vectors(parts))
    assert 10 < sum(answers) < 50
    assert (found.log_prob(torch.tensor(answers)[None]).exp() > 0.95).all()
    assert ((value - 1.0).abs() < 0.1).all()


def test_an_observation_that_its_space_does_not_have_fails_the_run() -> None:
    outcome = NativeSession([small(PROBES + "ProbeImpossible-v0")]).update()[0]
    assert isinstance(outcome, Failure)
    assert "'door' should be one whole number from -1 to 1; it is 2" in str(outcome.error)
