"""Rules of who collects rollouts: actors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.rules.minibatches import nearest_divisors
from rlcli.config.schema.collect import CollectConfig
from rlcli.config.schema.run import RunConfig


def actors_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Each actor has an environment, and steps it on the host."""
    collect, env = config.collect, config.env
    if collect.mode == "inline":
        return
    if collect.mode == "ray":
        yield from _ray_fits(collect)
    if collect.order == "free" and config.lag != 1:
        yield Fault(
            f"collect.order=free needs lag=1, not lag={config.lag}: rollouts are of an earlier policy, "
            "and by how many updates is measured (actors/lag). Set lag=1, or collect.order=fixed, or "
            "collect.mode=inline.",
            frozenset({"collect.order", "lag"}),
        )
    if collect.order == "free" and config.collect.whole_episodes:
        yield Fault(
            "collect.order=free collects no whole episodes; set collect.whole_episodes=false.",
            frozenset({"collect.order", "collect.whole_episodes"}),
        )
    if collect.is_free and env.num_envs % collect.unrolls:
        near = " or ".join(str(value) for value in nearest_divisors(env.num_envs, collect.unrolls))
        yield Fault(
            f"collect.unrolls={collect.unrolls} does not divide env.num_envs={env.num_envs}; nearest: "
            f"{near}.",
            frozenset({"collect.unrolls", "env.num_envs"}),
        )
    algo = config.algo
    if collect.is_free and collect.unrolls > 1 and algo.anchor == "behaviour" and algo.penalty != "none":
        yield Fault(
            f"collect.unrolls={collect.unrolls} gives an update as many behaviour policies, and algo.penalty="
            f"{algo.penalty} takes one as its anchor; use algo.anchor=update, or collect.unrolls=1.",
            frozenset({"collect.unrolls", "algo.penalty", "algo.anchor"}),
        )
    if collect.is_free and collect.too_old == "wait" and collect.max_lag is None:
        yield Fault(
            "collect.too_old=wait needs a limit to wait for, such as collect.max_lag=2.",
            frozenset({"collect.too_old", "collect.max_lag"}),
        )
    if collect.order == "fixed" and collect.actors > env.num_envs:
        yield Fault(
            f"collect.actors={collect.actors} is more than env.num_envs={env.num_envs}: each actor needs an "
            f"environment; set collect.actors={env.num_envs} or less.",
            frozenset({"collect.actors", "env.num_envs"}),
        )
    if env.backend == "torch":
        yield Fault(
            f"collect.mode={collect.mode} cannot step env.backend=torch, whose environments are on the "
            "device with the network; use env.backend=array, or collect.mode=inline.",
            frozenset({"collect.mode", "env.backend"}),
        )


def _ray_fits(collect: CollectConfig) -> Iterator[Fault]:
    """Actors on a cluster do not step in lock step, and the learner is part of the cluster."""
    if collect.order == "fixed":
        yield Fault(
            "collect.mode=ray has no lock step, in which each time step would wait for the network; set "
            "collect.order=free and lag=1, as algo=impala_async does, or collect.mode=process.",
            frozenset({"collect.mode", "collect.order"}),
        )
    for name, amount in collect.resources.items():
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or amount <= 0 or name in ("CPU", "GPU", "memory"):
            yield Fault(
                f"collect.resources={{{name}:{amount}}}: give positive amounts of resources that nodes were "
                "started with by name, such as {simulator:1}; cores are collect.cpus.",
                frozenset({"collect.resources"}),
            )
    if collect.address is not None and "://" in collect.address:
        yield Fault(
            f"collect.address={collect.address}: give auto or HOST:PORT; the learner is part of the cluster.",
            frozenset({"collect.address"}),
        )
