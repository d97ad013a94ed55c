"""Images, memory, masks and real actions together: cohorts, resuming, evaluation, what is learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rlcli.backends.native import NativeSession
from rlcli.collect.evaluation import evaluate
from rlcli.config.schema.record import HealthConfig
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.learner.batch import memory_of
from rlcli.maths.draws import environment_seed
from rlcli.nets.actor import Actor
from tests.backends.test_cohort import assert_same_state, rows
from tests.learner.recurrent import SEQUENCES
from tests.learner.setting import PROBES, ROWS, hold, small, stage

CNN: dict[str, Any] = {"name": "impala_resnet", "hidden": (6,)}
GRU: dict[str, Any] = {"name": "gru", "hidden": (6,), "cell_size": 5}
SEEING: dict[str, Any] = GRU | {"name": "lstm", "before": "impala_resnet"}
BOTH: dict[str, Any] = {"log_std": "state", "squash": "tanh"}
LEGAL: dict[str, Any] = {"action_mask": "observation.legal", "normalize_observation": True}
SHAPES: dict[str, dict[str, Any]] = {
    "images, memory": {"network": SEEING},
    "images, masks": {"network": CNN, "envs": {"given": "info"}},
    "images in a Dict, masks": {"network": CNN | {"shared": True}, "envs": {"given": "observation"} | LEGAL},
    "images, memory, masks": {"network": SEEING | {"shared": True}, "envs": {"given": "info"}},
    "images in a Dict, memory, masks, natural steps": {
        "network": SEEING, "envs": {"given": "observation"} | LEGAL, "algo": ROWS["trpo"],
    },
    "images, masks, reinforce": {
        "network": CNN, "envs": {"given": "info"}, "algo": ROWS["reinforce"],
    },
    "memory, masks": {"env": "Corridor", "network": GRU, "envs": {"action_mask": "info"}, "lag": 1},
    "memory, masks, natural steps": {
        "env": "Corridor", "network": GRU, "envs": {"action_mask": "info"}, "algo": ROWS["trpo"],
    },
    "images, squashed, deviations of the state": {"network": CNN | BOTH, "envs": {"real": True}},
    "images, memory, squashed, deviations of the state": {
        "network": SEEING | BOTH, "envs": {"real": True},
    },
    "memory, squashed, deviations of the state": {
        "env": "Pendulum-v1", "network": GRU | BOTH, "envs": {"max_episode_steps": 7},
        "algo": ROWS["trpo"],
    },
}  # fmt: skip
KWARGS = ("given", "real", "max_episode_steps")
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def config(shape: dict[str, Any], seed: int = 0, **algo: Any) -> RunConfig:
    """Rollouts of 8 steps in 4 environments."""
    name = shape.get("env", "Flash")
    envs = dict(shape.get("envs", {}))
    kwargs = {key: envs.pop(key) for key in KWARGS if key in envs}
    if kwargs.get("given") == "info":
        envs["action_mask"] = "info"
    sequences = SEQUENCES if "cell_size" in shape["network"] else {}
    return small(
        name if name.endswith("1") else f"{PROBES}Probe{name}-v0", seed=seed, network=shape["network"],
        algo={"rollout_steps": 8} | sequences | shape.get("algo", {}) | algo,
        envs=envs | {"kwargs": kwargs}, lag=shape.get("lag", 0),
    )  # fmt: skip


@shapes
def test_runs_together_are_the_runs_alone_also_resumed_within_an_episode(shape):
    configs = [config(shape, seed, gamma=gamma) for seed, gamma in ((3, 0.9), (4, 0.99))]
    together, alone = NativeSession(configs), NativeSession(configs[1:])
    found, wanted = rows(together, 1), rows(alone, 1)
    assert found[0][1] == wanted[0][0]
    assert_same_state(together, 1, alone, 0)
    other, resumed = together.state(0), alone.state(0)
    joined = NativeSession([configs[1], configs[0]], [resumed, other])
    assert joined.restarted(0) == 0
    found, wanted = rows(joined, 1), rows(alone, 1)
    assert found[0][0] == wanted[0][0]
    assert_same_state(joined, 0, alone, 0)


@shapes
def test_an_update_computes_what_acting_computed(shape):
    """Outputs of whole sequences in one batch are those of steps; nothing that is not allowed was done."""
    now = stage(config(shape, 5)).after(1)
    rollout = now.collect()
    learned = now.learn(rollout)
    assert all(all(mask) for mask in hold(learned).values()), hold(learned)
    if now.model.network.memory_width:
        assert (memory_of(rollout).state != 0).any()


@pytest.mark.parametrize("name", ["images, memory, masks", "memory, masks"])
def test_evaluation_plays_each_episode_as_it_is_alone(name):
    chosen = config(SHAPES[name], 2)
    session = NativeSession([chosen])
    rows(session, 1)
    policy = session.policy(0)
    found = evaluate(*policy, registry.make(chosen.env, 1, num_envs=3), 0, 5, max_steps=30)
    act, env, returns = Actor(*policy), registry.make(chosen.env, 1, num_envs=1), []
    for episode in range(5):
        seed = environment_seed(0, "evaluation", episode)
        observations = env.reset(np.array([[seed]]), np.ones((1, 1), bool))
        state, total, over = np.zeros((1, 1, policy.model.network.memory_width), np.float32), 0.0, False
        while not over:
            acted = act(observations, None, state)
            step, state = env.step(acted.actions), acted.memory
            assert env.failures == {}
            observations, total = step.observations, total + float(step.rewards[0, 0])
            over = bool((step.terminated | step.truncated)[0, 0])
        returns.append(total)
    assert found is not None
    assert found.returns.tolist() == returns


def test_what_an_image_showed_before_is_remembered():
    """The best return is 1; without memory, 0.5 on average."""
    chosen = small(
        f"{PROBES}ProbeFlash-v0", total_steps=10**6, health=HealthConfig(epochs=False),
        algo=SEQUENCES | {"rollout_steps": 12, "epochs": 4, "learning_rate": 5e-3, "gamma": 0.9,
                          "learning_rate_schedule": "constant", "entropy_coef": 0.0},
        envs={"num_envs": 16, "kwargs": {"given": "info"}, "action_mask": "info"},
        network={"name": "gru", "before": "impala_resnet", "hidden": (16,), "cell_size": 16, "shared": True,
                 "policy_gain": 0.01},
    )  # fmt: skip
    session = NativeSession([chosen])
    rows(session, 14)
    env = registry.make(chosen.env, 1, num_envs=10)
    found = evaluate(*session.policy(0), env, 0, 20, max_steps=5)
    assert found is not None
    assert found.returns.mean() == 1.0
