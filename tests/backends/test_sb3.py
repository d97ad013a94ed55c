"""Stable-Baselines3 as a session: repeats, resumes, fails and measures as ours does."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.sb3 import Sb3Session
from rlcli.backends.sb3_random import seeded
from rlcli.backends.session import Failure
from rlcli.catalog.table import METRICS
from rlcli.collect.state import episode_seed
from rlcli.config.schema.run import RunConfig
from rlcli.errors import NonFiniteError
from rlcli.maths.draws import derive
from rlcli.runs.api import load
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.train import train
from tests.backends.sb3_setting import both, like
from tests.learner.setting import PROBES, small

ROWS = ("ppo", "a2c", "trpo")
ENVS = ("CartPole-v1", "Pendulum-v1", f"{PROBES}ProbeShifted-v0")


def rows(session: Any, updates: int) -> list[dict[str, Any]]:
    """The rows of the session's first run, less what may differ between identical runs."""
    found = []
    for _ in range(updates):
        row = session.update()[session.runs[0]]
        assert not isinstance(row, Failure), row.error
        found.append({name: value for name, value in row.items() if not name.startswith("time/")})
    return found


def tensors(session: Any, run: int = 0) -> dict[str, torch.Tensor]:
    return session.state(run).tensors


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("row", ROWS)
def test_the_same_run_twice(row):
    first, second = Sb3Session([like(row)]), Sb3Session([like(row)])
    assert rows(first, 3) == rows(second, 3)
    assert_same(tensors(first), tensors(second))


def test_another_seed_is_another_run():
    first, second = Sb3Session([like("ppo")]), Sb3Session([like("ppo", seed=1)])
    assert rows(first, 1) != rows(second, 1)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("env", ENVS)
def test_continuing_is_never_having_stopped(row, env):
    config = like(row, env)
    straight = Sb3Session([config])
    rows(straight, 2)
    saved = straight.state(0)
    resumed = Sb3Session([config], [saved])
    assert rows(straight, 2) == rows(resumed, 2)
    assert_same(tensors(straight), tensors(resumed))


def test_continuing_with_statistics():
    envs = {"normalize_observation": True, "normalize_reward": True}
    config = like("ppo", "Pendulum-v1", envs=envs)
    straight = Sb3Session([config])
    rows(straight, 2)
    resumed = Sb3Session([config], [straight.state(0)])
    assert rows(straight, 2) == rows(resumed, 2)


@pytest.mark.parametrize("row", ROWS)
def test_runs_side_by_side_are_the_runs_alone(row):
    configs = [like(row, seed=seed) for seed in (3, 4)]
    together = Sb3Session(configs)
    for _ in range(2):
        together.update()
    alone = Sb3Session([configs[1]])
    rows(alone, 2)
    assert_same(tensors(together, 1), tensors(alone))
    together.drop(0)
    assert together.runs == (1,)
    assert rows(together, 1) == rows(alone, 1)


def test_draws_follow_from_the_seed_and_the_update(monkeypatch):
    given: list[int] = []

    def noted(seed: int) -> Any:
        given.append(seed)
        return seeded(seed)

    monkeypatch.setattr("rlcli.backends.sb3.seeded", noted)
    monkeypatch.setattr("rlcli.backends.sb3_env.seeded", noted)
    for seed in (5, 6):
        session = Sb3Session([like("ppo", seed=seed)])
        given.clear()
        rows(session, 3)
        streams = [(stream, update) for update in range(3) for stream in ("sb3_collect", "sb3_train")]
        assert given == [derive(seed, *which) for which in streams]


def test_global_generators_are_put_back():
    session = Sb3Session([like("ppo")])
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    session.update()
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("row", ROWS)
def test_both_backends_begin_at_the_same_point(row):
    config = like(row, "Pendulum-v1", network={"initialisation": "uniform", "log_std_init": -0.5})
    ours, theirs = NativeSession([config]), Sb3Session([config])
    assert_same(tensors(ours), tensors(theirs))


@pytest.mark.parametrize("env", ENVS)
def test_our_network_is_theirs(env):
    """The extracted policy and value function say what SB3's modules say."""
    config = like("ppo", env, network={"hidden": (8, 5)})
    session = Sb3Session([config])
    rows(session, 2)
    model, snapshot = session.policy(0)
    theirs = session._members[0]._sb3.policy
    x = torch.randn(1, 50, model.network.encoder.width, generator=torch.Generator().manual_seed(1))
    output, free = model.read(snapshot.parameters, x)
    values = model.value(snapshot.parameters, x)
    with torch.no_grad():
        assert torch.allclose(theirs.predict_values(x[0]).squeeze(-1), values[0], atol=1e-6)
        told = theirs.get_distribution(x[0]).distribution
    if model.family.free_width:
        assert torch.allclose(told.loc, output[0], atol=1e-6)
        assert torch.allclose(told.scale.log(), free[0].expand_as(told.scale), atol=1e-6)
    else:
        assert torch.allclose(told.logits, output[0].log_softmax(-1), atol=1e-6)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_what_is_measured_is_what_sb3_learned_from(row, env):
    """SB3's buffer has our advantages, returns, values and log-probabilities, across ends and cuts."""
    seen = both(like(row, env, envs={"num_envs": 2}, algo={"rollout_steps": 220, "minibatches": 1}))
    batch, held = seen.sb3.batch, seen.buffer
    ended = seen.rollout.terminated if env == "CartPole-v1" else seen.rollout.truncated
    assert ended.any()
    assert torch.allclose(held["advantages"], batch.advantages, rtol=1e-4, atol=1e-3)
    assert torch.allclose(held["returns"], batch.targets, rtol=1e-4, atol=1e-3)
    assert torch.allclose(held["log_probs"], batch.log_anchor, atol=1e-5)


@pytest.mark.parametrize("row", ROWS)
def test_health_is_the_same_on_the_same_data(row):
    """Both backends make the same step here, so every figure both have is the same."""
    seen = both(like(row, "Pendulum-v1", algo={"cg_iterations": 40}), updates=1)
    shared = seen.native.figures.keys() & seen.sb3.figures.keys()
    assert {"behaviour/ess", "update/kl_anchor_pi", "loss/value", "update/grad_norm_mean"} <= shared
    missing = seen.native.figures.keys() - seen.sb3.figures.keys()
    only_ours = {"update/cg_residual", "update/cg_curvature", "update/step_accepted"}
    assert missing == (only_ours if row == "trpo" else set())
    for name in shared:
        ours, theirs = seen.native.figures[name].item(), seen.sb3.figures[name].item()
        if name == "loss/entropy" and row == "trpo":
            assert math.isnan(theirs)
        else:
            assert theirs == pytest.approx(ours, rel=2e-3, abs=2e-5, nan_ok=True), name
    assert seen.native.epochs.keys() == seen.sb3.epochs.keys()
    for name, epochs in seen.native.epochs.items():
        assert torch.cat(seen.sb3.epochs[name]).tolist() == pytest.approx(
            torch.cat(epochs).tolist(), rel=2e-3, abs=2e-5
        ), name


def test_an_early_stop_is_measured():
    config = like("ppo", algo={"target_kl": 1e-4, "epochs": 8, "learning_rate": 0.01})
    (row,) = rows(Sb3Session([config]), 1)
    assert row["update/gradient_steps"] < 8 * 4
    assert row["update/epochs"] == len(row["epochs/ess"]) < 8
    assert row["epochs/kl_mu_pi"][-1] == row["behaviour/kl_mu_pi"]


@pytest.mark.parametrize("row", ROWS)
def test_rows_hold_what_the_catalogue_knows(row):
    for found in rows(Sb3Session([like(row, "Pendulum-v1")]), 2):
        assert set(found) <= set(METRICS)
        flat = [x for value in found.values() for x in (value if isinstance(value, list) else [value])]
        assert all(math.isfinite(x) for x in flat)


def test_episodes_begin_as_native_does(monkeypatch):
    """Episode e of environment n is reset with the same seed by both."""
    begun: dict[type, set[tuple[int, int, int]]] = {}
    for kind in (Sb3Session, NativeSession):
        begun[kind] = set()

        def noted(*which: int, found: set[Any] = begun[kind]) -> int:
            found.add(which)
            return episode_seed(*which)

        monkeypatch.setattr("rlcli.collect.collector.episode_seed", noted)
        rows(kind([like("ppo", f"{PROBES}ProbeTimeLimit-v0", seed=5)]), 1)
    assert begun[Sb3Session] == begun[NativeSession] == {(5, n, e) for n in range(4) for e in range(1, 4)}


def failed(session: Any) -> Failure:
    for _ in range(5):
        outcome = session.update()[0]
        if isinstance(outcome, Failure):
            return outcome
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("fault", ["raise", "reward", "observation"])
def test_a_broken_environment_fails_the_run(fault):
    session = Sb3Session(
        [like("ppo", f"{PROBES}ProbeFaulty-v0", envs={"kwargs": {"fault": fault, "at": 18}})]
    )
    rows(session, 1)
    before = tensors(session)
    failure = failed(session)
    assert failure.update == 2
    assert_same(tensors(session), before)


def test_numbers_that_explode_fail_the_run():
    config = like("ppo", algo={"learning_rate": 1e30, "optimiser": "sgd", "max_grad_norm": None})
    session = Sb3Session([config])
    before = tensors(session)
    failure = failed(session)
    assert isinstance(failure.error, NonFiniteError), failure.error
    assert failure.update == 1
    assert_same(tensors(session), before)


PROBED = {
    "rollout_steps": 20, "epochs": 8, "minibatches": 2, "learning_rate": 0.02, "gamma": 0.9,
    "gae_lambda": 1.0, "max_grad_norm": None,
}  # fmt: skip
MEAN = sum((1.0 - 0.9**left) / 0.1 for left in range(1, 6)) / 5
"""The return that is left, averaged over the five steps of an episode that ends: no clock is seen."""


@pytest.mark.parametrize(("end", "value"), [("terminated", MEAN), ("truncated", 10.0), ("both", MEAN)])
def test_an_end_is_worth_nothing_and_a_cut_is(end, value):
    config = small(
        f"{PROBES}ProbeTimeLimit-v0", total_steps=80 * 50, envs={"kwargs": {"end": end}}, algo=PROBED,
        network={"hidden": (16,), "policy_gain": 0.01},
    )  # fmt: skip
    session = Sb3Session([config])
    (*_, row) = rows(session, 50)
    model, snapshot = session.policy(0)
    found = model.value(snapshot.parameters, torch.zeros(1, 1, 1)).item()
    assert found == pytest.approx(value, abs=0.1)
    assert (row["train/length_mean"], row["train/return_mean"]) == (5.0, 5.0)


def run_config(row: str, **others: Any) -> RunConfig:
    return replace(like(row, **others), total_steps=256, logger=("jsonl",))


@pytest.mark.parametrize("row", ROWS)
def test_a_run_is_trained_evaluated_and_loaded(row, tmp_path):
    (result,) = train([run_config(row)], [tmp_path / row], quiet=True)
    assert result.status == "finished", result.message
    played = evaluate_run(tmp_path / row, episodes=5)
    assert played["return_mean"] > 0.0
    assert load(tmp_path / row).act([0.0, 0.0, 0.0, 0.0]) in (0, 1)
