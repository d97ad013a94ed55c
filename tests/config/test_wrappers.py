"""`env.wrappers` as it is typed, and as config.yaml has it."""

from __future__ import annotations

from typing import Any

import pytest

from rlcli.config.compose import compose
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import UserError


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hide_velocities", ("hide_velocities",)),
        ("[]", ()),
        ("[hide_velocities, mine:Wrap]", ("hide_velocities", "mine:Wrap")),
        ("[{TimeLimit: {max_episode_steps: 200}}]", ({"TimeLimit": {"max_episode_steps": 200}},)),
        (r"[{mine\:Wrap: {x: 0.5, to: 'a:b'}}]", ({"mine:Wrap": {"x": 0.5, "to": "a:b"}},)),
        ("[{TimeAwareObservation: null}, {ClipAction: {}}]", ("TimeAwareObservation", "ClipAction")),
        ("{TimeLimit: {max_episode_steps: 200}}", ({"TimeLimit": {"max_episode_steps": 200}},)),
    ],
)
def test_what_is_typed_is_read_back(typed: str, meant: tuple[Any, ...]) -> None:
    composed = compose([f"env.wrappers={typed}"])
    assert composed.config.env.wrappers == meant
    assert from_yaml(to_yaml(composed.config)) == composed.config


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("[3]", "each is a name, or one name with its arguments"),
        ("[{a: {x: 1}, b: {y: 2}}]", "each is a name, or one name with its arguments"),
        ("[{TimeLimit: 200}]", r"the arguments of TimeLimit have names: {TimeLimit: {argument: 200}}"),
        ("TimeLimit(max_episode_steps=2)", r"Write 'env.wrappers=\[{TimeLimit: {max_episode_steps: 2}}\]'"),
        ("[{mine:Wrap: {x: 1}}]", r"Write 'env.wrappers=\[{mine\\:Wrap: {x: 1}}\]'"),
    ],
)
def test_what_cannot_be_meant_says_what_to_write(typed: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose([f"env.wrappers={typed}"])
