"""Rules of the step of an update: what limits it, and what adapts to how far it went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import LARGEST, SMALLEST


def natural_step_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A natural step moves the policy alone, from its anchor."""
    algo = config.algo
    if algo.step_rule != "natural":
        return
    if algo.penalty != "none":
        yield Fault(
            f"algo.step_rule=natural takes no algo.penalty={algo.penalty}: algo.delta bounds its step; "
            "set algo.penalty=none.",
            frozenset({"algo.step_rule", "algo.penalty"}),
        )
    if config.network.shared:
        yield Fault(
            "algo.step_rule=natural cannot train network.shared=true: fitting the value function after the "
            "step would move the policy out of its trust region; set network.shared=false.",
            frozenset({"algo.step_rule", "network.shared"}),
        )
    if algo.anchor == "behaviour" and config.lag > 0:
        yield Fault(
            f"algo.step_rule=natural cannot use the behaviour policy as anchor with lag={config.lag}: the "
            "Fisher matrix is the KL's curvature at its minimum, and the step does not start there; use "
            "algo.anchor=update.",
            frozenset({"algo.step_rule", "algo.anchor", "lag"}),
        )


def adaptive_penalty_fits(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """A coefficient that is doubled and halved starts above 0 and stays a number between its bounds."""
    algo = config.algo
    if algo.penalty == "none" or algo.beta_schedule != "adaptive":
        return
    if algo.beta == 0 and provenance.get("algo.beta") != "the run":
        yield Fault(
            "algo.beta=0 with algo.beta_schedule=adaptive stays 0 when it is doubled; start above 0.",
            frozenset({"algo.beta", "algo.beta_schedule"}),
        )
    for name in ("beta_min", "beta_max"):
        bound = getattr(algo, name)
        if bound is not None and algo.beta and not SMALLEST <= algo.beta * bound <= LARGEST:
            yield Fault(
                f"algo.beta x algo.{name} = {algo.beta:g} x {bound:g} = {algo.beta * bound:g} is outside "
                f"the range of float32, {SMALLEST:.2g} to {LARGEST:.2g}.",
                frozenset({"algo.beta", f"algo.{name}"}),
            )


def clip_ends_fit(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """A schedule moves both ends of a clip range, or none; weights have one cap."""
    algo = config.algo
    given = [provenance.get(f"algo.{name}") == "command line" for name in ("clip", "clip_high")]
    if algo.surrogate == "cispo" and algo.clip_high is not None and all(given):
        yield Fault(
            f"algo.clip={algo.clip:g} has no effect with algo.surrogate=cispo and algo.clip_high="
            f"{algo.clip_high:g}, which caps its weights.",
            frozenset({"algo.clip", "algo.clip_high"}),
        )
    if (
        algo.clip_high is not None
        and algo.surrogate in ("clipped", "cispo")
        and algo.clip_schedule == "linear"
    ):
        yield Fault(
            f"algo.clip_schedule=linear would lower algo.clip to 0 and leave algo.clip_high="
            f"{algo.clip_high:g}; use algo.clip_schedule=constant, or algo.clip_high=null.",
            frozenset({"algo.clip_high", "algo.clip_schedule"}),
        )


def mask_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A mask by the divergence from the anchor is of steps away from it."""
    algo = config.algo
    if algo.surrogate == "dppo" and algo.step_rule == "natural":
        yield Fault(
            "algo.surrogate=dppo has no effect with algo.step_rule=natural: a natural step starts at the "
            "anchor, where no sample is masked; use algo.surrogate=ratio.",
            frozenset({"algo.surrogate", "algo.step_rule"}),
        )


def adaptive_rate_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A learning rate that adapts to the KL moves the policy, and starts within its bounds."""
    algo = config.algo
    if algo.learning_rate_schedule != "adaptive_kl":
        return
    if algo.step_rule == "natural":
        yield Fault(
            "algo.learning_rate_schedule=adaptive_kl has no meaning with algo.step_rule=natural, whose "
            "learning rate moves the value function alone; use constant or linear.",
            frozenset({"algo.learning_rate_schedule", "algo.step_rule"}),
        )
    if not algo.learning_rate_min <= algo.learning_rate <= algo.learning_rate_max:
        yield Fault(
            f"algo.learning_rate={algo.learning_rate:g} is outside algo.learning_rate_min="
            f"{algo.learning_rate_min:g} and algo.learning_rate_max={algo.learning_rate_max:g}, between "
            "which algo.learning_rate_schedule=adaptive_kl keeps it.",
            frozenset({"algo.learning_rate", "algo.learning_rate_min", "algo.learning_rate_max"}),
        )
