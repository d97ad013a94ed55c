"""Rules between keys, on a composed configuration. Pure: nothing of the machine is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config import names
from rlcli.config.extensions import ADDITIONS, CHOSEN_BY, is_chosen, owner
from rlcli.config.faults import Check, Fault
from rlcli.config.schema import KEYS, RECURRENT, CollectConfig, RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.values import LARGEST, SMALLEST, display

HIGHEST_LOG_STD = 2.0
"""Of network.log_std=state; `maths/gaussians.py` clips there."""


def minibatches_divide(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Each minibatch has the same number of samples."""
    batch, count = config.learnt_size, config.algo.minibatches
    factors = {"algo.rollout_steps": config.algo.rollout_steps, "env.num_envs": config.env.num_envs}
    if config.algo.reuse > 1:
        factors = {"algo.reuse": config.algo.reuse} | factors
    keys = frozenset({"algo.minibatches", *factors})
    shape = f"{' x '.join(factors)} = {' x '.join(map(str, factors.values()))} = {batch}"
    if batch % count != 0 and config.algo.minibatch_of == "sequences":
        return  # sequences_divide tells the numbers that fit
    if batch % count != 0:
        near = " or ".join(str(value) for value in nearest_divisors(batch, count))
        yield Fault(f"algo.minibatches={count} does not divide {shape}; nearest: {near}.", keys)
    elif batch == count and config.algo.normalize_advantage == "minibatch":
        yield Fault(
            f"algo.minibatches={count} makes minibatches of one sample ({shape}), which "
            "algo.normalize_advantage=minibatch cannot whiten; use fewer, or normalize_advantage=batch|none.",
            keys | {"algo.normalize_advantage"},
        )


def sequences_divide(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Minibatches of whole sequences hold whole environments."""
    algo, envs = config.algo, config.env.num_envs
    if algo.minibatch_of != "sequences" or envs % algo.minibatches == 0:
        return
    near = " or ".join(str(value) for value in nearest_divisors(envs, algo.minibatches))
    yield Fault(
        f"algo.minibatches={algo.minibatches} does not divide env.num_envs={envs}, as "
        f"algo.minibatch_of=sequences needs; nearest: {near}.",
        frozenset({"algo.minibatches", "env.num_envs", "algo.minibatch_of"}),
    )


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


def auxiliary_minibatches_divide(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """As `minibatches_divide`, of the rollouts an auxiliary phase learns from."""
    algo = config.algo
    samples = algo.auxiliary_every * config.batch_size
    if algo.step_rule != "phasic" or samples % algo.auxiliary_minibatches == 0:
        return
    near = " or ".join(str(value) for value in nearest_divisors(samples, algo.auxiliary_minibatches))
    yield Fault(
        f"algo.auxiliary_minibatches={algo.auxiliary_minibatches} does not divide algo.auxiliary_every x "
        f"algo.rollout_steps x env.num_envs = {algo.auxiliary_every} x {algo.rollout_steps} x "
        f"{config.env.num_envs} = {samples}; nearest: {near}.",
        frozenset(
            {"algo.auxiliary_minibatches", "algo.auxiliary_every", "algo.rollout_steps", "env.num_envs"}
        ),
    )


def nearest_divisors(number: int, wanted: int) -> list[int]:
    """The divisors of `number` just below and just above `wanted`, in that order."""
    small = [value for value in range(1, int(number**0.5) + 1) if number % value == 0]
    divisors = sorted({*small, *(number // value for value in small)})
    below = [value for value in divisors if value < wanted][-1:]
    above = [value for value in divisors if value > wanted][:1]
    return below + above


OF_ANY_NETWORK = ("network.name", "network.log_std", "network.log_std_init", "network.squash")
"""Keys that networks of the user's own have too."""


def keys_have_effect(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """A key set on purpose must be used by the row it is set for."""
    flat = flatten(config)
    for name, key in KEYS.items():
        if not set_on_purpose(provenance, name):
            continue
        own = owner(name)
        of_network = name.startswith("network.") and own is None and name not in OF_ANY_NETWORK
        if of_network and ("network", flat["network.name"]) in ADDITIONS:
            yield Fault(
                f"{name} has no effect with network.name={flat['network.name']}, which has keys of its own.",
                frozenset({name, "network.name"}),
            )
            continue
        if own is not None and not is_chosen(name, flat):
            choices = " or ".join(f"{field}={own[1]}" for field in CHOSEN_BY[own[0]][:2])
            yield Fault(f"{name} has no effect here; it needs {choices}.", frozenset({name}))
            continue
        # What a key needs may itself need something: kl_target adaptive coefficients, and those a penalty.
        asked = key
        while asked.declaration.used_by is not None:
            field, needed = asked.declaration.used_by
            other = f"{name.rpartition('.')[0]}.{field}"
            if display(flat[other]) not in needed:
                yield Fault(
                    f"{name} has no effect with {other}={display(flat[other])}; "
                    f"it needs {other}={'|'.join(needed)}.",
                    frozenset({name, other}),
                )
                break
            asked = KEYS[other]


def activation_has_effect(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """Convolutional networks have one activation, before a recurrent cell too."""
    network = config.network
    convolves = network.name in RECURRENT and network.before != "mlp"
    if convolves and set_on_purpose(provenance, "network.activation"):
        yield Fault(
            f"network.activation has no effect with network.before={network.before}, whose layers are ReLU; "
            "it needs network.before=mlp.",
            frozenset({"network.activation", "network.before"}),
        )


def set_on_purpose(provenance: Mapping[str, str], name: str) -> bool:
    """Whether a key has its value from the command line or an experiment."""
    source = provenance.get(name, "default")
    return source == "command line" or source.startswith("experiment/")


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


def log_std_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Deviations of the state begin within their range."""
    if config.network.log_std == "state" and config.network.log_std_init > HIGHEST_LOG_STD:
        yield Fault(
            f"network.log_std_init={config.network.log_std_init:g} is above {HIGHEST_LOG_STD:g}, the largest "
            "log deviation with network.log_std=state: no gradient would reach it.",
            frozenset({"network.log_std_init", "network.log_std"}),
        )


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
            "and by how many updates is measured (actors/lag).",
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


def name_is_a_folder(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """`name` becomes a folder."""
    wrong = None if config.name is None else names.fault(config.name)
    if wrong is not None:
        yield Fault(wrong, frozenset({"name"}))


def schedules_follow_each_other(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """What schedules ran over before is given in pairs, in the order of updates."""
    past = config.schedule_past
    if len(past) % 2 or list(past[::2]) != sorted(set(past[::2])):
        yield Fault(
            f"schedule_past={display(past)}: give pairs of an update and env steps, later updates later, "
            "such as [4,4096].",
            frozenset({"schedule_past"}),
        )


RULES: tuple[Check, ...] = (
    minibatches_divide,
    sequences_divide,
    memory_fits,
    auxiliary_minibatches_divide,
    keys_have_effect,
    activation_has_effect,
    natural_step_fits,
    adaptive_penalty_fits,
    clip_ends_fit,
    mask_fits,
    adaptive_rate_fits,
    vtrace_fits,
    action_values_fit,
    weights_fit,
    reuse_fits,
    log_std_fits,
    actors_fit,
    name_is_a_folder,
    schedules_follow_each_other,
)
