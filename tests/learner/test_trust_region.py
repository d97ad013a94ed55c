"""Trust region updates: bounded, better, or nothing at all; the value function apart from the policy."""

from __future__ import annotations

import pytest
import torch

from rlcli.learner import trust_region
from rlcli.maths.natural import Accepted, Outcome, line_search
from tests.learner.setting import ROWS, Stage, hold, small, stage

ENVS = ("CartPole-v1", "Pendulum-v1")
TRPO = ROWS["trpo"] | {"cg_iterations": 10}


def begun(env: str = "CartPole-v1", *, seed: int = 0, lag: int = 0, **algo) -> Stage:
    return stage(small(env, seed=seed, lag=lag, algo=TRPO | algo))


def parts(now: Stage, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Parameters of the policy and of the value function, [R, ...] each."""
    named = now.model.network.layout.unflatten(parameters)
    runs = len(parameters)
    policy = [named["policy.weight"], named["policy.bias"], named["policy.free"]]
    value = [named["value.weight"], named["value.bias"]]
    for name, part in named.items():
        if name.startswith("trunk"):
            policy.append(part[:, 0])
            value.append(part[:, 1])
    return tuple(torch.cat([one.reshape(runs, -1) for one in of], -1) for of in (policy, value))


def searches(monkeypatch: pytest.MonkeyPatch) -> list[Accepted]:
    """What every line search from here on comes to."""
    found = []

    def spy(*arguments):
        found.append(line_search(*arguments))
        return found[-1]

    monkeypatch.setattr(trust_region, "line_search", spy)
    return found


def drawn(draw: torch.Generator) -> dict[str, float | int]:
    """Hyperparameters anywhere in their ranges."""

    def between(low: float, high: float) -> float:
        return low * (high / low) ** torch.rand((), generator=draw).item()

    return {
        "delta": between(1e-4, 0.5),
        "cg_damping": between(1e-4, 1.0),
        "cg_iterations": int(between(1, 20)),
        "cg_tolerance": between(1e-10, 0.1),
        "line_search_shrink": between(0.2, 0.95),
        "line_search_steps": int(between(1, 15)),
        "gamma": 1 - between(1e-3, 0.5),
    }


@pytest.mark.broken_by(
    "a line search that forgets the KL",
    "maths/natural.py",
    "good = (distance <= limit) & (better > 0.0)",
    "good = (better > 0.0)",
)
@pytest.mark.parametrize("surrogate", ["ratio", "clipped"])
@pytest.mark.parametrize("env", ENVS)
def test_no_update_leaves_the_trust_region(env, surrogate):
    draw = torch.Generator().manual_seed(len(env + surrogate))
    outcomes, shares, spent = [], [], []
    now = begun(env)
    for number in range(15):
        algo = TRPO | drawn(draw) | {"surrogate": surrogate}
        config = small(env, seed=number, network={"log_std_init": -0.5 * (number % 4)}, algo=algo)
        now = stage(config) if number % 5 == 0 else now._replace(configs=[config])
        learned = now.learn(now.collect())
        assert all(all(mask) for mask in hold(learned).values())
        figures = {name: value.item() for name, value in learned.figures.items()}
        # The very comparison the line search made: the limit is the float32 that the run has it as.
        limit = torch.tensor(config.algo.delta).double().item()
        assert figures["update/kl_anchor_pi"] <= limit
        outcome = Outcome(int(figures["update/step_outcome"]))
        outcomes.append(outcome)
        if outcome == Outcome.STEPPED:
            assert figures["update/gain_realised"] > 0
            assert figures["update/gain_predicted"] > 0
            assert figures["update/cg_curvature"] > 0
            shares.append(figures["update/step_accepted"])
            spent.append(figures["update/kl_anchor_pi"] / limit)
        else:
            assert outcome == Outcome.LINE_SEARCH_FAILED
            assert figures["update/step_accepted"] == figures["update/kl_anchor_pi"] == 0
        now = now._replace(state=learned.state)
    assert outcomes.count(Outcome.STEPPED) >= 8
    assert min(shares) < 1
    assert max(spent) > 0.7


@pytest.mark.parametrize("env", ENVS)
def test_the_line_search_has_the_figures_own_divergence(env, monkeypatch):
    """To the last bit, so that what is logged is what was held to."""
    searched = searches(monkeypatch)
    now = begun(env).after(1)
    learned = now.learn(now.collect())
    assert learned.figures["update/step_outcome"].item() == Outcome.STEPPED
    assert searched[-1].kl.item() == learned.figures["update/kl_anchor_pi"].item() > 0
    assert searched[-1].gain.item() == pytest.approx(learned.figures["update/gain_realised"].item(), rel=1e-6)
    assert searched[-1].scale.item() == learned.figures["update/step_accepted"].item()


@pytest.mark.parametrize("env", ENVS)
def test_without_advantages_the_policy_stays_to_the_last_bit(env):
    """Constant rewards, gamma 0 and a critic that says 0: nothing is better than anything else."""
    now = begun(env, gamma=0.0)
    start = now.state.policy.parameters.clone()
    named = now.model.network.layout.unflatten(start)
    named["value.weight"].zero_()
    named["value.bias"].zero_()
    policy = now.state.policy._replace(parameters=start)
    now = now._replace(state=now.state._replace(policy=policy))
    rollout = now.collect()
    rollout = rollout._replace(rewards=torch.full_like(rollout.rewards, 0.7))
    learned = now.learn(rollout)
    assert (learned.batch.advantages == learned.batch.advantages[0, 0]).all()
    before, after = parts(now, start), parts(now, learned.state.policy.parameters)
    assert torch.equal(before[0], after[0])
    assert (before[1] != after[1]).any()
    assert learned.figures["update/step_outcome"].item() == Outcome.ZERO_GRADIENT
    for name in ("step_accepted", "kl_anchor_pi", "gain_predicted", "gain_realised", "cg_residual"):
        assert learned.figures[f"update/{name}"].item() == 0.0, name
    assert all(all(mask) for mask in hold(learned).values())


@pytest.mark.broken_by(
    "a line search that forgets the gain",
    "maths/natural.py",
    "good = (distance <= limit) & (better > 0.0)",
    "good = (distance <= limit)",
)
@pytest.mark.parametrize("env", ENVS)
def test_a_step_too_small_for_its_numbers_is_not_taken(env):
    """With a minute delta every candidate rounds to the start, which is no better than itself."""
    now = begun(env).after(2)._replace(configs=begun(env, delta=1e-30).configs)
    learned = now.learn(now.collect())
    before, after = parts(now, now.state.policy.parameters), parts(now, learned.state.policy.parameters)
    assert torch.equal(before[0], after[0])
    assert (before[1] != after[1]).any()
    assert learned.figures["update/step_outcome"].item() == Outcome.LINE_SEARCH_FAILED
    assert learned.figures["update/step_accepted"].item() == 0.0
    assert learned.figures["update/cg_curvature"].item() > 0


@pytest.mark.parametrize("env", ENVS)
def test_a_line_search_without_an_admissible_candidate_restores_the_policy(env):
    """Of a step that far the first candidates leave the region; a later one is taken, if there is one."""
    wild = {"delta": 0.4, "cg_damping": 1e-3, "line_search_shrink": 0.7, "line_search_steps": 10}
    now = begun(env, **wild)
    rollout = now.collect()
    start = parts(now, now.state.policy.parameters)[0]

    def learned(**other):
        update = begun(env, **wild | other).learn(rollout)
        return update.figures, parts(now, update.state.policy.parameters)[0]

    figures, _ = learned()
    number = next(k for k in range(10) if figures["update/step_accepted"] >= 0.99 * 0.7**k)
    assert number > 0
    assert figures["update/kl_anchor_pi"].item() <= 0.4
    figures, policy = learned(line_search_steps=number)
    assert torch.equal(policy, start)
    assert figures["update/step_outcome"].item() == Outcome.LINE_SEARCH_FAILED
    figures, policy = learned(line_search=False)
    assert not torch.equal(policy, start)
    assert figures["update/kl_anchor_pi"].item() > 0.4
    assert figures["update/step_accepted"].item() == 1.0
    assert figures["update/step_outcome"].item() == Outcome.STEPPED


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("lag", [0, 2])
def test_the_predicted_gain_is_gradient_times_step(env, lag):
    """Against automatic differentiation of the surrogate, each sample with its weight."""
    now = begun(env, lag=lag, delta=0.03).after(3)
    learned = now.learn(now.collect())
    start, batch = now.state.policy.parameters.double(), learned.batch
    assert (batch.weights is None) == (lag == 0)
    weights = torch.ones(()) if batch.weights is None else batch.weights.double()
    advantages = batch.advantages.double()
    judged = (advantages - advantages.mean()) / advantages.std(correction=0)
    with torch.inference_mode(False):
        inputs, actions = batch.inputs.clone().double(), batch.actions.clone()
        constant = (weights * judged).clone()
        parameters = start.clone().requires_grad_()
        log_prob = now.model.distribution(parameters, inputs).log_prob(actions)
        objective = ((log_prob - log_prob.detach()).exp() * constant).mean()
        (gradient,) = torch.autograd.grad(objective, parameters)
    step = learned.state.policy.parameters.double() - start
    assert learned.figures["update/step_outcome"].item() == Outcome.STEPPED
    predicted = (gradient * step).sum().item()
    assert predicted > 1e-3
    assert learned.figures["update/gain_predicted"].item() == pytest.approx(predicted, rel=1e-4)


@pytest.mark.broken_by(
    "value epochs that move the policy",
    "learner/critic.py",
    "    block = network.parts[CRITIC]\n",
    '    block = network.parts["all"]\n',
)
@pytest.mark.parametrize("env", ENVS)
def test_gradient_steps_move_the_value_function_alone(env, monkeypatch):
    """The policy is, bit for bit, the accepted candidate, the value function the one after its epochs."""
    found = searches(monkeypatch)
    now = begun(env, learning_rate=0.05).after(2)
    learned = now.learn(now.collect())
    start, between, end = (
        parts(now, one)
        for one in (now.state.policy.parameters, found[-1].parameters, learned.state.policy.parameters)
    )
    assert (start[0] != between[0]).any()
    assert torch.equal(start[1], between[1])
    assert torch.equal(between[0], end[0])
    assert (between[1] != end[1]).float().mean() > 0.9
    assert (parts(now, learned.state.optimiser.second)[0] == 0).all()
    assert (parts(now, learned.state.optimiser.second)[1] > 0).any()
    assert learned.figures["update/gradient_steps"].item() == 4


@pytest.mark.parametrize("line_search", [True, False])
@pytest.mark.parametrize("env", ENVS)
def test_the_euclidean_metric_is_a_ball_of_parameters(env, line_search):
    now = begun(env, metric="euclidean", line_search=line_search, delta=0.005, cg_damping=7.0)
    learned = now.learn(now.collect())
    before, after = parts(now, now.state.policy.parameters), parts(now, learned.state.policy.parameters)
    share = learned.figures["update/step_accepted"].item()
    length = (after[0] - before[0]).double().norm().item()
    assert share > 0
    assert length == pytest.approx(share * (2 * 0.005) ** 0.5, rel=1e-4)
    # Along the gradient, gradient times step is the product of their lengths.
    other = begun(env, metric="euclidean", line_search=False, delta=0.02)
    assert other.learn(other.collect()).figures["update/gain_predicted"].item() * share == pytest.approx(
        2 * learned.figures["update/gain_predicted"].item(), rel=1e-3
    )
    assert learned.figures["update/cg_curvature"].item() == pytest.approx(1.0)


@pytest.mark.broken_by(
    "a natural step downhill",
    "maths/natural.py",
    "scaled = root(2.0 * delta.double() / curvature) * direction",
    "scaled = -root(2.0 * delta.double() / curvature) * direction",
)
@pytest.mark.parametrize("env", ENVS)
def test_without_line_search_the_full_step_is_taken(env):
    """A small one: half its square in the damped Fisher metric is delta, and without damping the KL."""
    now = begun(env, line_search=False, delta=1e-6, cg_damping=1e-2, cg_iterations=40)
    learned = now.learn(now.collect())
    assert learned.figures["update/step_accepted"].item() == 1.0
    before, after = parts(now, now.state.policy.parameters), parts(now, learned.state.policy.parameters)
    square = (after[0] - before[0]).double().square().sum().item()
    divergence = learned.figures["update/kl_anchor_pi"].item()
    assert divergence > 3e-7
    assert learned.figures["update/gain_realised"].item() == pytest.approx(
        learned.figures["update/gain_predicted"].item(), rel=0.01
    )
    assert learned.figures["update/gain_predicted"].item() > 1e-4
    assert square * 1e-2 / 2 > 3e-8
    assert divergence + square * 1e-2 / 2 == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize("env", ENVS)
def test_scaling_all_advantages_leaves_the_step_as_it_is(env):
    """By a power of two, bit for bit."""
    moves = []
    for scale in (1.0, 1024.0):
        now = begun(env, normalize_advantage="none", gamma=0.0)
        parameters = now.state.policy.parameters.clone()
        named = now.model.network.layout.unflatten(parameters)
        named["value.weight"].zero_()
        named["value.bias"].zero_()
        policy = now.state.policy._replace(parameters=parameters)
        now = now._replace(state=now.state._replace(policy=policy))
        rollout = now.collect()
        rewards = torch.linspace(-1, 1, rollout.rewards.numel()).view_as(rollout.rewards).double()
        learned = now.learn(rollout._replace(rewards=rewards * scale))
        moves.append(parts(now, learned.state.policy.parameters)[0])
        assert learned.figures["update/step_outcome"].item() == Outcome.STEPPED
    assert torch.equal(*moves)


@pytest.mark.parametrize("env", ENVS)
def test_under_lag_the_region_is_around_the_current_policy(env):
    now = begun(env, lag=2, delta=0.05)
    moved = []
    for _ in range(5):
        learned = now.learn(now.collect())
        assert all(all(mask) for mask in hold(learned).values())
        if learned.figures["update/step_outcome"].item() == Outcome.STEPPED:
            moved.append(learned.figures["update/kl_anchor_pi"].item())
            assert learned.figures["update/gain_realised"].item() > 0
        now = now._replace(state=learned.state)
    assert len(moved) >= 3
    assert max(moved) <= 0.05 + 1e-9
    assert learned.figures["behaviour/kl_mu_pi"].item() > 0.05


def test_what_a_trust_region_update_says_of_itself():
    learned = begun(epochs=3).learn(begun().collect())
    assert learned.figures["update/epochs"].item() == 1
    assert all(len(values) == 1 for values in learned.epochs.values())
    assert learned.epochs["epochs/kl_mu_pi"][0].item() == learned.figures["behaviour/kl_mu_pi"].item()
    assert learned.figures["update/gradient_steps"].item() == 6
    assert learned.figures["update/budget_used"].item() == pytest.approx(
        learned.figures["update/kl_anchor_pi"].item() / 0.01, rel=1e-6
    )


@pytest.mark.parametrize("env", ENVS)
def test_the_natural_step_of_cispo_is_that_of_the_ratio(env):
    """At the anchor they have one gradient; then a capped ratio gains less, and what it gains is real."""
    found = []
    for surrogate in ("ratio", "cispo"):
        before = begun(env, surrogate=surrogate, clip=0.01, delta=0.02)
        found.append(before.learn(before.collect()))
        assert found[-1].figures["update/step_outcome"] == Outcome.STEPPED
        assert found[-1].figures["update/step_accepted"] == 1.0
    ratio, capped = (one.figures for one in found)
    assert torch.equal(*(parts(before, one.state.policy.parameters)[0] for one in found))
    assert ratio["update/gain_predicted"] == capped["update/gain_predicted"]
    assert capped["update/gain_realised"] > 0
    assert capped["update/gain_realised"] != ratio["update/gain_realised"]
