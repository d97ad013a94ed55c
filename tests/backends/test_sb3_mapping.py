"""Every key is something to Stable-Baselines3, or is refused by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rlcli.backends import sb3_mapping as mapping
from rlcli.backends.sb3 import Sb3Session
from rlcli.config.compose import compose
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build, flatten
from rlcli.envs.registry import describe
from rlcli.errors import UserError
from rlcli.sweeps.preflight import CHECKS
from tests.backends.sb3_setting import like


def refused(config: RunConfig) -> set[str]:
    """The keys that are refused, the backend aside."""
    return {key for fault in mapping.refusals(config) for key in fault.keys} - {"backend"}


@pytest.mark.parametrize("row", ["ppo", "ppo_clip", "a2c", "trpo"])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_rows_are_taken_as_they_are(row, env):
    composed = compose([f"algo={row}", f"env={env}", "backend=sb3"], checks=CHECKS)
    assert mapping.algorithm(composed.config) == row.partition("_")[0].upper()


@pytest.mark.parametrize("row", ["ppo_kl", "mdpo", "ppg"])
def test_rows_without_a_peer_are_refused(row):
    with pytest.raises(UserError, match="backend=sb3, which has PPO"):
        compose([f"algo={row}", "backend=sb3"], checks=CHECKS)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("ppo", {"lag": 1}, "lag"),
    ("ppo", {"algo.reuse": 2}, "algo.reuse"),
    ("ppo", {"device": "cuda"}, "device"),
    ("ppo", {"network.shared": True}, "network.shared"),
    ("ppo", {"network.name": "lstm"}, "network.name"),
    ("ppo", {"algo.value_clip": 0.2}, "algo.value_clip"),
    ("ppo", {"algo.penalty": "kl_anchor_pi"}, "algo.penalty"),
    ("ppo", {"algo.targets": "nstep", "algo.n_step": 5}, "algo.targets"),
    ("ppo", {"algo.normalize_advantage": "batch"}, "algo.normalize_advantage"),
    ("ppo", {"algo.target_kl": 0.01, "algo.target_kl_rule": "epoch_exact"}, "algo.target_kl_rule"),
    ("a2c", {"algo.epochs": 2}, "algo.epochs"),
    ("a2c", {"algo.minibatches": 2}, "algo.minibatches"),
    ("a2c", {"algo.target_kl": 0.01}, "algo.target_kl"),
    ("trpo", {"algo.entropy_coef": 0.01}, "algo.entropy_coef"),
    ("trpo", {"algo.max_grad_norm": 0.5}, "algo.max_grad_norm"),
    ("trpo", {"algo.normalize_advantage": "minibatch"}, "algo.normalize_advantage"),
    ("trpo", {"algo.optimiser": "sgd"}, "algo.optimiser"),
    ("trpo", {"algo.value_coef": 0.0}, "algo.value_coef"),
    ("trpo", {"algo.cg_tolerance": 1e-6}, "algo.cg_tolerance"),
    ("trpo", {"algo.line_search": False}, "algo.line_search"),
    ("trpo", {"algo.metric": "euclidean"}, "algo.metric"),
    ("trpo", {"algo.target_kl": 0.01}, "algo.target_kl"),
]


@pytest.mark.parametrize(("row", "values", "key"), REFUSED, ids=lambda part: str(part))
def test_what_sb3_cannot_do_is_refused(row, values, key):
    config = build(flatten(like(row)) | values)
    assert refused(config) == {key}
    with pytest.raises(UserError, match=key.replace(".", r"\.") + r"=.* is not possible with backend=sb3: ."):
        Sb3Session([config])


def test_what_comes_to_the_same_is_not_refused():
    for changed in (
        {"algo.normalize_advantage": "batch", "algo.minibatches": 1},
        {"algo.anchor": "behaviour"},
    ):
        assert not refused(build(flatten(like("ppo")) | changed))
    assert not refused(build(flatten(like("ppo")) | {"algo.target_kl_rule": "epoch_exact"}))


def other_value(name: str) -> Any:
    """An admitted value that is not the default."""
    key = KEYS[name]
    if key.declaration.choices:
        return next(choice for choice in key.declaration.choices if choice != key.default)
    if isinstance(key.default, bool):
        return not key.default
    return 1 if key.default in (None, 0) else type(key.default)(key.default * 2)


@pytest.mark.parametrize(
    "name",
    [
        key.name
        for key in KEYS.values()
        if key.name not in mapping.MAPPED and key.declaration.effect != "nothing" and not key.is_list
    ]
    or [pytest.param("", marks=pytest.mark.skip(reason="every key is mapped"))],
)
def test_a_key_that_is_not_mapped_keeps_its_default(name):
    used_by = KEYS[name].declaration.used_by
    in_use = {} if used_by is None else {f"{name.rpartition('.')[0]}.{used_by[0]}": used_by[1][0]}
    config = build(flatten(like("ppo")) | in_use | {name: other_value(name)})
    assert name in refused(config)


def test_the_table_names_keys_there_are():
    assert set(mapping.MAPPED) <= set(KEYS)


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = {row: mapping.missing(like(row)) for row in ("ppo", "trpo")}
    assert said["ppo"] is not None
    assert said["ppo"].text.endswith("pip install stable-baselines3")
    assert said["trpo"] is not None
    assert said["trpo"].text.endswith("pip install sb3-contrib")


def test_several_faults_are_told_at_once():
    config = replace(build(flatten(like("ppo")) | {"network.shared": True}), lag=2)
    with pytest.raises(UserError) as told:
        Sb3Session([config, config])
    assert len(told.value.faults) == 2


def test_schedules_follow_updates_as_ours_do():
    algo = {"learning_rate_schedule": "linear", "clip_schedule": "linear", "learning_rate": 0.01, "clip": 0.3}
    config = like("ppo", algo=algo)
    given = mapping.arguments(config, describe(config.env).action)
    session = Sb3Session([config])
    for _ in range(4):
        row = session.update()[0]
    assert isinstance(row, dict)
    told = session._members[0]._sb3.logger.name_to_value
    assert told["train/clip_range"] == pytest.approx(row["update/clip"]) == pytest.approx(0.3 * 0.7)
    assert (
        told["train/learning_rate"] == pytest.approx(row["update/learning_rate"]) == pytest.approx(0.01 * 0.7)
    )
    assert given["learning_rate"](0.7) == pytest.approx(0.007)
    session.close()


def test_alerts_are_as_with_native_but_lower_no_rate():
    assert not refused(build(flatten(like("ppo")) | {"alerts.ess.limit": 0.4, "alerts.kl.action": "stop"}))
    assert not refused(
        build(flatten(like("ppo")) | {"alerts.more": {"long": {"metric": "train/length_mean", "above": 9}}})
    )
