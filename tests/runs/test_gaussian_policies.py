"""Runs with squashed actions and deviations of the state: what reaches the environment, resumes, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlcli
from rlcli.backends.sb3_mapping import refusals
from rlcli.config.rules.table import RULES
from rlcli.config.schema.env import EnvConfig
from rlcli.envs import registry
from rlcli.maths.gaussians import LOWEST
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.policy import read_policy
from rlcli.runs.train import Result
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.config_file import read_config
from rlcli.sweeps.preflight import gaussian_policy_fits
from tests.runs.continuing import play
from tests.runs.test_continue import assert_same
from tests.runs.tiny import tiny

Trained = Callable[..., Result]
PENDULUM = {"env__id": "Pendulum-v1", "network__log_std_init": -1.0}
KINDS: dict[str, dict[str, Any]] = {
    "squashed": {"network__squash": "tanh"},
    "state": {"network__log_std": "state"},
    "both": {"network__squash": "tanh", "network__log_std": "state"},
}
SEEN = np.array([[1.0, 0.0, 0.3], [-0.5, 0.8, -4.0], [0.1, -0.9, 7.0]], np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_run_acts_by_its_mean(kind: str, trained: Trained) -> None:
    run_dir = trained(**PENDULUM | KINDS[kind] | {"network__policy_gain": 0.5}).dir
    model, snapshot = read_policy(run_dir).policy
    mean = model.outputs(snapshot, torch.from_numpy(SEEN)[None]).state[0, :, :1].numpy()
    wanted = np.clip(mean, -2.0, 2.0) if kind == "state" else 2.0 * np.tanh(mean)
    run = rlcli.load(run_dir)
    np.testing.assert_allclose(run.act(SEEN), wanted, rtol=1e-5, atol=1e-6)
    stochastic = run.act(np.repeat(SEEN[:1], 500, 0), stochastic=True)
    assert (np.abs(stochastic) <= 2.0).all()
    assert stochastic.std() > 0.1
    assert math.isfinite(evaluate_run(run_dir, episodes=1)["return_mean"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_from_its_file(kind: str, tmp_path: Path) -> None:
    config = tiny(**PENDULUM | KINDS[kind] | {"env__normalize_observation": True})
    [saved], _ = play([config], None, 1)
    Checkpoints(tmp_path).save(saved, config.batch_size)
    [whole], [rows] = play([config], None, 3)
    [continued], [later] = play([config], [Checkpoints(tmp_path).load()], 2)
    assert later == rows[1:]
    assert_same(continued, whole)


def test_the_entropy_of_squashed_actions_is_that_of_the_torque() -> None:
    """Torques between -2 and 2 have at most the entropy of a uniform one, log 4; a Gaussian may have more."""
    wide = {"algo__learning_rate": 0.0, "env__id": "Pendulum-v1"}
    [squashed, plain] = (
        play([tiny(**wide | {"network__squash": kind})], None, 1)[1][0] for kind in ("tanh", "none")
    )
    gaussian = 0.5 * math.log(2 * math.pi * math.e)
    assert plain[0]["update/entropy"] == pytest.approx(gaussian, abs=1e-3)
    assert 1.2 < squashed[0]["update/entropy"] < math.log(4.0) < gaussian
    assert squashed[0]["behaviour/kl_mu_pi"] == 0.0


def test_squashed_actions_on_a_device_are_those_of_arrays() -> None:
    found = []
    for backend in ("array", "torch"):
        env = registry.make(EnvConfig("Pendulum-v1", 3, backend=backend), 1, device="cpu", squash="tanh")
        env.reset(np.array([[1, 2, 3]]), np.ones((1, 3), bool))
        found.append(env.step(np.array([[[0.3], [-5.0], [0.0]]], np.float32)))
    np.testing.assert_allclose(found[0].observations, found[1].observations, atol=1e-5)
    np.testing.assert_allclose(found[0].rewards, found[1].rewards, atol=1e-5)


def test_a_run_directory_from_before_clips_and_has_free_deviations(finished: Path, tmp_path: Path) -> None:
    lines = (finished / "config.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith(("log_std:", "squash:"))]
    assert len(kept) == len(lines) - 2
    (tmp_path / "config.yaml").write_text("".join(kept))
    assert read_config(tmp_path) == read_config(finished)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network__log_std": "state"}, "network.log_std=state has no effect on CartPole-v1, whose actions"),
        ({"network__squash": "tanh"}, "CartPole-v1 has none: its actions are discrete. Use network.squash="),
        ({"env__id": "tests.envs.probes:ProbeSpaces-v0", "network__squash": "tanh",
          "env__kwargs": {"action": "wide"}}, "has none: its action[0, 0] is between -inf and inf."),
    ],
)  # fmt: skip
def test_policies_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    [fault] = gaussian_policy_fits(tiny(**changes), {})
    assert message in fault.text


def test_deviations_begin_in_their_range_and_sb3_has_none() -> None:
    outside = tiny(env__id="Pendulum-v1", network__log_std="state", network__log_std_init=2.5)
    texts = [fault.text for rule in RULES for fault in rule(outside, {})]
    assert any("network.log_std_init=2.5 is above 2, the largest log deviation" in text for text in texts)
    assert LOWEST == -20.0
    for kind in ({"network__squash": "tanh"}, {"network__log_std": "state"}):
        [name] = kind
        texts = [fault.text for fault in refusals(tiny(**kind, backend="sb3"))]
        assert any(text.startswith(name.replace("__", ".")) for text in texts)
