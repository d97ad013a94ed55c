"""`rlcli explain`: every key and metric, by its whole name, its last part or its section."""

from __future__ import annotations

import pytest

from rlcli.catalog.table import METRICS
from rlcli.config.schema.keys import KEYS
from tests.cli.conftest import Rlcli


def test_every_key_and_metric_is_explained(rlcli: Rlcli) -> None:
    rows = {row["name"]: row for row in rlcli("explain", "--json").rows()}
    assert set(rows) == {*KEYS, *METRICS}
    assert all(row["definition"] for row in rows.values())
    plain = rlcli("explain").out.splitlines()
    assert {line.split()[0] for line in plain[1:]} == set(rows)


@pytest.mark.parametrize("name", [*KEYS, *METRICS])
def test_each_by_its_name(name: str, rlcli: Rlcli) -> None:
    ended = rlcli("explain", name)
    assert ended.code == 0
    assert ended.out.startswith(f"{name}\n")


def test_what_is_said_of_a_key(rlcli: Rlcli) -> None:
    (row,) = rlcli("explain", "algo.clip", "--json").rows()
    assert (row["default"], row["range"], row["used_by"]) == (
        0.2,
        "> 0, < 1",
        "algo.surrogate=clipped|spo|cispo",
    )
    out = rlcli("explain", "algo.rollout_steps").out
    for said in ("unit: steps per environment", "default: 128", "range: >= 1", "type: whole number"):
        assert said in out
    assert "choices: minibatch, batch, none" in rlcli("explain", "algo.normalize_advantage").out


def test_what_is_said_of_a_metric(rlcli: Rlcli) -> None:
    (row,) = rlcli("explain", "behaviour/ess", "--json").rows()
    assert row["kind"] == "metric"
    assert row["formula"]
    assert row["direction"] in ("higher", "lower", "neither")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("ess", {"behaviour/ess", "update/ess", "epochs/ess", "weights/ess"}),
        ("gamma", {"algo.gamma"}),
        ("clip", {"algo.clip", "update/clip"}),
        ("checkpoint", {"checkpoint.every", "checkpoint.seconds", "checkpoint.keep"}),
        ("trpo", {"algo=trpo"}),
        ("PPO", {"algo=ppo"}),
        ("algo=a2c", {"algo=a2c"}),
        ("wandb.", {"wandb.mode", "wandb.project", "wandb.entity", "wandb.group"}),
    ],
)
def test_a_part_of_the_name_is_enough(word: str, names: set[str], rlcli: Rlcli) -> None:
    assert {row["name"] for row in rlcli("explain", word, "--json").rows()} == names


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("lr", "algo.learning_rate"),
        ("algo.lr", "algo.learning_rate"),
        ("KL", "update/kl_anchor_pi"),
        ("batch_size", "algo.minibatches"),
        ("approx_kl", "update/kl_k3"),
        ("ep_rew_mean", "train/return_100"),
        ("env_id", "env.id"),
        ("importance weights", "algo.weights"),
    ],
)
def test_names_of_other_libraries_and_words_lead_to_keys_and_metrics(
    word: str, named: str, rlcli: Rlcli
) -> None:
    assert named in {row["name"] for row in rlcli("explain", word, "--json").rows()}
    assert named in rlcli("explain", word).out
