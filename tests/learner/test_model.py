"""From an environment's spaces to the family and the encoder of its policy."""

from __future__ import annotations

from typing import Any

import pytest

from rlcli.envs.registry import describe
from rlcli.learner.model import make_model
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.policy import Model
from tests.learner.setting import PROBES, small


def model(observation: str = "box", action: str = "discrete", normalize: bool = True) -> Model:
    envs = {"kwargs": {"observation": observation, "action": action}, "normalize_observation": normalize}
    config = small(PROBES + "ProbeSpaces-v0", envs=envs)
    return make_model(config, describe(config.env))


@pytest.mark.parametrize(
    ("action", "family"),
    [
        ("discrete", CategoricalFamily(4)),
        ("wide", GaussianFamily(6)),
        ("multidiscrete", MultiCategoricalFamily((2, 3))),
        ("grid", MultiCategoricalFamily((2, 3, 1, 4))),
        ("multibinary", BernoulliFamily(3)),
        ("board", BernoulliFamily(6)),
    ],
)
def test_each_action_space_has_its_family(action: str, family: Any) -> None:
    found = model(action=action)
    assert found.family == family
    assert found.network.layout.outputs == family.output_width


@pytest.mark.parametrize(
    ("observation", "width", "whitened"),
    [
        ("wide", 6, None),
        ("discrete", 4, ()),
        ("multidiscrete", 5, ()),
        ("board", 6, ()),
        ("dict", 7, (5, 6)),
        ("tuple", 8, (0,)),
        ("pixels", 5, None),
    ],
)
def test_boxes_are_whitened_and_nothing_else(
    observation: str, width: int, whitened: tuple[int, ...] | None
) -> None:
    """`whitened` columns; None: all."""
    encoder = model(observation).network.encoder
    assert encoder.width == width
    assert encoder.normalize == (whitened != ())
    if whitened:
        assert encoder.measured == tuple(column in whitened for column in range(width))
    assert (encoder.measured is None) == (whitened is None)
    assert not model(observation, normalize=False).network.encoder.normalize
