"""Rules between a network and what trains it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.schema.network import RECURRENT
from rlcli.config.schema.run import RunConfig

HIGHEST_LOG_STD = 2.0
"""Of network.log_std=state; `maths/gaussians.py` clips there."""


def memory_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A network with memory learns from sequences as they were collected, and from no earlier ones."""
    algo, name = config.algo, config.network.name
    if name not in RECURRENT:
        return
    if algo.minibatch_of != "sequences" and algo.minibatches > 1:
        yield Fault(
            f"network.name={name} has memory: its minibatches are whole sequences; set "
            f"algo.minibatch_of=sequences, as network={name} does.",
            frozenset({"network.name", "algo.minibatch_of"}),
        )
    if algo.step_rule == "phasic":
        yield Fault(
            f"algo.step_rule=phasic cannot train network.name={name}: its auxiliary phase learns from "
            "observations of earlier rollouts, whose recurrent state is not kept; choose another algo.",
            frozenset({"network.name", "algo.step_rule"}),
        )


def log_std_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Deviations of the state begin within their range."""
    if config.network.log_std == "state" and config.network.log_std_init > HIGHEST_LOG_STD:
        yield Fault(
            f"network.log_std_init={config.network.log_std_init:g} is above {HIGHEST_LOG_STD:g}, the largest "
            "log deviation with network.log_std=state: no gradient would reach it.",
            frozenset({"network.log_std_init", "network.log_std"}),
        )
