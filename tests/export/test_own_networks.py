"""Exports of networks of the user's own: traced, compared, refused where tracing takes another for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli, rlcli
from tests.extend.conftest import NETWORK, Write, forget, write

__all__ = ["forget", "rlcli", "write"]

WORDS = ("total_steps=64", "algo.rollout_steps=8", "algo.minibatches=2", "env.num_envs=2", "eval.episodes=1",
         "logger=jsonl", "name=one")  # fmt: skip
BRANCHING = """
import rlcli
import torch
from torch import nn


class Branching(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.actor, self.critic = nn.Linear(inputs, outputs), nn.Linear(inputs, 1)

    def forward(self, observations):
        sign = -1.0 if len(observations) > 500 else 1.0
        return sign * self.actor(observations), self.critic(observations).squeeze(-1)


def branching(observation_space, action_space, outputs):
    return Branching(observation_space.shape[0], outputs)


rlcli.register_network("branching", branching, "Of another sign for many rows.")
"""
PIXELS = """
import rlcli
import torch
from torch import nn
from rlcli import take_apart


class Seeing(nn.Module):
    def __init__(self, space, outputs):
        super().__init__()
        self.space = space
        self.conv = nn.Conv2d(1, 2, 5, stride=5)
        width = 98 + (1 if hasattr(space, "spaces") else 0)
        self.out, self.critic = nn.Linear(width, outputs), nn.Linear(width, 1)

    def forward(self, observations):
        image, *numbers = take_apart(observations, self.space)
        seen = self.conv(image.permute(0, 3, 1, 2).float() / 255).flatten(1)
        rows = torch.cat([seen, *numbers], -1)
        return self.out(rows), self.critic(rows).squeeze(-1)


def seeing(observation_space, action_space, outputs):
    return Seeing(observation_space, outputs)


rlcli.register_network("seeing", seeing, "One convolution.")
"""
BRIGHTER = "env=tests.envs.probes:ProbeBrighter-v0"


@pytest.mark.parametrize("form", ["torch", "onnx", "safetensors"])
def test_a_network_of_ones_own_is_exported(form: str, rlcli: Rlcli, write: Write) -> None:
    pytest.importorskip("onnxruntime")
    write(NETWORK, load=False)
    ended = rlcli("train", "--import", "mine", "network=two", *WORDS)
    assert ended.code == 0, ended.err
    ended = rlcli("export", "runs/one", "--format", form)
    assert ended.code == 0, ended.err
    assert "On 1,000 observations" in ended.out


def test_sb3_has_no_network_of_ones_own(rlcli: Rlcli, write: Write) -> None:
    write(NETWORK, load=False)
    assert rlcli("train", "--import", "mine", "network=two", *WORDS).code == 0
    ended = rlcli("export", "runs/one", "--format", "sb3")
    assert ended.code == 2
    assert "SB3 has no network like network=two" in ended.err
    assert "Formats that can: torch, onnx, safetensors." in ended.err


def test_one_that_branches_is_refused(rlcli: Rlcli, write: Write) -> None:
    write(BRANCHING, load=False)
    ended = rlcli("train", "--import", "mine", "network=branching", *WORDS)
    assert ended.code == 0, ended.err
    ended = rlcli("export", "runs/one")
    assert ended.code == 2
    assert "--format torch cannot express this policy of CartPole-v1: once exported, " in ended.err
    assert not Path("runs/one/exports").exists()


def test_one_over_images(rlcli: Rlcli, write: Write) -> None:
    write(PIXELS, load=False)
    ended = rlcli("train", "--import", "mine", "network=seeing", BRIGHTER, *WORDS)
    assert ended.code == 0, ended.err
    for form in ("torch", "onnx"):
        ended = rlcli("export", "runs/one", "--format", form, "--import", "mine")
        assert ended.code == 0, ended.err


def test_numbers_beside_images(rlcli: Rlcli, write: Write) -> None:
    write(PIXELS, load=False)
    ended = rlcli(
        "train", "--import", "mine", "network=seeing", BRIGHTER, "env.kwargs={layout: dict}", *WORDS
    )
    assert ended.code == 0, ended.err
    for form in ("torch", "onnx"):
        ended = rlcli("export", "runs/one", "--format", form)
        assert ended.code == 0, ended.err


def test_a_number_of_rows_that_is_kept_is_told(rlcli: Rlcli, write: Write) -> None:
    by_len = "self.actor(observations.view(len(observations), 4))"
    write(NETWORK.replace("self.actor(observations)", by_len), load=False)
    ended = rlcli("train", "--import", "mine", "network=two", *WORDS)
    assert ended.code == 0, ended.err
    ended = rlcli("export", "runs/one")
    assert ended.code == 2
    assert "cannot be traced: RuntimeError: shape '[2, 4]' is invalid for input of size 4." in ended.err
    assert not Path("runs/one/exports").exists()
