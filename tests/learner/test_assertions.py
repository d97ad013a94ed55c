"""The policy that acted is the one ratios are taken to: what breaks that is found before the first step."""

from __future__ import annotations

import pytest
import torch

from rlcli.catalog.assertions import ASSERTIONS, FIGURE, KL, broken_of, message
from rlcli.learner import state as states
from rlcli.maths.distributions import Categorical
from tests.learner.setting import hold, small, stage

ACTED = "the policy acted otherwise than the batch recomputes it"
RATIO = "the ratio before the first step is not 1"
FINITE = "a parameter is not finite"

CONFIGS = [small(env, seed=1, envs={"normalize_observation": True}) for env in ("CartPole-v1", "Pendulum-v1")]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.env.id)
def pair(request):
    """Two runs of a kind after two updates, and their next rollout."""
    cohort = stage(
        request.param, small(request.param.env.id, seed=2, envs={"normalize_observation": True})
    ).after(2)
    return cohort, cohort.collect()


@pytest.mark.broken_by(
    "the normaliser advanced before the update",
    "learner/prepare.py",
    "    inputs = model.encode(state.policy, observations)\n",
    "    from rlcli.learner.statistics import advanced_statistics\n"
    "    moved = advanced_statistics(config, hyper, model, state, rollout)[0]\n"
    "    state = state._replace(policy=state.policy._replace(moments=moved))\n"
    "    inputs = model.encode(state.policy, observations)\n",
)
def test_they_hold_on_an_ordinary_update(pair):
    cohort, rollout = pair
    found = hold(cohort.learn(rollout))
    assert {ACTED, RATIO} < set(found) < set(ASSERTIONS)
    assert all(mask == [True, True] for mask in found.values())


@pytest.mark.broken_by(
    "the acting assertion blind",
    "learner/comparison.py",
    "ACTING_TOLERANCE = 1e-4",
    "ACTING_TOLERANCE = 1e4",
)
def test_a_normaliser_moved_after_acting_is_found(pair):
    cohort, rollout = pair
    moments = cohort.state.policy.moments
    mean = moments.mean.clone()
    mean[1] += 0.05 * moments.variance[1].sqrt()
    moved = cohort.state._replace(policy=cohort.state.policy._replace(moments=moments._replace(mean=mean)))
    found = hold(cohort._replace(state=moved).learn(rollout))
    assert found[ACTED] == [True, False]


def test_observations_shifted_by_one_step_are_found(pair):
    cohort, rollout = pair
    observations = rollout.observations.clone()
    observations[:-1, 0] = observations[:-1, 0].roll(1, 0)
    found = hold(cohort.learn(rollout._replace(observations=observations)))
    assert found[ACTED] == [False, True]


def test_the_successor_in_place_of_the_observation_is_found(pair):
    cohort, rollout = pair
    found = hold(cohort.learn(rollout._replace(observations=rollout.observations.roll(-1, 0))))
    assert found[ACTED] == [False, False]


def test_other_parameters_than_those_that_acted_are_found(pair):
    cohort, rollout = pair
    parameters = cohort.state.policy.parameters.clone()
    parameters[0] *= 1.01
    moved = cohort.state._replace(policy=cohort.state.policy._replace(parameters=parameters))
    assert hold(cohort._replace(state=moved).learn(rollout))[ACTED] == [False, True]


def test_a_ratio_that_is_not_one_is_found(pair, monkeypatch):
    cohort, rollout = pair

    def perturbed(state):
        snapshot = states.behaviour(state)
        parameters = snapshot.parameters.clone()
        parameters[1] *= 1 + 1e-6
        return snapshot._replace(parameters=parameters)

    monkeypatch.setattr("rlcli.learner.acting.behaviour", perturbed)
    found = hold(cohort.learn(rollout))
    assert found[RATIO] == [True, False]
    assert found[ACTED] == [True, True]


def test_numbers_that_are_not_finite_are_found(pair):
    cohort, rollout = pair
    rewards = rollout.rewards.clone()
    rewards[3, 0, 1] = torch.inf
    found = hold(cohort.learn(rollout._replace(rewards=rewards)))
    assert found[FINITE] == [False, True]
    assert found["the loss is not finite"] == [False, True]


@pytest.mark.parametrize("backwards", [False, True])
def test_an_exact_divergence_below_zero_is_found(monkeypatch, backwards):
    cohort = stage(small())
    rollout = cohort.collect()
    exact = Categorical.divergences

    def negative(self, other):
        found = exact(self, other)
        wrong = "backward" if backwards else "forward"
        return found._replace(**{wrong: getattr(found, wrong) - 1.0})

    monkeypatch.setattr(Categorical, "divergences", negative)
    assert hold(cohort.learn(rollout))["an exact KL is negative or not finite"] == [False]


@pytest.mark.broken_by(
    "a fault of the user's own function is a broken assertion",
    "catalog/assertions.py",
    "if one.startswith(ASSERTIONS)",
    "if one",
    case="own code",
)
@pytest.mark.parametrize(
    "text",
    [
        "Update 3: own.py:4: the metric mine raised ValueError: no.",
        "CartPole-v1: environment 2 gave a non-finite reward (nan).",
        "disk full",
    ],
    ids=["own code", "environment", "storage"],
)
def test_other_failures_break_no_assertion(text):
    assert broken_of(text) is None


def test_a_message_names_the_assertions_that_an_update_broke():
    assert broken_of(message(3, ASSERTIONS)) == (3, ASSERTIONS)
    assert broken_of(message(12, [RATIO, "another", KL])) == (12, (RATIO, KL))
    named = f"{FIGURE}: behaviour/ratio_max, loss/value"
    assert broken_of(message(1, [named])) == (1, (named,))
