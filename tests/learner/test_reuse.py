"""Rollouts that are learnt from again: what is kept, how samples are weighed, and where that is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Checkpoint
from rlcli.collect.rollout import Rollout
from rlcli.config.schema.collect import CollectConfig
from rlcli.config.schema.run import RunConfig
from rlcli.learner.kept import nothing_kept
from rlcli.learner.prepare import prepare
from rlcli.learner.state import named_leaves, select, stack, take
from rlcli.learner.table import algorithm
from rlcli.nets.policy import Snapshot
from tests.learner.setting import ROWS, Stage, hold, joined, same, small, stage

SHORT = {"kwargs": {"max_episode_steps": 7}}
NORMALISED = {"normalize_observation": True, "normalize_reward": True}
PPO = {"learning_rate": 0.03, "reuse": 3}
REINFORCE = ROWS["reinforce"] | {"weights": "per_step", "learning_rate": 0.03, "reuse": 3}
BOTH = {"ppo": PPO, "reinforce": REINFORCE}
ENVS = ("CartPole-v1", "Pendulum-v1")


def config(env: str = "CartPole-v1", seed: int = 0, algo: dict[str, Any] = PPO, **more: Any) -> RunConfig:
    return small(env, seed=seed, algo=algo | more, envs=SHORT | NORMALISED)


class Past(NamedTuple):
    """A cohort in the middle, and what happened before."""

    now: Stage
    rollouts: list[Rollout]
    policies: list[Snapshot]


def past(of: RunConfig, updates: int) -> Past:
    """After so many updates; the rollout of the next one is the last."""
    now, rollouts, policies = stage(of), [], []
    for _ in range(updates):
        rollouts.append(now.collect())
        policies.append(now.state.policy)
        now = now._replace(state=now.learn(rollouts[-1]).state)
    return Past(now, [*rollouts, now.collect()], [*policies, now.state.policy])


def rows(field: Tensor) -> Tensor:
    """[T, R, N, ...] -> [R, T N, ...]."""
    return field.transpose(0, 1).flatten(1, 2)


def log_prob(now: Stage, policy: Snapshot, rollout: Rollout) -> Tensor:
    """[R, T N] float64."""
    outputs = now.model.outputs(policy, rows(rollout.acted_on))
    return now.model.family.distribution(*outputs).log_prob(rows(rollout.actions)).double()


def apart(batch: Tensor, rollouts: int) -> list[Tensor]:
    """[R, T k N] -> each rollout's [R, T N]."""
    by_rollout = batch.view(len(batch), 16, rollouts, -1).unbind(2)
    return [part.flatten(1) for part in by_rollout]


def slow_weights(before: Past, policies: int) -> list[Tensor]:
    """Probabilities of the policy now over the mean of those of the last ones, each rollout's [R, T N]."""
    now, last = before.now, before.policies[-policies:]
    return [
        log_prob(now, last[-1], rollout).exp()
        / (sum(log_prob(now, policy, rollout).exp() for policy in last) / policies)
        for rollout in before.rollouts[-policies:]
    ]


@pytest.mark.broken_by(
    "weights of the mixture turned over",
    "learner/prepare.py",
    "(learnt.initial.log_prob - learnt.log_acting).exp().float()",
    "(learnt.log_acting - learnt.initial.log_prob).exp().float()",
    case="CartPole-v1",
)
@pytest.mark.broken_by(
    "kept policies with the statistics of now",
    "learner/reuse.py",
    "Moments(*(leaf[:, place].contiguous() for leaf in moments))",
    "state.policy.moments",
    case="CartPole-v1",
)
@pytest.mark.broken_by(
    "the newest of the kept rollouts forgotten",
    "learner/kept.py",
    "torch.cat((old[:, 1:], new.unsqueeze(1)), 1)",
    "torch.cat((new.unsqueeze(1), old[:, 1:]), 1)",
    case="CartPole-v1",
)
@pytest.mark.parametrize("env", ENVS)
def test_ppo_weighs_each_sample_by_the_mixture_of_the_policies_that_collected(env: str) -> None:
    before = past(config(env), 4)
    learned = before.now.learn(before.rollouts[-1])
    assert all(all(mask) for mask in hold(learned).values())
    assert learned.batch.weights is not None
    found, wanted = apart(learned.batch.weights, 3), slow_weights(before, 3)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)
        assert one.amax() <= 3.0
    assert (torch.cat(wanted) - 1).abs().max() > 0.1
    weights = torch.cat(wanted, -1)
    ess = weights.sum(-1) ** 2 / (weights.shape[-1] * (weights**2).sum(-1))
    torch.testing.assert_close(learned.figures["weights/ess"], ess, rtol=1e-4, atol=1e-6)
    assert learned.figures["weights/max"] == pytest.approx(float(weights.max()), rel=1e-4)


@pytest.mark.parametrize("env", ENVS)
def test_actions_rewards_and_ends_of_kept_rollouts_are_estimated_with_the_critic_of_now(env: str) -> None:
    before = past(config(env, value_clip=0.3), 4)
    now = before.now
    learned = now.learn(before.rollouts[-1])
    alone = now._replace(
        configs=[config(env, value_clip=0.3, reuse=1)], state=now.state._replace(kept=nothing_kept(1))
    )
    for place, rollout in enumerate(before.rollouts[-3:]):
        wanted = alone.learn(rollout).batch
        for name in ("advantages", "targets", "log_anchor", "values"):
            found = apart(getattr(learned.batch, name), 3)[place]
            torch.testing.assert_close(found, getattr(wanted, name), rtol=1e-4, atol=1e-5)
        inputs = learned.batch.inputs.view(1, 16, 3, 4, -1)[:, :, place].flatten(1, 2)
        torch.testing.assert_close(inputs, wanted.inputs, rtol=0.0, atol=0.0)


@pytest.mark.broken_by(
    "a rollout that is not counted until another came",
    "learner/reuse.py",
    "earlier = age <= state.update.unsqueeze(1)",
    "earlier = age < state.update.unsqueeze(1)",
)
@pytest.mark.broken_by(
    "rollouts that are there not weighed for those that are not",
    "learner/reuse.py",
    "share = k * self.present / self.present.sum(1, keepdim=True)",
    "share = 1.0 * self.present",
)
@pytest.mark.broken_by(
    "rollouts that are not there counted in figures",
    "learner/reuse.py",
    "            steps.counted & there,\n",
    "            steps.counted,\n",
)
def test_until_there_are_enough_rollouts_the_balance_is_over_those_there_are() -> None:
    before = past(config(), 1)
    learned = before.now.learn(before.rollouts[-1])
    assert learned.batch.weights is not None
    filler, kept, current = apart(learned.batch.weights, 3)
    assert not filler.any()
    for found, wanted in zip((kept, current), slow_weights(before, 2), strict=True):
        torch.testing.assert_close(found.double(), 1.5 * wanted, rtol=1e-4, atol=1e-6)
    weights = torch.cat(slow_weights(before, 2), -1)
    ess = weights.sum(-1) ** 2 / (weights.shape[-1] * (weights**2).sum(-1))
    torch.testing.assert_close(learned.figures["weights/ess"], ess, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_the_first_update_is_the_one_without_reuse(name: str) -> None:
    full = {"minibatches": 1, "normalize_advantage": "none", "optimiser": "sgd", "max_grad_norm": None}
    one, other = (
        stage(small(seed=2, algo=BOTH[name] | full | {"reuse": reuse, "epochs": 2})) for reuse in (1, 3)
    )
    ours, theirs = (now.learn(now.collect()) for now in (one, other))
    found, wanted = theirs.state.policy.parameters, ours.state.policy.parameters
    assert (wanted - one.state.policy.parameters).abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    weighed = {"weights/ess", "weights/max", "weights/variance"}
    assert weighed <= theirs.figures.keys()
    for figure in ours.figures:
        if name == "reinforce" or figure not in weighed:
            torch.testing.assert_close(
                theirs.figures[figure], ours.figures[figure], rtol=1e-3, atol=1e-5, equal_nan=True
            )


@pytest.mark.parametrize("name", BOTH)
def test_policies_that_are_all_equal_weigh_one_to_the_last_bit(name: str) -> None:
    still = small(seed=3, algo=BOTH[name] | {"learning_rate": 0.0})
    before = past(still, 4)
    learned = before.now.learn(before.rollouts[-1])
    assert learned.batch.weights is not None
    assert torch.equal(learned.batch.weights, torch.ones_like(learned.batch.weights))
    # Of reinforce they are of the policy after the update, in float64.
    exact = 0.0 if name == "ppo" else 1e-6
    for figure, value in (("ess", 1.0), ("max", 1.0), ("variance", 0.0)):
        assert learned.figures[f"weights/{figure}"].item() == pytest.approx(value, rel=0.0, abs=exact)


@pytest.mark.broken_by(
    "per-step weights of the last policy, not of the mixture",
    "learner/reuse.py",
    "    return log_mixture(log_probs, joined.present",
    "    return log_prob.double() + 0 * log_mixture(log_probs, joined.present",
)
def test_reinforce_multiplies_returns_by_the_ratio_to_the_mixture() -> None:
    before = past(config(algo=REINFORCE), 4)
    now = before.now
    found = prepare(
        algorithm(now.configs[0]), now.configs, [0], now.model, now.state, before.rollouts[-1]
    ).start
    assert found.batch.weights is not None
    assert torch.equal(found.batch.weights, torch.ones_like(found.batch.weights))
    advantages = apart(found.batch.advantages, 3)
    for one, weight, advantage in zip(
        apart(found.objective_advantages, 3), slow_weights(before, 3), advantages, strict=True
    ):
        torch.testing.assert_close(one.double(), weight * advantage.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.broken_by(
    "health measured on the oldest rollout",
    "learner/reuse.py",
    "own[:, :, -(envs // self.present.shape[1]) :]",
    "own[:, :, : envs // self.present.shape[1]]",
)
def test_health_is_measured_on_the_current_rollout_alone() -> None:
    before = past(config(clip=0.05), 4)
    now, rollout = before.now, before.rollouts[-1]
    learned = now.learn(rollout)
    move = log_prob(now, learned.state.policy._replace(moments=now.state.policy.moments), rollout)
    move = move - log_prob(now, now.state.policy, rollout)
    assert learned.figures["behaviour/kl_k1"].item() == pytest.approx(-move.mean().item(), rel=1e-3, abs=1e-6)
    advantages = learned.batch.advantages - learned.batch.advantages.mean(-1, keepdim=True)
    assert learned.batch.values is None
    values = now.model.value(
        now.state.policy.parameters, now.model.encode(now.state.policy, rows(rollout.acted_on))
    )
    targets = apart(learned.batch.targets, 3)[-1]
    explained = 1 - (targets - values).var() / targets.var()
    assert learned.figures["update/explained_variance"].item() == pytest.approx(explained.item(), abs=1e-4)
    ratio, above = move.exp(), apart(advantages, 3)[-1] > 0
    active = ((ratio > 1.05) & above) | ((ratio < 0.95) & ~above)
    assert active.any()
    assert learned.figures["update/clip_active"].item() == pytest.approx(active.double().mean().item())


@pytest.mark.parametrize("name", BOTH)
def test_runs_of_a_cohort_at_different_updates_are_the_runs_alone(name: str) -> None:
    first, second = (past(config(seed=seed, algo=BOTH[name]), done) for seed, done in ((0, 1), (7, 3)))
    alone = [one.now.learn(one.rollouts[-1]) for one in (first, second)]
    together = first.now._replace(
        configs=[first.now.configs[0], second.now.configs[0]],
        state=stack([take(one.now.state, 0) for one in (first, second)]),
    )
    together.collector.seeds[:] = [0, 7]
    both = together.learn(joined([one.rollouts[-1] for one in (first, second)]))
    for run, one in enumerate(alone):
        found = named_leaves(select(both.state, [run]))
        for leaf, wanted in named_leaves(one.state).items():
            assert same(found[leaf], wanted), leaf
        for figure, value in one.figures.items():
            assert same(both.figures[figure][run], value[0]), figure


@pytest.mark.broken_by(
    "kept policies saved in the order of this machine's memory",
    "learner/declared.py",
    "kept = kept._replace(policies=snapshot(kept.policies))",
    "kept = kept._replace(policies=kept.policies)",
)
def test_saved_policies_have_the_declared_order_of_parameters() -> None:
    session = NativeSession([config()])
    session.update()
    before = session.state(0).tensors["train.policy.parameters"]
    session.update()
    assert same(session.state(0).tensors["train.kept.policies.parameters"][-1], before)


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("name", BOTH)
def test_a_checkpoint_goes_on_as_if_it_had_never_stopped(name: str, env: str) -> None:
    wanted, part = (NativeSession([config(env, algo=BOTH[name])]) for _ in range(2))
    rows_of = [wanted.update()[0] for _ in range(5)]
    part.update(), part.update()
    resumed = NativeSession([config(env, algo=BOTH[name])], [part.state(0)])
    found = [resumed.update()[0] for _ in range(3)]
    for one, other in zip(found, rows_of[2:], strict=True):
        assert {k: v for k, v in one.items() if not k.startswith("time/")} == {
            k: v for k, v in other.items() if not k.startswith("time/")
        }
    ours, theirs = resumed.state(0).tensors, wanted.state(0).tensors
    assert ours.keys() == theirs.keys()
    assert all(same(ours[key], theirs[key]) for key in theirs)


def test_without_reuse_nothing_is_kept_and_earlier_checkpoints_are_read() -> None:
    session = NativeSession([config(reuse=1)])
    session.update()
    saved = session.state(0)
    kept = {name for name in saved.tensors if name.startswith("train.kept.")}
    assert kept
    assert all(saved.tensors[name].numel() == 0 for name in kept)
    earlier = Checkpoint({k: v for k, v in saved.tensors.items() if k not in kept}, saved.update)
    one, other = (NativeSession([config(reuse=1)], [state]) for state in (earlier, saved))
    one.update(), other.update()
    ours, theirs = one.state(0).tensors, other.state(0).tensors
    assert all(same(ours[name], theirs[name]) for name in theirs)


def test_whole_episodes_are_reused_without_those_that_do_not_count() -> None:
    whole = replace(config(algo=REINFORCE), collect=CollectConfig(whole_episodes=True))
    before = past(whole, 3)
    now = before.now
    assert all(all(mask) for mask in hold(now.learn(before.rollouts[-1])).values())
    found = prepare(
        algorithm(now.configs[0]), now.configs, [0], now.model, now.state, before.rollouts[-1]
    ).start
    for one, rollout in zip(apart(found.objective_advantages, 3), before.rollouts[-3:], strict=True):
        counted = rows(rollout.counted)
        assert 0.3 < counted.double().mean() < 0.9
        assert torch.equal(one != 0, counted)
