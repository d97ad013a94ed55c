"""An update with a critic of action values: what it estimates, what it descends, what it learns."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rlcli.backends.kernel import choose
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.learner.state import behaviour
from tests.learner.setting import PROBES, Stage, same, small, stage

RETRACE = {"targets": "retrace", "surrogate": "score", "anchor": "behaviour", "epochs": 1, "minibatches": 1,
           "normalize_advantage": "none", "gae_lambda": 0.9, "rho_bar_pg": 1.02}  # fmt: skip
LOOK = {"critic": "q"}
CORRIDOR = f"{PROBES}ProbeCorridor-v0"
SHORT = {"kwargs": {"max_episode_steps": 13}}


def lagged(**algo) -> Stage:
    algo = RETRACE | {"learning_rate": 0.02} | algo
    return stage(*(small(seed=seed, lag=2, envs=SHORT, network=LOOK, algo=algo) for seed in (0, 1)))


def by_time(batch: torch.Tensor) -> torch.Tensor:
    """[R, T N, ...] -> [T, R, N, ...] for the 16 steps of these configs."""
    return batch.unflatten(1, (16, -1)).transpose(0, 1).double()


def rows(field: torch.Tensor) -> torch.Tensor:
    return field.transpose(0, 1).flatten(1, 2)


@pytest.mark.broken_by(
    "the policy gradient of Retrace without its cap",
    "learner/table.py",
    "ratios = estimators.capped(ratios, torch.full_like(hyper.gamma, algo.rho_bar_pg))",
    "ratios = ratios + 0.0",
    case="return-score",
)
@pytest.mark.broken_by(
    "an advantage over the action's own value",
    "learner/table.py",
    "advantages = action_values - transitions.values",
    "advantages = action_values - transitions.predictions",
    case="return-score",
)
@pytest.mark.broken_by(
    "the value of a state as that of its best action",
    "nets/critic.py",
    "return (policy.probs * head.view(policy.probs.shape)).sum(-1)",
    "return head.view(policy.probs.shape).amax(-1)",
    case="return-score",
)
@pytest.mark.parametrize("surrogate", ["score", "ratio"])
@pytest.mark.parametrize("advantage", ["return", "critic"])
def test_retrace_corrects_for_the_policy_that_acted(advantage, surrogate):
    """Against Munos et al. 2016, equation 3, on Q read off the network at a rollout of an older policy."""
    own = {} if surrogate == "score" else {"rho_bar_pg": None}
    now = lagged(surrogate=surrogate, retrace_advantage=advantage, **own).after(3)
    rollout = now.collect()
    batch = now.learn(rollout).batch
    model, policy = now.model, now.state.policy

    def read(snapshot, observations):
        heads = model.network.heads(snapshot.parameters, model.encode(snapshot, rows(observations)))
        return heads.output.double().log_softmax(-1), heads.value.double()

    log_pi, critic = read(policy, rollout.acted_on)
    log_mu, _ = read(behaviour(now.state), rollout.acted_on)
    taken = rows(rollout.actions).unsqueeze(-1)
    rho = by_time((log_pi - log_mu).exp().gather(-1, taken).squeeze(-1))
    assert (rho > 1.03).any()
    assert (rho < 0.97).any()
    q = by_time(critic.gather(-1, taken).squeeze(-1))
    v = by_time((log_pi.exp() * critic).sum(-1))
    log_after, critic_after = read(policy, rollout.successors())
    following = by_time((log_after.exp() * critic_after).sum(-1))
    ended = rollout.terminated | rollout.truncated
    assert rollout.terminated.any()
    assert rollout.truncated.any()
    deltas = rollout.rewards + 0.99 * torch.where(rollout.terminated, 0.0, following) - q
    targets = q.clone()
    for s in range(16):
        product = torch.ones_like(q[0])
        for t in range(s, 16):
            product = product * (0.99 * 0.9 * rho[t].clamp(max=1.0) if t > s else 1.0)
            targets[s] += product * deltas[t]
            product = torch.where(ended[t], 0.0, product)
    advantages = (targets if advantage == "return" else q) - v
    if surrogate == "score":
        advantages = rho.clamp(max=1.02) * advantages
    torch.testing.assert_close(by_time(batch.targets), targets, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(by_time(batch.advantages), advantages, rtol=1e-4, atol=1e-3)


@pytest.mark.broken_by(
    "values of all actions fitted to the target of the one taken",
    "nets/critic.py",
    "gradient.scatter_(-1, actions.unsqueeze(-1), by_predictions.unsqueeze(-1)).view(head.shape)",
    "(gradient + by_predictions.unsqueeze(-1)).view(head.shape)",
    case="False",
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_step_descends_the_error_of_the_action_taken(shared):
    """One step of plain gradient descent against automatic differentiation of torch's own layers."""
    algo = RETRACE | {"optimiser": "sgd", "learning_rate": 1.0, "max_grad_norm": None, "value_coef": 0.3}
    now = stage(small(seed=5, envs=SHORT, network=LOOK | {"shared": shared}, algo=algo))
    learned = now.learn(now.collect())
    batch, layout = learned.batch, now.model.network.layout
    before = now.state.policy.parameters.double().requires_grad_()
    parts = layout.unflatten(before)

    def head(name, trunk):
        weight, bias = (parts[f"trunk.0.{leaf}"][0, trunk] for leaf in ("weight", "bias"))
        h = nn.functional.linear(batch.inputs[0].double(), weight.T, bias).tanh()
        return nn.functional.linear(h, parts[f"{name}.weight"][0].T, parts[f"{name}.bias"][0])

    taken = batch.actions[0].unsqueeze(-1)
    log_pi = head("policy", 0).log_softmax(-1).gather(-1, taken).squeeze(-1)
    error = head("value", -1).gather(-1, taken).squeeze(-1) - batch.targets[0].double()
    loss = -(log_pi * batch.advantages[0].double()).mean() + 0.3 * error.square().mean()
    (gradient,) = torch.autograd.grad(loss, before)
    found = now.state.policy.parameters - learned.state.policy.parameters
    torch.testing.assert_close(found.double(), gradient, rtol=1e-4, atol=1e-5)


def cohort(name: str, lag: int) -> list[RunConfig]:
    algo = RETRACE | {"optimiser": "rmsprop"}
    envs = {"normalize_observation": True}
    if name == "masked":
        return [
            small(CORRIDOR, seed=seed, lag=lag, network=LOOK, envs=envs | {"action_mask": "info"}, algo=algo)
            for seed in (0, 1, 2)
        ]
    if name == "natural":
        algo = {"targets": "retrace", "surrogate": "ratio", "step_rule": "natural", "minibatches": 2}
    if name == "epochs":
        algo = algo | {"epochs": 3, "recompute": "epoch", "value_clip": 0.5}
    rates = (0.01, 0.02, 0.03)
    return [
        small(seed=seed, lag=lag, network=LOOK, envs=envs | SHORT, algo=algo | {"learning_rate": rate})
        for seed, rate in enumerate(rates)
    ]


@pytest.mark.parametrize(("name", "lag"), [("score", 0), ("epochs", 2), ("natural", 1), ("masked", 2)])
def test_three_runs_together_are_the_three_alone(name, lag):
    configs = cohort(name, lag)
    together, alone = NativeSession(configs), [NativeSession([one]) for one in configs]
    for _ in range(3):
        outcome = together.update()
        for run, session in enumerate(alone):
            row = session.update()[0]
            assert not isinstance(row, Failure), row.error
            mine = outcome[run]
            assert {k: v for k, v in mine.items() if not k.startswith("time/")} == {
                k: v for k, v in row.items() if not k.startswith("time/")
            }
    for run, session in enumerate(alone):
        found, wanted = together.state(run).tensors, session.state(0).tensors
        assert all(same(found[name], wanted[name]) for name in wanted)


def test_a_run_goes_on_as_if_it_had_never_stopped():
    config = cohort("epochs", 2)[0]
    whole, first = NativeSession([config]), NativeSession([config])
    wanted = [whole.update()[0] for _ in range(4)][2:]
    first.update(), first.update()
    resumed = NativeSession([config], [first.state(0)])
    for row in wanted:
        found = resumed.update()[0]
        assert not isinstance(found, Failure)
        assert all(found[name] == row[name] for name in row if not name.startswith("time/"))


@pytest.mark.parametrize("row", ["retrace", "offpac"])
def test_each_row_learns_the_right_action_and_its_value(row):
    """Reward 1 for the action that matches what is seen; at lag 1, on a small network."""
    words = [
        f"algo={row}", "tuned=none", f"env={PROBES}ProbeMatch-v0", "env.num_envs=4", "algo.rollout_steps=20",
        "network.hidden=[16]", "algo.optimiser=adam", "algo.learning_rate=0.03", "total_steps=8000",
    ]  # fmt: skip
    session = NativeSession([compose(words).config])
    for _ in range(100):
        assert not isinstance(session.update()[0], Failure)
    policy = session.policy(0)
    seen = policy.model.encode(policy.snapshot, torch.tensor([-1.0, 1.0]).view(1, -1, 1))
    heads = policy.model.network.heads(policy.snapshot.parameters, seen)
    assert (heads.output[0].softmax(-1).diagonal() > 0.95).all()
    assert heads.value[0].diagonal().tolist() == pytest.approx([1.0, 1.0], abs=0.1)


def test_it_trains_in_torch_and_says_why():
    config = compose(["algo=retrace"]).config
    spec = registry.describe(config.env)
    assert str(choose(config, spec)) == "torch, because network.critic=q is not covered, only v"
