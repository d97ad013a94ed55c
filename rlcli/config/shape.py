"""What runs must have in common to train together."""

from __future__ import annotations

from typing import Any

from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten


def shape(config: RunConfig) -> dict[str, Any]:
    """The keys that set a shape or a cadence, with their values: no cohort keys, none without effect."""
    return {
        name: value
        for name, value in flatten(config).items()
        if (declared := KEYS[name].declaration) and not declared.cohort and declared.effect != "nothing"
    }
