"""Importance-weighted updates against a slow estimate of the gradient, and collecting whole episodes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from rlcli.config.schema.collect import CollectConfig
from rlcli.learner.state import behaviour
from rlcli.nets.network import from_order
from tests.learner.setting import ROWS, Stage, same, small, stage

SHORT = {"kwargs": {"max_episode_steps": 6}}
KINDS = ("trajectory", "per_decision", "prefix", "per_step", "none")
GAMMA = 0.9
RATE = 1e-3


def weighted(env: str = "CartPole-v1", *, lag: int = 0, seeds: tuple[int, ...] = (0,), **algo) -> Stage:
    """Plain gradient steps, so that a step is the gradient times the rate."""
    row = ROWS["reinforce"] | {"gamma": GAMMA, "optimiser": "sgd", "learning_rate": RATE, "value_coef": 0.0}
    return stage(*(small(env, seed=seed, lag=lag, envs=SHORT, algo=row | algo) for seed in seeds))


def moved(now: Stage, updates: int = 3) -> Stage:
    """The same cohort after some steps large enough for the policies of a lag to differ."""
    faster = [replace(one, algo=replace(one.algo, learning_rate=3e-2)) for one in now.configs]
    return now._replace(configs=faster).after(updates)._replace(configs=now.configs)


def whole_episodes(now: Stage) -> Stage:
    configs = [replace(one, collect=CollectConfig(whole_episodes=True)) for one in now.configs]
    return stage(*configs)


def pieces(rollout, n: int) -> list[range]:
    """The segments of environment n of the first run."""
    ended = (rollout.terminated | rollout.truncated)[:, 0, n].tolist()
    found, first = [], 0
    for t, end in enumerate(ended):
        if end or t == len(ended) - 1:
            found.append(range(first, t + 1))
            first = t + 1
    return found


def slow_coefficients(now: Stage, rollout) -> torch.Tensor:
    """What each \u2207 log \u03c0 is multiplied by, [T, N], sums and products written out in float64."""
    algo, model, policy = now.configs[0].algo, now.model, now.state.policy
    steps, _, envs = rollout.rewards.shape

    def by_time(values):
        return values.double().view(steps, envs)

    def flat(field):
        return field.transpose(0, 1).flatten(1, 2)

    def log_prob(snapshot):
        outputs = model.outputs(snapshot, flat(rollout.acted_on))
        return by_time(model.family.distribution(*outputs).log_prob(flat(rollout.actions)))

    def value(field):
        return by_time(model.value(policy.parameters, model.encode(policy, flat(field))))

    rho = (log_prob(policy) - log_prob(behaviour(now.state))).exp()
    v, following = value(rollout.acted_on), value(rollout.successors())
    found = torch.zeros(steps, envs, dtype=torch.float64)
    for n in range(envs):
        for piece in pieces(rollout, n):
            rewards = {t: float(rollout.rewards[t, 0, n]) for t in piece}
            if not rollout.terminated[piece[-1], 0, n]:
                rewards[piece[-1]] += GAMMA * float(following[piece[-1], n])
            up_to = {t: math.prod(float(rho[k, n]) for k in piece if k <= t) for t in piece}
            base = {t: float(v[t, n]) if algo.baseline == "value" else 0.0 for t in piece}
            for t in piece:
                later = [k for k in piece if k >= t]
                future = sum(GAMMA ** (k - t) * rewards[k] for k in later)
                if algo.weights == "trajectory":
                    everything = sum(GAMMA ** (k - piece[0]) * rewards[k] for k in piece)
                    number = up_to[piece[-1]] * (everything - base[piece[0]])
                elif algo.weights == "per_decision":
                    number = sum(GAMMA ** (k - t) * up_to[k] * rewards[k] for k in later) - up_to[t] * base[t]
                else:
                    weight = {"prefix": up_to[t], "per_step": float(rho[t, n]), "none": 1.0}[algo.weights]
                    number = weight * (future - base[t])
                if algo.discount_states and algo.weights != "trajectory":
                    number *= GAMMA ** (t - piece[0])
                found[t, n] = number
    return found


def slow_gradient(now: Stage, rollout, coefficients: torch.Tensor) -> torch.Tensor:
    """The gradient [P] of the mean of coefficient times log-probability."""
    model = now.model
    parameters = now.state.policy.parameters.clone().requires_grad_()
    inputs = model.encode(now.state.policy, rollout.acted_on.transpose(0, 1).flatten(1, 2)).clone()
    actions = rollout.actions.transpose(0, 1).flatten(1, 2).clone()
    log_prob = model.distribution(parameters, inputs).log_prob(actions)
    (log_prob[0] * coefficients.flatten().float()).mean().backward()
    return parameters.grad[0]


@pytest.mark.broken_by(
    "importance weights against the policy before the update",
    "learner/prepare.py",
    "hyper, transitions, batch.advantages, learnt.log_acting, learnt.rollout.counted",
    "hyper, transitions, batch.advantages, learnt.initial.log_prob, learnt.rollout.counted",
)
@pytest.mark.broken_by(
    "a baseline that is asked to be left out",
    "learner/table.py",
    'baseline=algo.baseline == "value",',
    'baseline=algo.baseline != "",',
)
@pytest.mark.parametrize("baseline", ["value", "none"])
@pytest.mark.parametrize("discount", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_a_step_is_the_estimated_gradient(env, kind, discount, baseline):
    now = moved(weighted(env, lag=2, weights=kind, discount_states=discount, baseline=baseline, epochs=1))
    rollout = now.collect()
    ended = (rollout.terminated | rollout.truncated)[:, 0]
    assert ended.any()
    assert not ended[-1].all()
    learned = now.learn(rollout)
    coefficients = slow_coefficients(now, rollout)
    wanted = RATE * slow_gradient(now, rollout, coefficients)
    step = (learned.state.policy.parameters - now.state.policy.parameters)[0]
    torch.testing.assert_close(step, wanted, rtol=2e-2, atol=2e-3 * float(wanted.abs().max()))
    # The step is float32; what it was made of is not.
    judged = learned.figures["update/gain_predicted"]
    assert judged.item() == pytest.approx(float((wanted.double() ** 2).sum()) / RATE, rel=2e-2)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("kind", ["trajectory", "per_decision", "prefix", "per_step"])
def test_a_run_gains_in_the_direction_its_gradient_promises(kind, lag):
    now = weighted(lag=lag, weights=kind, learning_rate=0.01, epochs=3)
    agree = []
    for _ in range(20):
        learned = now.learn(now.collect())
        predicted, realised = (learned.figures[f"update/gain_{name}"] for name in ("predicted", "realised"))
        agree.append((predicted * realised).item() > 0.0)
        now = now._replace(state=learned.state)
    assert sum(agree) > 0.95 * len(agree)


def test_the_policies_of_that_comparison_differ():
    now = moved(weighted("CartPole-v1", lag=2, epochs=1))
    rollout = now.collect()
    found = [slow_coefficients(with_weights(now, kind), rollout) for kind in KINDS]
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().max() > 1e-2


def with_weights(now: Stage, kind: str) -> Stage:
    return now._replace(configs=[replace(one, algo=replace(one.algo, weights=kind)) for one in now.configs])


@pytest.mark.broken_by(
    "importance weights of the update's start in every epoch",
    "learner/sgd.py",
    "advantages, ascended = self._weighting.ascent(log_prob)",
    'advantages, ascended = vars(self).setdefault("_first", self._weighting.ascent(log_prob))',
)
def test_weights_are_taken_anew_before_each_epoch():
    """Two epochs are two single ones, the second on the same rollout with the first one's parameters."""
    now = weighted(epochs=2, learning_rate=0.05, value_coef=0.0)
    rollout = now.collect()
    both = now.learn(rollout).state.policy.parameters[0]
    first = with_epochs(now, 1).learn(rollout).state.policy
    later = with_epochs(now, 1)._replace(state=now.state._replace(policy=first))
    policies = later.state._replace(
        queue=type(first)(
            now.state.policy.parameters[:, None],
            type(first.moments)(*(leaf[:, None] for leaf in now.state.policy.moments)),
        )
    )
    coefficients = slow_coefficients(later._replace(state=policies), rollout)
    start = slow_coefficients(with_epochs(now, 1), rollout)
    # The baseline is the value function's at the start of the update; value_coef=0 leaves it there.
    assert (coefficients - start).abs().max() > 1e-3
    second = first.parameters[0] + 0.05 * slow_gradient(later, rollout, coefficients)
    torch.testing.assert_close(both, second, rtol=1e-3, atol=1e-5)


def with_epochs(now: Stage, epochs: int) -> Stage:
    return now._replace(configs=[replace(one, algo=replace(one.algo, epochs=epochs)) for one in now.configs])


def test_without_weights_it_is_the_score_function():
    plain = {"targets": "gae", "epochs": 3, "minibatches": 1, "normalize_advantage": "none"}
    score, none = (
        stage(small(envs=SHORT, algo=plain | own)).after(3)
        for own in ({"surrogate": "score"}, {"surrogate": "weighted", "weights": "none"})
    )
    assert same(score.state.policy.parameters, none.state.policy.parameters)


def test_the_weights_of_single_steps_are_the_ratios_of_health():
    now = weighted(lag=2, weights="per_step", learning_rate=0.5).after(3)
    figures = now.learn(now.collect()).figures
    assert 0.01 < 1.0 - figures["behaviour/ess"].item() < 1.0
    torch.testing.assert_close(figures["weights/ess"], figures["behaviour/ess"], rtol=1e-6, atol=0)
    torch.testing.assert_close(figures["weights/max"], figures["behaviour/ratio_max"], rtol=1e-6, atol=0)


def test_a_cap_and_normalisation_show_in_the_figures():
    now = weighted(lag=1, weights="trajectory")
    noise = torch.randn(now.state.policy.parameters.shape, generator=torch.manual_seed(0))
    noise = from_order(now.model.network, noise)
    elsewhere = now.state.policy._replace(parameters=now.state.policy.parameters + 0.7 * noise)
    now = now._replace(state=now.state._replace(policy=elsewhere))
    rollout = now.collect()

    def figures(**algo):
        row = replace(now.configs[0].algo, learning_rate=0.0, **algo)
        learned = now._replace(configs=[replace(now.configs[0], algo=row)]).learn(rollout)
        return {name: learned.figures[f"weights/{name}"].item() for name in ("max", "ess", "variance")}

    segments = sum(len(pieces(rollout, n)) for n in range(4))
    free, capped, normal = figures(), figures(weight_cap=1.1), figures(self_normalise=True)
    root = figures(weight_cap="sqrt_n")
    assert free["max"] > math.sqrt(segments)
    assert capped["max"] == pytest.approx(1.1)
    assert root["max"] == pytest.approx(math.sqrt(segments))
    assert capped["variance"] < free["variance"]
    assert normal["ess"] == pytest.approx(free["ess"], rel=1e-9)
    assert normal["max"] != pytest.approx(free["max"], rel=1e-3)


@pytest.mark.broken_by(
    "episodes that end in time preferred to those that had the time",
    "maths/segments.py",
    "begun <= len(ended) - longest",
    "spread(clock.expand_as(last), last) < len(ended) - 1",
)
def test_whole_episodes_begin_with_the_rollout_and_end_in_it():
    now = whole_episodes(weighted("FrozenLake-v1", rollout_steps=16))
    for _ in range(3):
        before = now.collector.states[0]
        assert (before.lengths == 0).all()
        assert len(before.history) == 0
        rollout = now.collect()
        for n in range(4):
            for piece in pieces(rollout, n):
                counted = rollout.counted[list(piece), 0, n]
                assert bool(counted.all()) is bool(counted.any()) is (piece[0] <= 16 - 6)
                if counted.any():
                    assert bool((rollout.terminated | rollout.truncated)[piece[-1], 0, n])
        assert not rollout.counted.all()
        now = now._replace(state=now.learn(rollout).state)
    assert now.collector.states[0].episodes.min() > 3


@pytest.mark.broken_by(
    "what does not count is weighed all the same",
    "maths/importance_gradients.py",
    "if discounts is not None:\n"
    "        coefficients = times(coefficients, discounts)\n"
    "    return torch.where(parts.counted, coefficients, 0.0)",
    "if discounts is not None:\n"
    "        coefficients = times(coefficients, discounts)\n"
    "    return coefficients",
)
def test_what_does_not_count_moves_nothing():
    """Rewards after the last whole episode are of no consequence to the policy; those in it are."""
    now = whole_episodes(weighted(rollout_steps=16, baseline="none"))
    rollout = now.collect()
    rewards = rollout.rewards.clone()
    rewards[~rollout.counted] += 5.0
    step = now.learn(rollout).state.policy.parameters
    assert same(step, now.learn(rollout._replace(rewards=rewards)).state.policy.parameters)
    assert not same(step, now.learn(rollout._replace(rewards=rewards + 1.0)).state.policy.parameters)


def test_whole_episodes_of_several_runs_are_those_of_one():
    together = whole_episodes(weighted(seeds=(0, 1, 2), rollout_steps=16, learning_rate=0.05)).after(3)
    for run in range(3):
        alone = whole_episodes(weighted(seeds=(run,), rollout_steps=16, learning_rate=0.05)).after(3)
        assert same(together.state.policy.parameters[run], alone.state.policy.parameters[0])


@pytest.mark.broken_by(
    "the gain of a weighted objective counted backward",
    "learner/measure.py",
    "start.weighting.gain(before, after)",
    "start.weighting.gain(after, before)",
)
@pytest.mark.parametrize("rate", [1e-3, 3e-2])
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"discount_states": True},
        {"baseline": "none"},
        {"weight_cap": 1.05},
        {"self_normalise": True},
        {"self_normalise": True, "weight_cap": 1.05, "baseline": "none"},
    ],
    ids=lambda own: " ".join(own) or "plain",
)
@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_step_gains_is_what_its_gradient_promised(kind, lag, own, rate):
    """Of the same sign at any step, and for a small one nearly the same number."""
    if kind == "none" and {"weight_cap", "self_normalise"} & set(own):
        return
    now = moved(weighted(lag=lag, weights=kind, epochs=1, **own))
    now = now._replace(
        configs=[replace(now.configs[0], algo=replace(now.configs[0].algo, learning_rate=rate))]
    )
    figures = now.learn(now.collect()).figures
    promised, gained = (figures[f"update/gain_{name}"].item() for name in ("predicted", "realised"))
    assert promised > 0
    assert gained == pytest.approx(promised, rel=0.05 if rate == 1e-3 else 0.5)


def whole_returns(now: Stage, rollout) -> list[tuple[range, int, float]]:
    """Each segment of the first run with its discounted return, V standing for what was cut off."""
    found = []
    policy = now.state.policy
    flat = rollout.successors().transpose(0, 1).flatten(1, 2)
    after = now.model.value(policy.parameters, now.model.encode(policy, flat)).double()
    after = after.view(rollout.rewards.shape[0], -1)
    for n in range(rollout.rewards.shape[2]):
        for piece in pieces(rollout, n):
            total = sum(GAMMA ** (t - piece[0]) * float(rollout.rewards[t, 0, n]) for t in piece)
            if not rollout.terminated[piece[-1], 0, n]:
                total += GAMMA ** len(piece) * float(after[piece[-1], n])
            found.append((piece, n, total))
    return found


@pytest.mark.broken_by(
    "the gain of a weighted objective as that of the score function",
    "learner/weighting.py",
    "Weights(choices.kind, mean_log_weights(begin, end, self._cap), None, False, parts)",
    "Weights(choices.kind, begin, None, False, parts)",
)
@pytest.mark.broken_by(
    "a weighted objective without what it was under the policy that acted",
    "learner/weighting.py",
    "return by_run(now).float(), by_run(self._under_behaviour + times(mean, move))",
    "return by_run(now).float(), by_run(times(mean, move))",
)
def test_the_loss_is_minus_the_estimated_return_and_the_gain_its_growth():
    """Weights of trajectories without a baseline: \u03a3 w G over segments, divided by the batch size."""
    row = {"weights": "trajectory", "baseline": "none", "learning_rate": 0.02}
    now = moved(weighted(lag=2, epochs=2, **row))
    rollout = now.collect()
    once = with_epochs(now, 1).learn(rollout)
    twice = now.learn(rollout)

    def flat(field):
        return field.transpose(0, 1).flatten(1, 2)

    def log_prob(snapshot):
        outputs = now.model.outputs(snapshot, flat(rollout.acted_on))
        found = now.model.family.distribution(*outputs).log_prob(flat(rollout.actions))
        return found.double().view(rollout.rewards.shape[0], -1)

    acting = log_prob(behaviour(now.state))

    def estimate(snapshot):
        log = log_prob(snapshot) - acting
        parts = whole_returns(now, rollout)
        weighed = sum(math.exp(sum(float(log[t, n]) for t in piece)) * total for piece, n, total in parts)
        return weighed / log.numel()

    values = [estimate(one.state.policy) for one in (now, once, twice)]
    assert twice.figures["loss/policy"].item() == pytest.approx(-(values[0] + values[1]) / 2, rel=1e-5)
    assert once.figures["loss/policy"].item() == pytest.approx(-values[0], rel=1e-5)
    gained = twice.figures["update/gain_realised"].item()
    assert gained == pytest.approx(values[2] - values[0], rel=2e-4)
    assert gained > 1e-3


def test_a_natural_step_is_accepted_by_what_the_weighted_objective_gains():
    row = {"step_rule": "natural", "delta": 0.01, "weights": "trajectory", "learning_rate": 0.0}
    figures = weighted(**row).after(1)
    figures = figures.learn(figures.collect()).figures
    assert figures["update/step_accepted"].item() > 0
    assert figures["update/gain_realised"].item() > 0
    assert figures["update/gain_realised"].item() == pytest.approx(
        figures["update/gain_predicted"].item(), rel=0.5
    )


def test_gains_and_losses_of_several_runs_are_those_of_one():
    own = {"self_normalise": True, "rollout_steps": 16, "learning_rate": 0.05, "weights": "per_decision"}
    names = ("loss/policy", "update/gain_realised", "update/gain_predicted")
    together = weighted(seeds=(0, 1, 2), **own).after(2)
    found = together.learn(together.collect()).figures
    for run in range(3):
        alone = weighted(seeds=(run,), **own).after(2)
        figures = alone.learn(alone.collect()).figures
        for name in names:
            assert same(found[name][run], figures[name][0]), name
