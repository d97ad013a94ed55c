"""One Gymnasium environment of a config, with its wrappers and preprocessing, whatever steps the run."""

from __future__ import annotations

import dataclasses

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.gymnasium import Env
from rlcli.envs.registry import unwrapped
from rlcli.envs.wrappers import make_wrapped

RENDERED = "rgb_array"
"""Render mode in which environments give pictures as arrays."""


def instance(config: EnvConfig, *, rendered: bool = False) -> Env:
    """A new environment; `rendered`: one whose `render` gives pictures.

    Raises:
        UserError: it cannot be made.
    """
    if rendered:
        config = dataclasses.replace(config, kwargs={**config.kwargs, "render_mode": RENDERED})
    return make_wrapped(config.id, unwrapped(config), config.wrappers)
