"""Phases: what each moves and leaves, when the auxiliary one comes, what it remembers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rlcli.learner import ppg, table
from rlcli.learner.state import named_leaves, select, stack, take
from rlcli.nets.network import CRITIC
from tests.learner.setting import ROWS, Stage, hold, joined, same, small, stage
from tests.learner.slow_ppg import SlowPpg

SHORT = {"kwargs": {"max_episode_steps": 7}}
NORMALISED = {"normalize_observation": True, "normalize_reward": True}
PPG = ROWS["ppg"] | {
    "auxiliary_every": 2, "auxiliary_epochs": 2, "auxiliary_minibatches": 4, "learning_rate": 0.01,
}  # fmt: skip
CALM = {"adam_eps": 1e-2}
"""The clone term's first gradient is 0 but for rounding, which a small eps would blow up."""
ENVS = ("CartPole-v1", "Pendulum-v1")
NETWORKS = {"two trunks": False, "one trunk": True}


def begun(env: str = "CartPole-v1", *, shared: bool = False, seed: int = 0, **algo: Any) -> Stage:
    return stage(small(env, seed=seed, algo=PPG | algo, envs=SHORT | NORMALISED, network={"shared": shared}))


VARIANTS = {
    "two trunks": small(seed=1, envs=SHORT, algo=PPG),
    "two trunks, Gaussian": small(
        "Pendulum-v1", seed=2, envs=SHORT | NORMALISED, network={"hidden": (6, 5), "log_std_init": -0.3},
        algo=PPG | {"beta_clone": 4.0, "value_epochs": 3, "max_grad_norm": 0.5, "epochs": 2},
    ),
    "one trunk": small(seed=3, envs=SHORT | NORMALISED, network={"shared": True}, algo=PPG),
    "one trunk, Gaussian": small(
        "Pendulum-v1", seed=4, envs=SHORT | NORMALISED, network={"shared": True, "activation": "silu"},
        algo=PPG | {"beta_clone": 0.3, "value_epochs": 2, "value_coef": 1.5, "minibatches": 1},
    ),
    "every update": small(
        seed=5, envs=SHORT | NORMALISED,
        algo=PPG | {"auxiliary_every": 1, "auxiliary_minibatches": 1, "auxiliary_epochs": 5,
                    "learning_rate": 0.03, "beta_clone": 2.0},
    ),
    "with a penalty": small(
        "Pendulum-v1", seed=6, envs=SHORT | NORMALISED,
        algo=PPG | {"surrogate": "ratio", "penalty": "kl_anchor_pi", "beta": 2.0, "epochs": 3,
                    "normalize_advantage": "minibatch"} | CALM,
    ),
    "no hidden layer": small(seed=7, envs=SHORT | NORMALISED, network={"hidden": ()}, algo=PPG | CALM),
}  # fmt: skip


@pytest.mark.broken_by(
    "the clone term by the other KL",
    "learner/ppg.py",
    "policy.pullback_kl_from(before, by_kl)",
    "policy.pullback_kl_to(before, by_kl)",
)
@pytest.mark.broken_by(
    "one optimiser for the policy and the value function",
    "learner/ppg.py",
    "fit(start, moved.parameters, given.phases.value, ",
    "fit(start, moved.parameters, start.optimiser.part(start.model.network.parts[CRITIC]), ",
    case="two trunks",
)
@pytest.mark.broken_by(
    "no value taught to the policy's trunk",
    "learner/ppg.py",
    "by_auxiliary = (auxiliary - samples.targets) * scale",
    "by_auxiliary = 0.0 * (auxiliary - samples.targets) * scale",
    case="two trunks",
)
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_phases_come_to_where_the_slow_learner_comes(config):
    """Four updates, hence at least two auxiliary phases, the second with what the first left in Adam."""
    ours = stage(config)
    head = ours.state.phases.head[0]
    slow = SlowPpg(config, ours.model, ours.state.policy.parameters[0], head)
    phases = 0
    for _ in range(4):
        rollout = ours.collect()
        learned = ours.learn(rollout)
        assert all(all(mask) for mask in hold(learned).values())
        wanted = slow.update(rollout)
        for name, value in wanted.items():
            assert learned.figures[name].item() == pytest.approx(value, rel=5e-4, abs=2e-6), name
        assert {name for name in learned.figures if name.startswith("auxiliary/")} == set(slow.told)
        phases += len(slow.told) > 0
        ours = ours._replace(state=learned.state)
        for name, part in ours.model.network.layout.unflatten(ours.state.policy.parameters).items():
            torch.testing.assert_close(part[0].double(), slow.part(name), rtol=0, atol=2e-5, msg=name)
        for found, own in zip(
            [ours.state.phases.head[0]] * (not slow.shared), slow.auxiliary_head, strict=True
        ):
            torch.testing.assert_close(found.double(), own.detach(), rtol=0, atol=2e-5)
    assert phases >= 2


def parts(now: Stage, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What policy epochs may move, and what value epochs may, [R, ...] each."""
    shared = now.configs[0].network.shared
    policy, value = [], []
    for name, part in now.model.network.layout.unflatten(parameters).items():
        if name.startswith("trunk"):
            policy.append(part[:, 0])
            value += [] if shared else [part[:, 1]]
        else:
            (value if name.startswith("value") else policy).append(part)
    return tuple(torch.cat([one.reshape(len(parameters), -1) for one in of], -1) for of in (policy, value))


@pytest.mark.broken_by(
    "values in the shared trunk in the policy phase",
    "learner/ppg.py",
    "    moved = sgd(start._replace(optimiser=start.optimiser.part(actor)), ACTOR)\n",
    "    if HEADS in start.model.network.parts:\n        return sgd(start)\n"
    "    moved = sgd(start._replace(optimiser=start.optimiser.part(actor)), ACTOR)\n",
)
@pytest.mark.broken_by(
    "values in the shared trunk in the value epochs",
    "nets/stacked/layout.py",
    "        return replace(alone, inputs=self.width, hidden=()) if self.shared else alone\n",
    "        return alone\n",
)
@pytest.mark.parametrize("optimiser", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("shared", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("env", ENVS)
def test_each_phase_moves_its_own_alone(env, shared, optimiser, monkeypatch):
    """To the last bit, also with momentum from before: update 3 follows an auxiliary phase."""
    now = begun(env, shared=shared, epochs=2, value_epochs=2, optimiser=optimiser).after(2)
    path = [now.state.policy.parameters]
    move_policy, fit = ppg._move_policy, table.TORCH.fit

    def policy_epochs(step):
        moved = move_policy(step)
        path.append(moved.parameters.clone())
        return moved

    def value_epochs(*given):
        found = fit(*given)
        path.append(found.parameters.clone())
        return found

    monkeypatch.setattr(ppg, "_move_policy", policy_epochs)
    monkeypatch.setattr(table, "TORCH", table.TORCH._replace(fit=value_epochs))
    after = now.learn(now.collect())
    (start, moved, fitted), end = (parts(now, one) for one in path), after.state.policy.parameters
    assert (start[0] != moved[0]).any()
    assert torch.equal(start[1], moved[1])
    assert torch.equal(moved[0], fitted[0])
    assert (moved[1] != fitted[1]).any()
    assert torch.equal(path[2], end), "no auxiliary phase in the third update"


@pytest.mark.parametrize("env", ENVS)
def test_with_two_trunks_the_policy_phase_leaves_the_numbers_of_the_critic(env):
    """And the value epochs those of the policy: what it says after them is what its last epoch said."""
    now = begun(env)
    learned = now.learn(now.collect())
    for name in ("kl_mu_pi", "ess", "clip_fraction"):
        assert learned.epochs[f"epochs/{name}"][-1].item() == learned.figures[f"behaviour/{name}"].item()
    critic = now.model.network.parts[CRITIC]
    optimiser, own = learned.state.optimiser, learned.state.phases.value
    value_only = parts(now, optimiser.first)[1], parts(now, optimiser.second)[1]
    assert all((moments == 0).all() for moments in value_only)
    assert own.first.shape == (1, critic.stop - critic.start)
    assert (own.second != 0).any()


@pytest.mark.broken_by(
    "the auxiliary phase one update late",
    "learner/ppg.py",
    "turns = [(done + 1) % every == 0 for done in given.updates]",
    "turns = [done > 0 and done % every == 0 for done in given.updates]",
)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_the_auxiliary_phase_comes_after_every_nth_update(every):
    now = begun(auxiliary_every=every)
    came, steps = [], []
    for _ in range(6):
        learned = now.learn(now.collect())
        came.append("auxiliary/clone_kl" in learned.figures)
        steps.append(learned.figures["update/gradient_steps"].item())
        now = now._replace(state=learned.state)
    assert came == [number % every == 0 for number in range(1, 7)]
    assert steps == [2 + 2 + 8 * ran for ran in came]
    assert now.state.phases.auxiliary.steps.tolist() == [8 * sum(came)]
    assert now.state.phases.value.steps.tolist() == [12]
    assert now.state.optimiser.steps.tolist() == [12]


@pytest.mark.parametrize("env", [*ENVS, "FrozenLake-v1"])
def test_what_is_remembered_is_the_last_rollouts_raw(env):
    now = stage(small(env, algo=PPG | {"auxiliary_every": 3}, envs=NORMALISED))
    observations, targets = [], []
    for _ in range(5):
        rollout = now.collect()
        learned = now.learn(rollout)
        observations.append(rollout.acted_on.transpose(0, 1).flatten(1, 2))
        targets.append(learned.batch.targets)
        now = now._replace(state=learned.state)
    kept = now.state.phases
    assert kept.observations.dtype == observations[0].dtype
    for place, update in enumerate((3, 4, 2)):
        assert torch.equal(kept.observations[:, place], observations[update])
        assert torch.equal(kept.targets[:, place], targets[update])


@pytest.mark.broken_by(
    "cloning the policy of the moment",
    "learner/ppg.py",
    "return distribution(outputs, heads.free), distribution(samples.outputs, self._free), auxiliary",
    "return distribution(outputs, heads.free), distribution(outputs, heads.free), auxiliary",
)
@pytest.mark.parametrize("shared", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("env", ENVS)
def test_the_clone_term_holds_the_policy(env, shared):
    """The same phase with more weight on it ends nearer to where it began, and with none farther."""
    distances = []
    now = begun(env, shared=shared).after(1)
    rollout = now.collect()
    for beta in (0.0, 1.0, 1000.0):
        learned = begun(env, shared=shared, beta_clone=beta)._replace(state=now.state).learn(rollout)
        distances.append(learned.figures["auxiliary/clone_kl"].item())
    assert distances[0] > 1.1 * distances[1] > 1.1 * 2 * distances[2] > 0


@pytest.mark.broken_by(
    "health before the auxiliary phase",
    "learner/epoch_figures.py",
    "if self._last is None or not torch.equal(self._last[0], actor):",
    "if self._last is None:",
)
def test_health_is_that_of_the_policy_after_the_auxiliary_phase():
    now = begun(beta_clone=0.0, learning_rate=0.05).after(1)
    learned = now.learn(now.collect())
    final = now.model.distribution(learned.state.policy.parameters, learned.batch.inputs).double()
    before = now.model.distribution(now.state.policy.parameters, learned.batch.inputs).double()
    exact = before.kl(final).mean().item()
    assert learned.figures["auxiliary/clone_kl"].item() > 1e-3
    assert learned.figures["behaviour/kl_mu_pi"].item() == pytest.approx(exact, rel=1e-9)
    assert learned.epochs["epochs/kl_mu_pi"][-1].item() != pytest.approx(exact, rel=0.01)


@pytest.mark.broken_by(
    "an auxiliary phase for runs whose turn it is not",
    "learner/ppg.py",
    "rule.step(gradients, due)",
    "rule.step(gradients)",
)
def test_members_at_different_updates_have_their_phases_when_they_would_alone():
    """One is at its second update, its neighbours at their first and third."""
    configs = [
        small(seed=seed, algo=PPG | {"beta_clone": beta, "learning_rate": rate}, envs=SHORT | NORMALISED)
        for seed, beta, rate in ((0, 1.0, 0.01), (1, 5.0, 0.02), (2, 0.2, 0.005))
    ]
    done = (1, 0, 2)
    alone = [stage(config).after(updates) for config, updates in zip(configs, done, strict=True)]
    together = stage(*configs)
    together = together._replace(state=stack([take(one.state, 0) for one in alone]))
    together.collector.states = [one.collector.states[0] for one in alone]
    rollouts = [one.collect() for one in alone]
    joint = joined(rollouts)
    learned, each = (
        together.learn(joint),
        [one.learn(rollout) for one, rollout in zip(alone, rollouts, strict=True)],
    )
    for run, one in enumerate(each):
        found, wanted = named_leaves(select(learned.state, [run])), named_leaves(one.state)
        assert all(same(found[name], wanted[name]) for name in wanted)
        for name in learned.figures:
            value = one.figures.get(name)
            assert (
                learned.figures[name][run].isnan()
                if value is None
                else same(learned.figures[name][run], value[0])
            )
    assert learned.figures["auxiliary/value"].isnan().tolist() == [False, True, True]


def test_the_auxiliary_head_is_the_runs_own():
    configs = [small(seed=seed, algo=PPG) for seed in (0, 1)]
    heads = stage(*configs).state.phases.head
    assert heads.shape == (2, 9)
    assert (heads[0] != heads[1]).any()
    assert same(stage(configs[1]).state.phases.head[0], heads[1])
    value = stage(*configs).model.network.layout.unflatten(stage(*configs).state.policy.parameters)[
        "value.weight"
    ]
    assert (heads[:, :-1] != value.squeeze(-1)).any()


def test_early_stopping_is_of_the_policy_alone():
    now = begun(epochs=4, target_kl=1e-9)
    learned = now.learn(now.collect())
    assert learned.figures["update/epochs"].item() == 1
    assert learned.figures["update/gradient_steps"].item() == 1 + 2
    assert learned.state.optimiser.steps.item() == 1
    assert learned.state.phases.value.steps.item() == 2


def test_other_step_rules_remember_nothing():
    state = stage(small()).state
    assert sum(leaf.numel() for leaf in named_leaves(state.phases).values()) == 2
