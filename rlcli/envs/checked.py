"""Checks between an environment of the user's and the wrappers of Gymnasium around it.

Gymnasium's wrappers take results apart as they are: of a step with four values, as in old versions of Gym,
its TimeLimit says 'not enough values to unpack', without the place.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from rlcli.envs.boundary import reset_parts, step_parts

Env = gymnasium.Env[Any, Any]

KNOWN = ("gymnasium.", "rlcli.")
"""Modules whose environments and wrappers give what they should, and do not check what they are given."""


class Checked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose results have the right number of parts; all else is checked by the outermost."""

    def reset(self, **given: Any) -> Any:
        """The result of the environment.

        Raises:
            InvalidResult: it is no pair with a dictionary.
        """
        return reset_parts(self.env.reset(**given))

    def step(self, action: Any) -> Any:
        """The result of the environment.

        Raises:
            InvalidResult: it has not five values.
        """
        result: Any = self.env.step(action)
        return result if type(result) is tuple and len(result) == 5 else step_parts(result)  # inline: faster


def checked_below(env: Env) -> Env:
    """The same environment; below each known wrapper what is not known is `Checked`."""
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if not isinstance(layer, Checked) and _is_known(layer) and not _is_known(layer.env):
            layer.env = Checked(layer.env)
        layer = layer.env
    return env


def beneath(env: Env) -> Env:
    """What a wrapper is around, without the check between them; of no wrapper the environment itself."""
    inner: Env = getattr(env, "env", env)
    return inner.env if isinstance(inner, Checked) else inner


def _is_known(env: Any) -> bool:
    return type(env).__module__.startswith(KNOWN)
