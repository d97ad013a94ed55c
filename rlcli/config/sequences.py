"""Minibatches of presets where minibatches are whole sequences, as networks with memory need."""

from __future__ import annotations

from typing import Any

from rlcli.config.rules.effect import set_on_purpose

COUNT, ENVS = "algo.minibatches", "env.num_envs"


def fit_minibatches(flat: dict[str, Any], provenance: dict[str, str]) -> None:
    """Lowers a preset's number of minibatches to the largest that divides `env.num_envs`, and notes why.

    Presets of algorithms count minibatches of samples; network=lstm trains on whole sequences, one for each
    environment. A number that was given on purpose stays, and a rule refuses it where it does not fit.
    """
    count, envs = flat[COUNT], flat[ENVS]
    if flat["algo.minibatch_of"] != "sequences" or set_on_purpose(provenance, COUNT) or envs % count == 0:
        return
    flat[COUNT] = next(fewer for fewer in range(min(count, envs), 0, -1) if envs % fewer == 0)
    provenance[COUNT] = f"{provenance[COUNT]}: {count}, lowered to divide {ENVS}={envs}"
