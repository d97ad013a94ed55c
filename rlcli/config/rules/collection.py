"""Rules of who collects rollouts: actors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig


def actors_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Each actor has an environment, and steps it on the host."""
    collect, env = config.collect, config.env
    if collect.mode != "process":
        return
    if collect.order == "free" and config.lag != 1:
        yield Fault(
            f"collect.order=free needs lag=1, not lag={config.lag}: rollouts are of an earlier policy, "
            "and by how many updates is measured (actors/lag).",
            frozenset({"collect.order", "lag"}),
        )
    if collect.order == "free" and config.collect.whole_episodes:
        yield Fault(
            "collect.order=free collects no whole episodes; set collect.whole_episodes=false.",
            frozenset({"collect.order", "collect.whole_episodes"}),
        )
    if collect.order == "fixed" and collect.actors > env.num_envs:
        yield Fault(
            f"collect.actors={collect.actors} is more than env.num_envs={env.num_envs}: each actor needs an "
            f"environment; set collect.actors={env.num_envs} or less.",
            frozenset({"collect.actors", "env.num_envs"}),
        )
    if env.backend == "torch":
        yield Fault(
            "collect.mode=process cannot step env.backend=torch, whose environments are on the device with "
            "the network; use env.backend=array, or collect.mode=inline.",
            frozenset({"collect.mode", "env.backend"}),
        )
