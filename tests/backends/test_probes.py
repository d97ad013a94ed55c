"""Training reaches values known by arithmetic; each environment isolates one thing that may be wrong."""

from __future__ import annotations

import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure, Policy
from rlcli.collect.evaluation import evaluate
from rlcli.config.schema.env import EnvConfig
from rlcli.config.schema.record import HealthConfig
from rlcli.envs import registry
from tests.learner.setting import PROBES, ROWS, small

ALGO = {
    "rollout_steps": 20, "epochs": 8, "minibatches": 2, "learning_rate": 0.02, "gamma": 0.9,
    "max_grad_norm": None, "entropy_coef": 0.0,
}  # fmt: skip
UPDATES = 40


def trained(
    name: str,
    updates: int = UPDATES,
    envs: dict | None = None,
    shared: bool = False,
    network: dict | None = None,
    **algo,
) -> Policy:
    config = small(
        f"{PROBES}Probe{name}-v0", total_steps=80 * updates, algo=ALGO | algo, envs=envs,
        network={"hidden": (16,), "policy_gain": 0.01, "shared": shared} | (network or {}),
    )  # fmt: skip
    session = NativeSession([config])
    for _ in range(updates):
        assert not isinstance(session.update()[0], Failure)
    return session.policy(0)


def inputs(policy: Policy, observations: list[float]) -> torch.Tensor:
    return policy.model.encode(policy.snapshot, torch.tensor(observations).view(1, -1, 1))


def values(policy: Policy, observations: list[float]) -> list[float]:
    return policy.model.value(policy.snapshot.parameters, inputs(policy, observations))[0].tolist()


def outputs(policy: Policy, observations: list[float]) -> torch.Tensor:
    return policy.model.read(policy.snapshot.parameters, inputs(policy, observations)).state[0]


ALGORITHMS: dict[str, tuple[int, dict]] = {
    "a2c": (150, ROWS["a2c"] | {"learning_rate": 0.1}),
    "ppo_kl": (40, ROWS["ppo_kl"] | {"kl_target": 0.05}),
    "mdpo": (
        40,
        ROWS["mdpo"] | {"epochs": 10, "learning_rate": 0.01, "learning_rate_schedule": "linear"},
    ),
    "trpo": (40, ROWS["trpo"] | {"delta": 0.05, "epochs": 8, "minibatches": 2}),
    "spo": (30, ROWS["spo"]),
    "dppo": (30, ROWS["dppo"]),
    "cispo": (30, ROWS["cispo"]),
    "reinforce": (60, ROWS["reinforce"] | {"epochs": 4, "learning_rate": 0.01}),
    "reuse": (20, {"reuse": 4}),
    "reinforce with reuse": (
        40,
        ROWS["reinforce"] | {"weights": "per_step", "reuse": 2, "epochs": 4, "learning_rate": 0.01},
    ),
    "ppg": (
        40,
        ROWS["ppg"]
        | {
            "epochs": 8,
            "learning_rate": 0.003,
            "value_epochs": 8,
            "entropy_coef": 0.0,
            "auxiliary_every": 4,
            "auxiliary_minibatches": 4,
        },
    ),
}
"""For each algorithm the updates it needs, and its row with rates for so small a thing."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_algorithm_learns_the_right_action_for_what_is_seen(name):
    updates, row = ALGORITHMS[name]
    policy = trained("Match", updates, **row)
    right = outputs(policy, [-1.0, 1.0]).softmax(-1).diagonal()
    assert (right > 0.95).all()
    assert values(policy, [-1.0, 1.0]) == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_algorithm_learns_the_best_real_number(name):
    updates, row = ALGORITHMS[name]
    policy = trained("Aim", 2 * updates, **row)
    assert outputs(policy, [0.0]).item() == pytest.approx(0.5, abs=0.1)
    assert policy.model.outputs(policy.snapshot, torch.zeros(1, 1, 1)).free.exp().item() < 0.6


BOTH = {"log_std": "state", "squash": "tanh"}
GAUSSIANS = [
    ("trpo", BOTH),
    ("ppo_kl", BOTH),
    *(
        pytest.param(name, network, marks=pytest.mark.slow)
        for name in ALGORITHMS
        for network in ({"log_std": "state"}, {"squash": "tanh"}, BOTH)
    ),
]


@pytest.mark.parametrize(("name", "network"), GAUSSIANS)
def test_any_algorithm_learns_the_best_real_number_of_any_gaussian(name, network):
    updates, row = ALGORITHMS[name]
    policy = trained("Aim", 2 * updates, network=network, **row)
    found = policy.model.outputs(policy.snapshot, torch.zeros(1, 1, 1))
    spread = found.state[0, 0, 1] if "log_std" in network else found.free.squeeze()
    mean = found.state[0, 0, 0]
    assert (mean.tanh() if "squash" in network else mean).item() == pytest.approx(0.5, abs=0.1)
    assert spread.exp().item() < 0.6


@pytest.mark.parametrize(
    "name", ["trpo", *(pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS if name != "trpo")]
)
def test_any_algorithm_learns_the_best_allowed_choices(name):
    updates, row = ALGORITHMS[name]
    policy = trained("Doors", updates, envs={"action_mask": "info"}, **row)
    observations = torch.tensor([[[-1.0, 1, 1, 0, 0, 1, 0, 1], [1.0, 0, 1, 1, 1, 0, 1, 0]]])
    logits = policy.model.outputs(policy.snapshot, observations).state[0]
    chances = torch.cat((logits[:, :3].softmax(-1), logits[:, 3:].softmax(-1)), -1)
    assert (chances[observations[0, :, 1:] == 0] == 0.0).all()
    assert chances[[0, 0, 1, 1], [1, 6, 2, 5]].min() > 0.9


@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_algorithm_discounts_a_reward_one_step_ahead_once(name):
    updates, row = ALGORITHMS[name]
    assert values(trained("Discounted", updates, **row), [0.0, 1.0]) == pytest.approx([0.9, 1.0], abs=0.03)


@pytest.mark.parametrize(
    "options",
    [
        ROWS["dppo"] | {"dppo_divergence": "tv", "dppo_threshold": 0.1},
        {"clip_high": 0.28, "clip_dual": 3.0},
        {"learning_rate_schedule": "adaptive_kl", "learning_rate_max": 0.02, "learning_rate_kl": 0.02},
        {"targets": "vtrace", "surrogate": "score", "rho_bar_pg": 2.0, "vtrace_bootstrap": "lambda_mix",
         "epochs": 1, "minibatches": 1},
    ],
    ids=["total variation", "both clips", "adaptive rate", "V-trace that mixes"],
)  # fmt: skip
def test_any_option_learns_the_right_action_for_what_is_seen(options):
    policy = trained("Match", 60 if options.get("epochs") == 1 else 25, **options)
    assert (outputs(policy, [-1.0, 1.0]).softmax(-1).diagonal() > 0.95).all()
    assert values(policy, [-1.0, 1.0]) == pytest.approx([1.0, 1.0], abs=0.1)


def test_phases_learn_on_one_trunk_too():
    updates, row = ALGORITHMS["ppg"]
    policy = trained("Match", updates, shared=True, **row)
    assert (outputs(policy, [-1.0, 1.0]).softmax(-1).diagonal() > 0.95).all()
    assert values(policy, [-1.0, 1.0]) == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize(
    ("algo", "wanted"),
    [({"targets": "nstep", "n_step": 1}, [0.9, 1.0]), ({"targets": "nstep", "n_step": 9}, [0.9, 1.0]),
     ({"targets": "monte_carlo"}, [0.9, 1.0])],
)  # fmt: skip
def test_any_targets_discount_a_reward_one_step_ahead_once(algo, wanted):
    assert values(trained("Discounted", **algo), [0.0, 1.0]) == pytest.approx(wanted, abs=0.02)


def test_a_constant_reward():
    assert values(trained("Constant"), [0.0]) == pytest.approx([1.0], abs=0.01)


def test_a_reward_that_is_seen():
    assert values(trained("Observed"), [-1.0, 1.0]) == pytest.approx([-1.0, 1.0], abs=0.02)


@pytest.mark.parametrize("trace_decay", [0.0, 0.95])
@pytest.mark.parametrize("gamma", [0.9, 0.5])
def test_a_reward_one_step_ahead_is_discounted_once(gamma, trace_decay):
    found = values(trained("Discounted", gamma=gamma, gae_lambda=trace_decay), [0.0, 1.0])
    assert found == pytest.approx([gamma, 1.0], abs=0.02)


def test_the_better_of_two_actions():
    policy = trained("Choice")
    assert outputs(policy, [0.0]).softmax(-1)[0, 1].item() > 0.98
    assert values(policy, [0.0]) == pytest.approx([1.0], abs=0.05)


def test_the_best_real_number():
    policy = trained("Aim", updates=60)
    assert outputs(policy, [0.0]).item() == pytest.approx(0.5, abs=0.1)
    assert policy.model.outputs(policy.snapshot, torch.zeros(1, 1, 1)).free.exp().item() < 0.6


def test_the_right_action_for_what_is_seen():
    policy = trained("Match")
    right = outputs(policy, [-1.0, 1.0]).softmax(-1).diagonal()
    assert (right > 0.98).all()
    assert values(policy, [-1.0, 1.0]) == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize(
    ("end", "value"), [("terminated", 13.1441 / 5), ("truncated", 10.0), ("both", 13.1441 / 5)]
)
def test_a_time_limit_that_cannot_be_seen(end, value):
    """One value for five states: the mean of what is left if the end terminates, 10 if it truncates."""
    found = values(trained("TimeLimit", envs={"kwargs": {"end": end}}, gae_lambda=1.0), [0.0])
    assert found == pytest.approx([value], rel=0.02)


def recalled(policy: Policy) -> float:
    """Mean return of what is to be remembered over ten steps; 0 by guessing."""
    env = registry.make(EnvConfig(id=f"{PROBES}ProbeRecall-v0", num_envs=10), 1)
    return float(evaluate(*policy, env, 0, 40, max_steps=20).returns.mean())


REMEMBERING = {"minibatch_of": "sequences", "epochs": 6, "learning_rate": 0.01, "max_grad_norm": 0.5}


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_memory_learns_to_recall_what_was_seen_ten_steps_before(name):
    network = {"name": name, "hidden": (8,), "cell_size": 16}
    policy = trained("Recall", 24, envs={"num_envs": 16}, network=network, **REMEMBERING)
    assert recalled(policy) == 1.0


def test_a_policy_without_memory_cannot_recall():
    policy = trained("Recall", 24, envs={"num_envs": 16}, **REMEMBERING)
    assert abs(recalled(policy)) < 0.5


def test_normalised_rewards_leave_the_policy_learning():
    policy = trained("Match", envs={"normalize_reward": True, "normalize_observation": True})
    assert (outputs(policy, [-1.0, 1.0]).softmax(-1).diagonal() > 0.98).all()


@pytest.mark.broken_by(
    "numbers beside images are dropped", "nets/cnn.py", "(*found, numbers)", "(*found, numbers * 0)",
    case="nature_cnn-36-dict",
)  # fmt: skip
@pytest.mark.parametrize(
    ("network", "size", "layout"),
    [("nature_cnn", 36, "hwc"), ("nature_cnn", 36, "dict"), ("impala_resnet", 8, "chw")],
)
def test_the_brighter_half_of_an_image_tells_the_action(network, size, layout):
    """In a Dict a number beside the image adds to the reward, and so to V."""
    config = small(
        f"{PROBES}ProbeBrighter-v0", total_steps=10**6,
        algo=ALGO | {"rollout_steps": 16, "epochs": 4, "learning_rate": 3e-3,
                     "learning_rate_schedule": "constant"},
        envs={"kwargs": {"layout": layout, "size": size}}, health=HealthConfig(epochs=False),
        network={"name": network, "hidden": (32,), "policy_gain": 0.01, "shared": True},
    )  # fmt: skip
    session = NativeSession([config])
    rows = [session.update()[0] for _ in range(14 if layout == "dict" else 10)]
    assert not any(isinstance(row, Failure) for row in rows)
    policy = session.policy(0)
    observations = session._collector._observations
    outputs = policy.model.outputs(policy.snapshot, torch.from_numpy(observations))
    values = policy.model.value(
        policy.snapshot.parameters, policy.model.encode(policy.snapshot, torch.from_numpy(observations))
    )
    games = [env.unwrapped for env in session._collector.env._envs[0]]
    right = torch.tensor([int(game.right) for game in games])
    assert (outputs.state[0].softmax(-1)[range(4), right] > 0.9).all()
    wanted = [1.0 + game.bonus for game in games]
    assert values[0].tolist() == pytest.approx(wanted, abs=0.6)
