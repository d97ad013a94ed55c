"""config.yaml: written and read back to the same, and nothing but data."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from rlcli.config.plain_yaml import LARGEST
from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.compute import ComputeConfig
from rlcli.config.schema.env import EnvConfig
from rlcli.config.schema.evaluation import EvalConfig
from rlcli.config.schema.record import CheckpointConfig, HealthConfig
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import from_yaml, to_dict, to_yaml
from rlcli.errors import StorageError, UserError


def test_every_value_survives() -> None:
    config = RunConfig(
        seed=2**62,
        name="yes",
        notes='two\nlines: "quoted" # and \\ more\ttab é',
        tags=("null", "1e3", "- x", ""),
        algo=AlgoConfig(learning_rate=1e-7, clip=0.1 + 0.2, target_kl=None, entropy_coef=-1e22),
        env=EnvConfig(kwargs={"a b": [1, 2.5, None, {"x": True}], "empty": {}, "text": "true"}),
    )
    again = from_yaml(to_yaml(config))
    assert again == config
    assert to_dict(again) == to_dict(config)


def test_absent_keys_have_their_defaults() -> None:
    wanted = AlgoConfig(clip=0.1, beta_min=None, beta_max=None)
    before = dataclasses.replace(
        RunConfig(),
        algo=wanted,
        compute=ComputeConfig(kernel="torch"),
        checkpoint=CheckpointConfig(seconds=0.0),
        eval=EvalConfig(every=0),
        health=HealthConfig(khat=False),
    )
    assert from_yaml("algo: {clip: 1e-1}") == before


def test_what_came_later_means_what_runs_did_before() -> None:
    """A run of before there were bounds had none, though a new one has; what is written is what is read."""
    written = to_yaml(RunConfig())
    older = "".join(line for line in written.splitlines(True) if "beta_min" not in line)
    assert from_yaml(written).algo.beta_min == RunConfig().algo.beta_min == 0.5
    assert from_yaml(older).algo.beta_min is None
    assert from_yaml(older).algo.beta_max == RunConfig().algo.beta_max
    assert from_yaml(to_yaml(from_yaml(older))).algo.beta_min is None


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- 1",
        "",
        "seed: !!python/object/apply:os.system [echo]",
        "notes: &a x\nname: *a",
        "seed: 1\nseed: 2",
        "notes: " + "x" * LARGEST,
        "env: {kwargs: " + "[" * 5000 + "]" * 5000 + "}",
        "1: 2",
    ],
)
def test_what_is_not_plain_data_is_damage(text: str) -> None:
    with pytest.raises(StorageError, match=r"^runs/x/config\.yaml"):
        from_yaml(text, "runs/x/config.yaml")


def test_unknown_keys_and_values_are_a_persons_mistake() -> None:
    with pytest.raises(UserError) as caught:
        from_yaml("algo: {clipp: 0.1, gamma: 3}\nseed: many\n", "c.yaml")
    assert len(caught.value.faults) == 3
    assert all(fault.startswith("c.yaml: ") for fault in caught.value.faults)
    assert "'algo.clip'" in caught.value.faults[0]


@pytest.mark.broken_by(
    "own keys open their section again", "config/serialise.py",
    "dict(_with_own(flat, config.own)) if config.own else flat", "flat | config.own",
)  # fmt: skip
def test_every_section_is_opened_once() -> None:
    own = {"network.mine.width": 3, "algo.mine.rate": 0.5, "network.mine.depth": 2}
    lines = to_yaml(RunConfig(own=own)).splitlines()
    sections = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert len({*sections}) == len(sections)
    content = yaml.safe_load("\n".join(lines))
    assert content["network"]["mine"] == {"width": 3, "depth": 2}
    assert content["network"]["name"] == "mlp"
    assert content["algo"]["mine"] == {"rate": 0.5}
