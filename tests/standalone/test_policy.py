"""A policy as a plain module against the network it is of: outputs, actions in bounds, masks, memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlcli
from rlcli.envs.members import Member
from rlcli.envs.spec import ActionSpec, ObservationSpec
from rlcli.export.check import TOLERANCE, compared, reference
from rlcli.export.observations import drawn
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.maths.gaussians import SquashedFamily, StateGaussianFamily
from rlcli.runs.policy import read_policy
from rlcli.runs.train import Result
from rlcli.standalone.actions import acting
from rlcli.standalone.inputs import OneHot, Whitening, inputs_of, torch_dtype
from rlcli.standalone.policy import policy_module
from tests.export.cases import CASES
from tests.runs.tiny import finished, trained

__all__ = ["finished", "trained"]

Trained = Callable[..., Result]
NONE = torch.zeros(0)


def compare(name: str, trained: Trained) -> None:
    """The module against the run's own network on 1,000 observations."""
    policy = read_policy(trained(**CASES[name], eval__episodes=0).dir)
    module = policy_module(*policy.policy, policy.spec)
    given = drawn(policy.spec.observation, module, 1_000, seed=1)
    found = {key: value.numpy() for key, value in module.act(**given.tensors).items()}
    assert set(found) == set(module.outputs)
    agreement = compared(found, reference(policy, given), policy)
    assert agreement.ties == 0
    assert max(agreement.differences.values()) <= TOLERANCE / 10


@pytest.mark.broken_by(
    "whitened observations are not clipped",
    "standalone/inputs.py",
    "* self.scale).clamp(-CLIP, CLIP)",
    "* self.scale)",
)
def test_whitening_clips() -> None:
    whitening = Whitening(torch.tensor([1.0, 2.0]).double(), torch.tensor([2.0, 100.0]).double())
    assert whitening(torch.tensor([[2.0, 1.0], [1.5, 2.01]])).tolist() == [
        [2.0, -10.0],
        [1.0, pytest.approx(1.0)],
    ]


@pytest.mark.broken_by(
    "a mask allows everything",
    "standalone/policy.py",
    "inputs[self._members] != 0",
    "inputs[self._members] >= 0",
)
def test_masks(trained: Trained) -> None:
    compare("masks of several elements", trained)


@pytest.mark.broken_by(
    "the GRU forgets the other way round",
    "standalone/networks.py",
    "* (state - value)",
    "* (value - state)",
)
def test_a_gru(trained: Trained) -> None:
    compare("masked gru", trained)


@pytest.mark.broken_by(
    "gates of the LSTM change places",
    "standalone/networks.py",
    "add, forget, value, out =",
    "forget, add, value, out =",
)
def test_an_lstm(trained: Trained) -> None:
    compare("lstm", trained)


@pytest.mark.broken_by(
    "pixels are not scaled", "standalone/networks.py", "planes.float() / WHITE", "planes.float()"
)
def test_images(trained: Trained) -> None:
    compare("images in a dict, whitened", trained)


@pytest.mark.broken_by(
    "the critic reads the actor's trunk",
    "standalone/networks.py",
    "features if self.critic is None else self.critic(encoded)",
    "features",
)
def test_two_trunks(trained: Trained) -> None:
    compare("discrete", trained)


def test_choices_start_where_the_space_does() -> None:
    action = ActionSpec("discrete", (), np.dtype(np.int64), n=3, start=5)
    found, logits = acting(action, CategoricalFamily(3), NONE)(
        torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    )
    assert found.tolist() == [6, 5]
    assert found.dtype is torch.int64
    assert logits.shape == (2, 3)


def test_levers_and_switches_keep_their_shape_and_type() -> None:
    levers = ActionSpec("multidiscrete", (2,), np.dtype(np.int32), sizes=(2, 3), start=np.array([0, 10]))
    found, _ = acting(levers, MultiCategoricalFamily((2, 3)), NONE)(torch.tensor([[0.0, 1.0, 5.0, 6.0, 7.0]]))
    assert found.tolist() == [[1, 12]]
    assert found.dtype is torch.int32
    switches = ActionSpec("multibinary", (2, 2), np.dtype(np.int8))
    found, _ = acting(switches, BernoulliFamily(4), NONE)(torch.tensor([[-1.0, 1.0, 0.0, 2.0]]))
    assert found.tolist() == [[[0, 1], [0, 1]]]
    assert found.dtype is torch.int8


@pytest.mark.broken_by(
    "actions leave their bounds", "standalone/actions.py", "torch.maximum(actions, self.low)", "actions"
)
def test_real_actions_are_clipped_or_squashed_as_the_environment_takes_them() -> None:
    bounds: dict[str, Any] = {"low": np.array([-1.0, 0.0]), "high": np.array([1.0, 4.0])}
    action = ActionSpec("box", (2,), np.dtype(np.float64), **bounds)
    given = torch.tensor([[-3.0, 1.5], [0.5, 9.0]])
    module = acting(action, GaussianFamily(2), torch.tensor([0.5, -0.5]))
    found, mean, log_std = module(given)
    assert found.tolist() == [[-1.0, 1.5], [0.5, 4.0]]
    assert found.dtype is torch.float64
    assert mean.equal(given)
    assert log_std.tolist() == [[0.5, -0.5]] * 2
    assert (found.numpy() == action.to_env(given.numpy()[None])[0]).all()
    squashed = action.squashes()
    family = SquashedFamily(StateGaussianFamily(2, -1.0), squashed.log_scale)
    found, mean, log_std = acting(squashed, family, NONE)(torch.cat([given, torch.full((2, 2), 9.0)], -1))
    assert np.abs(found.numpy() - squashed.to_env(given.numpy()[None])[0]).max() < 1e-12
    assert log_std.tolist() == [[2.0, 2.0]] * 2


def test_choices_as_one_hot_vectors() -> None:
    encoded = OneHot((2, 3), (0, -1))(torch.tensor([[1, -1], [0, 1]]))
    assert encoded.tolist() == [[0.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0]]


def test_types_that_torch_does_not_have() -> None:
    assert torch_dtype(np.uint16) is torch.int64
    assert torch_dtype(np.float64) is torch.float64
    assert torch_dtype(np.longdouble) is torch.float64
    assert torch_dtype("bool") is torch.bool


def test_inputs_are_named(trained: Trained) -> None:
    for name, wanted in (
        ("mask in info", ["observation", "action_mask"]),
        ("mask in observations", ["place", "legal"]),
        ("masked gru", ["observation", "action_mask", "state"]),
        ("tuple of choices", ["observation_0", "observation_1", "observation_2"]),
    ):
        policy = read_policy(trained(name, **CASES[name], eval__episodes=0).dir)
        width = policy.policy.model.network.memory_width
        assert [one.name for one in inputs_of(policy.spec.observation, width)] == wanted


def test_members_whose_names_are_taken_have_another() -> None:
    members = tuple(Member(key, "box", (2,)) for key in ("value", "speed", "state"))
    observation = ObservationSpec("dict", (6,), np.dtype(np.float32), members=members)
    names = [one.name for one in inputs_of(observation, 4)]
    assert names == ["observation_value", "speed", "observation_state", "state"]


def test_a_copy_is_a_function_without_gradients(finished: Path) -> None:
    module = rlcli.load(finished).module()
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not module.training
    assert module.act(observation=np.zeros((2, 4)))["action"].shape == (2,)
