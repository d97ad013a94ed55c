"""Whether a run repeats itself, with how its rollouts are collected taken into account."""

from __future__ import annotations

import dataclasses

from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.spec import EnvSpec


def described(config: RunConfig) -> EnvSpec:
    """The spec of a run's environment; not exact where rollouts depend on time."""
    spec = registry.describe(config.env)
    if not config.collect.is_free:
        return spec
    actors = config.collect.actors
    rollouts = actors * (config.collect.queue + 1)
    reason = (
        "with collect.order=free it depends on time which parameters a rollout is collected with; "
        f"{'the actor begins' if actors == 1 else f'the {actors} actors begin'} new episodes, and up to "
        f"{rollouts} rollouts that nobody learnt from are lost"
    )
    return dataclasses.replace(spec, exact_resume=False, inexact_reason=reason)
