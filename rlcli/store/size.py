"""How large a checkpoint of a run can be, from its config and its environment."""

from __future__ import annotations

from itertools import pairwise

from rlcli.config.schema import RunConfig
from rlcli.envs import registry

COPIES = 8
"""Arrays as long as the parameters: the parameters, two moments of each of three optimisers, and to spare."""
SPARE = 2**26
"""Bytes for everything small."""


def largest_checkpoint(config: RunConfig) -> int:
    """Bytes that no checkpoint of this run exceeds: eight for each number it may hold, twice over."""
    spec = registry.describe(config.env)
    seen, outputs = spec.observation.width, 2 * (spec.action.width + sum(spec.action.sizes)) + 1
    widths = (seen, *config.network.hidden)
    trunk = sum((one + 1) * other for one, other in pairwise(widths))
    parameters = 2 * trunk + 2 * (widths[-1] + 1) * (outputs + 1)
    history = config.env.num_envs * (2 * seen + config.env.replay_limit * spec.action.width + 100)
    phases = config.algo.auxiliary_every * config.batch_size * (seen + outputs)
    return SPARE + 16 * (parameters * (COPIES + config.lag) + history + phases)
