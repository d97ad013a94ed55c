"""Rules of corrections for other policies: each sample is corrected once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.schema.network import RECURRENT
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import display


def vtrace_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """V-trace's caps are ordered, and no sample is corrected twice."""
    algo = config.algo
    if algo.targets != "vtrace":
        return
    if algo.c_bar > algo.rho_bar:
        yield Fault(
            f"algo.c_bar={algo.c_bar:g} exceeds algo.rho_bar={algo.rho_bar:g}; V-trace forbids it.",
            frozenset({"algo.c_bar", "algo.rho_bar"}),
        )
    if algo.rho_bar_pg is not None and algo.surrogate != "score":
        yield Fault(
            f"algo.rho_bar_pg={algo.rho_bar_pg:g} has no effect with algo.surrogate={algo.surrogate}, which "
            "brings the ratio itself; it needs algo.surrogate=score.",
            frozenset({"algo.rho_bar_pg", "algo.surrogate"}),
        )
    if algo.surrogate == "score" and algo.anchor == "update" and config.lag > 0:
        yield Fault(
            f"algo.targets=vtrace with algo.surrogate=score and lag={config.lag} corrects for the behaviour "
            "policy itself; algo.anchor=update would weigh each sample again: use algo.anchor=behaviour.",
            frozenset({"algo.targets", "algo.surrogate", "algo.anchor", "lag"}),
        )


def action_values_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A critic of action values learns by Retrace alone, and nothing else does."""
    algo, network = config.algo, config.network
    if (algo.targets == "retrace") != (network.critic == "q"):
        other = "network.critic=q" if algo.targets == "retrace" else "algo.targets=retrace"
        yield Fault(
            f"algo.targets={algo.targets} cannot be had with network.critic={network.critic}: Retrace gives "
            f"targets of action values, the others of state values; set {other}, as algo=retrace does.",
            frozenset({"algo.targets", "network.critic"}),
        )
    if network.critic != "q":
        return
    for key, value, wrong, reason in (
        (
            "network.name", network.name, network.name != "mlp",
            "only a multilayer perceptron has a head of action values; set network=mlp",
        ),
        (
            "algo.step_rule", algo.step_rule, algo.step_rule not in ("sgd", "natural"),
            "its phases distil values of states; set algo.step_rule=sgd",
        ),
        (
            "algo.surrogate", algo.surrogate, algo.surrogate == "weighted",
            "it would weigh each sample twice; use algo.surrogate=score",
        ),
        (
            "algo.anchor", algo.anchor,
            algo.surrogate == "score" and algo.anchor == "update" and config.lag > 0,
            f"algo.surrogate=score with lag={config.lag} corrects for the behaviour policy itself, and the "
            "anchor would weigh each sample again; use algo.anchor=behaviour",
        ),
        (
            "algo.rho_bar_pg", algo.rho_bar_pg, algo.rho_bar_pg is not None and algo.surrogate != "score",
            f"algo.surrogate={algo.surrogate} brings the ratio itself; it needs algo.surrogate=score",
        ),
    ):  # fmt: skip
        if wrong:
            yield Fault(
                f"network.critic=q cannot have {key}={display(value)}: {reason}.",
                frozenset({"network.critic", key}),
            )


def weights_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Importance weights are of whole rollouts, recomputed before each step, and correct only once."""
    algo = config.algo
    if algo.surrogate != "weighted":
        if config.collect.whole_episodes:
            yield Fault(
                f"collect.whole_episodes=true has no effect with algo.surrogate={algo.surrogate}; it needs "
                "algo.surrogate=weighted.",
                frozenset({"collect.whole_episodes", "algo.surrogate"}),
            )
        return
    if algo.targets == "vtrace":
        yield Fault(
            "algo.surrogate=weighted with algo.targets=vtrace would weigh each sample twice; use "
            "algo.surrogate=score.",
            frozenset({"algo.surrogate", "algo.targets"}),
        )
    if algo.anchor == "update" and config.lag > 0 and algo.weights != "none":
        yield Fault(
            f"algo.weights={algo.weights} with lag={config.lag} corrects for the behaviour policy itself; "
            "algo.anchor=update would weigh each sample again: use algo.anchor=behaviour.",
            frozenset({"algo.weights", "algo.anchor", "lag"}),
        )
    for name, needed, reason in (
        ("minibatches", 1, "its weights are of whole rollouts"),
        ("normalize_advantage", "none", "whitening would shift what is weighted"),
        ("recompute", "update", "weights are recomputed before each step, advantages once"),
    ):
        value = getattr(algo, name)
        if value != needed:
            yield Fault(
                f"algo.surrogate=weighted cannot have algo.{name}={value}: {reason}; set "
                f"algo.{name}={needed}.",
                frozenset({"algo.surrogate", f"algo.{name}"}),
            )


def reuse_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Earlier rollouts are learnt from where each sample has one weight, by the mixture of their policies."""
    algo, name = config.algo, config.network.name
    if algo.reuse == 1:
        return
    of_rows = "use clipped, as algo=ppo does, or weighted with algo.weights=per_step, as algo=reinforce can"
    for key, value, wrong, reason in (
        (
            "algo.surrogate", algo.surrogate, algo.surrogate not in ("clipped", "weighted"),
            f"samples of earlier rollouts have no weights in this objective; {of_rows}",
        ),
        (
            "algo.weights", algo.weights, algo.surrogate == "weighted" and algo.weights != "per_step",
            "each sample of earlier rollouts has one weight, of its own action; use algo.weights=per_step",
        ),
        (
            "algo.penalty", algo.penalty, algo.penalty != "none",
            "the penalty is a mean over all samples, without their weights; set algo.penalty=none",
        ),
        (
            "algo.step_rule", algo.step_rule, algo.step_rule == "natural",
            "the Fisher matrix is of the states of the current policy; set algo.step_rule=sgd",
        ),
        (
            "algo.step_rule", algo.step_rule, algo.step_rule not in ("sgd", "natural"),
            "this step rule learns from rollouts in its own way; set algo.step_rule=sgd",
        ),
        (
            "algo.targets", algo.targets, algo.targets not in ("gae", "nstep", "monte_carlo"),
            "these targets correct each sample for one behaviour policy, and its weight would correct it "
            "again; set algo.targets=gae|nstep|monte_carlo",
        ),
        (
            "lag", config.lag, config.lag > 0,
            "the weights are bounded because the policy at the start of the update is one of those that "
            "collected; set lag=0",
        ),
        (
            "network.name", name, name in RECURRENT,
            "the recurrent state of an earlier rollout is that of an earlier network; use one without memory",
        ),
        (
            "algo.minibatch_of", algo.minibatch_of, algo.minibatch_of != "samples" and name not in RECURRENT,
            "whole sequences are for networks with memory; set algo.minibatch_of=samples",
        ),
        (
            "algo.target_kl_rule", algo.target_kl_rule,
            algo.target_kl is not None and algo.target_kl_rule == "minibatch_k3",
            "its estimate needs samples of the anchor alone; set algo.target_kl_rule=epoch_exact, which is "
            "computed on the current rollout",
        ),
    ):  # fmt: skip
        if wrong:
            yield Fault(
                f"algo.reuse={algo.reuse} cannot have {key}={value}: {reason}.",
                frozenset({"algo.reuse", key}),
            )
