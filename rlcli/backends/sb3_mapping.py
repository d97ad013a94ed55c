"""Mapping of a config to Stable-Baselines3: each key becomes an argument, or is refused with its name.

Loads neither SB3 nor torch, so that a command is refused before anything starts.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlcli.config.faults import Fault
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.values import display
from rlcli.envs.spec import ActionSpec, EnvSpec

MAPPED: Mapping[str, str] = {
    "seed": "seeds the global generators before every rollout and every update, and the episodes",
    "total_steps": "as with native",
    "schedule_steps": "progress_remaining, from updates done as with native",
    "schedule_past": "as with native",
    "lag": "only 0",
    "device": "only cpu",
    "backend": "sb3",
    "algo.targets": "gae; monte_carlo, nstep over the whole rollout or one step: gae_lambda 1, 1 or 0",
    "algo.surrogate": "clipped: PPO, score: A2C, ratio (natural steps): TRPO",
    "algo.penalty": "only none",
    "algo.step_rule": "sgd: PPO and A2C, natural: TRPO",
    "algo.anchor": "either: without lag they are one policy",
    "algo.weight_bar": "without lag it has no effect",
    "algo.reuse": "only 1",
    "algo.rollout_steps": "n_steps",
    "algo.epochs": "PPO n_epochs, TRPO n_critic_updates, A2C only 1",
    "algo.minibatches": "batch_size, A2C only 1",
    "algo.optimiser": "optimizer_class: Adam, SB3's RMSpropTFLike, SGD",
    "algo.learning_rate": "learning_rate",
    "algo.learning_rate_schedule": "learning_rate as a function of progress_remaining",
    "algo.adam_eps": "optimizer_kwargs eps (TRPO: eps / value_coef)",
    "algo.adam_beta1": "optimizer_kwargs betas",
    "algo.adam_beta2": "optimizer_kwargs betas",
    "algo.rmsprop_decay": "optimizer_kwargs alpha",
    "algo.rmsprop_eps": "optimizer_kwargs eps",
    "algo.clip": "PPO clip_range",
    "algo.clip_schedule": "PPO clip_range as a function of progress_remaining",
    "algo.gamma": "gamma",
    "algo.gae_lambda": "gae_lambda",
    "algo.n_step": "at least rollout_steps, or 1",
    "algo.delta": "TRPO target_kl, over the number of KLs of a state that SB3 takes the mean of",
    "algo.cg_iterations": "TRPO cg_max_steps",
    "algo.cg_tolerance": "only its default: SB3 stops at a squared residual of 1e-10, not relative",
    "algo.cg_damping": "TRPO cg_damping, as algo.delta",
    "algo.line_search": "only true",
    "algo.line_search_steps": "TRPO line_search_max_iter",
    "algo.line_search_shrink": "TRPO line_search_shrinking_factor",
    "algo.metric": "only fisher",
    "algo.entropy_coef": "ent_coef, TRPO only 0",
    "algo.value_coef": "vf_coef; TRPO: through Adam's eps, which comes to the same",
    "algo.value_clip": "only null",
    "algo.max_grad_norm": "max_grad_norm, null as infinity, TRPO only null",
    "algo.normalize_advantage": "normalize_advantage over what SB3 normalises over; it divides by ddof=1",
    "algo.target_kl": "PPO target_kl, else only null",
    "algo.target_kl_rule": "only minibatch_k3",
    "env.id": "as with native",
    "env.num_envs": "n_envs",
    "env.kwargs": "as with native",
    "env.wrappers": "as with native",
    "imports": "as with native",
    "env.backend": "as with native",
    "env.normalize_observation": "by our statistics, as with native",
    "env.normalize_reward": "by our statistics, as with native",
    "env.action_mask": "only none",
    "env.replay_limit": "as with native",
    "network.name": "MlpPolicy",
    "network.hidden": "net_arch",
    "network.activation": "activation_fn",
    "network.shared": "only false",
    "network.initialisation": "native's initial parameters are loaded",
    "network.hidden_gain": "as initialisation",
    "network.policy_gain": "as initialisation",
    "network.value_gain": "as initialisation",
    "network.log_std": "only free",
    "network.log_std_init": "as initialisation",
    "network.squash": "only none",
    "eval.every": "as with native",
    "eval.episodes": "as with native",
    "compute.threads": "as with native",
    "compute.kernel": "auto is torch; c is refused",
    **{name: "as with native; no action reduce_lr" for name in KEYS if name.startswith("alerts.")},
}
"""Each key that influences results and what becomes of it; any other may only keep its default."""

ALGORITHMS = {("clipped", "sgd"): "PPO", ("score", "sgd"): "A2C", ("ratio", "natural"): "TRPO"}
"""(surrogate, step rule) -> class."""


@dataclass(frozen=True)
class Refusal:
    """A value that SB3 cannot honour."""

    key: str
    when: Callable[[RunConfig], bool]
    reason: str


ALWAYS = (
    Refusal("lag", lambda c: c.lag > 0, "SB3 learns from what its current policy has just done"),
    Refusal("algo.reuse", lambda c: c.algo.reuse > 1, "SB3 learns from a rollout in one update alone"),
    Refusal("device", lambda c: c.device != "cpu", "SB3's networks of this size are meant for the CPU"),
    Refusal("algo.penalty", lambda c: c.algo.penalty != "none", "SB3 has no algorithm with a KL penalty"),
    Refusal(
        "algo.targets",
        lambda c: trace_decay(c) is None,
        "SB3 has GAE, of which only n_step=1 and n_step >= rollout_steps are cases",
    ),
    Refusal(
        "algo.value_clip",
        lambda c: c.algo.value_clip is not None,
        "SB3 clips the prediction alone, without taking the larger of both losses",
    ),
    Refusal(
        "algo.learning_rate_schedule",
        lambda c: c.algo.learning_rate_schedule == "adaptive_kl",
        "SB3's rates depend on progress alone",
    ),
    Refusal("network.name", lambda c: c.network.name != "mlp", "SB3's networks here are perceptrons"),
    Refusal("env.action_mask", lambda c: c.env.action_mask != "none", "SB3's policies take no masks"),
    Refusal(
        "network.log_std", lambda c: c.network.log_std != "free", "SB3's log deviations are free parameters"
    ),
    Refusal("network.squash", lambda c: c.network.squash != "none", "SB3 clips actions of these policies"),
    Refusal("network.shared", lambda c: c.network.shared, "SB3 has two trunks"),
    Refusal("compute.kernel", lambda c: c.compute.kernel == "c", "SB3 computes with torch"),
)

BY_ALGORITHM = {
    "PPO": (
        Refusal(
            "algo.target_kl_rule",
            lambda c: c.algo.target_kl is not None and c.algo.target_kl_rule != "minibatch_k3",
            "SB3 stops by the k3 estimate on a minibatch",
        ),
        Refusal(
            "algo.normalize_advantage",
            lambda c: c.algo.normalize_advantage == "batch" and c.algo.minibatches > 1,
            "SB3's PPO normalises over each minibatch",
        ),
    ),
    "A2C": (
        Refusal("algo.epochs", lambda c: c.algo.epochs > 1, "SB3's A2C takes one gradient step"),
        Refusal("algo.minibatches", lambda c: c.algo.minibatches > 1, "SB3's A2C takes one gradient step"),
        Refusal(
            "algo.target_kl", lambda c: c.algo.target_kl is not None, "SB3's A2C takes one gradient step"
        ),
    ),
    "TRPO": (
        Refusal(
            "algo.normalize_advantage",
            lambda c: c.algo.normalize_advantage == "minibatch" and c.algo.minibatches > 1,
            "SB3's TRPO normalises over the whole rollout",
        ),
        Refusal("algo.entropy_coef", lambda c: c.algo.entropy_coef != 0.0, "SB3's TRPO has no entropy bonus"),
        Refusal(
            "algo.max_grad_norm",
            lambda c: c.algo.max_grad_norm is not None,
            "SB3's TRPO clips no gradient; use null",
        ),
        Refusal(
            "algo.optimiser",
            lambda c: c.algo.optimiser != "adam",
            "the value loss of SB3's TRPO has no coefficient, which only Adam makes up for",
        ),
        Refusal(
            "algo.value_coef", lambda c: c.algo.value_coef == 0.0, "SB3's TRPO always learns values"
        ),
        Refusal(
            "algo.cg_tolerance",
            lambda c: c.algo.cg_tolerance != KEYS["algo.cg_tolerance"].default,
            "SB3's is fixed at a squared residual of 1e-10",
        ),
        Refusal("algo.line_search", lambda c: not c.algo.line_search, "SB3's TRPO always searches"),
        Refusal("algo.metric", lambda c: c.algo.metric != "fisher", "SB3's TRPO has the Fisher matrix"),
        Refusal(
            "algo.target_kl", lambda c: c.algo.target_kl is not None, "SB3's TRPO has no early stop"
        ),
    ),
}  # fmt: skip


def refusals(config: RunConfig) -> Iterator[Fault]:
    """Everything in a config that SB3 cannot do as it is meant, key by key."""
    flat = flatten(config)

    def refused(name: str, reason: str) -> Fault:
        text = f"{name}={display(flat[name])} is not possible with backend=sb3: {reason}."
        return Fault(text, frozenset({name, "backend"}))

    name = algorithm(config)
    if name is None:
        yield Fault(
            f"algo.surrogate={config.algo.surrogate} with algo.step_rule={config.algo.step_rule} cannot be "
            "had with backend=sb3, which has PPO (clipped, sgd), A2C (score, sgd) and TRPO (ratio, natural).",
            frozenset({"algo.surrogate", "algo.step_rule", "backend"}),
        )
    for rule in ALWAYS + BY_ALGORITHM.get(name or "", ()):
        if rule.when(config):
            yield refused(rule.key, rule.reason)
    for key in KEYS.values():
        unmapped = key.name not in MAPPED and key.declaration.effect != "nothing"
        if unmapped and flat.get(key.name, key.default) != key.default and _in_use(key.name, flat):
            yield refused(key.name, f"SB3 has nothing like it; leave it at {display(key.default)}")


def unobserved(spec: EnvSpec) -> Fault | None:
    """The refusal of an environment without observations, of which SB3 makes no policy."""
    if spec.observation.width:
        return None
    text = (
        f"{spec.id} gives observations of size 0, which is not possible with backend=sb3; native takes them."
    )
    return Fault(text, frozenset({"env.id", "backend"}))


def _in_use(name: str, flat: Mapping[str, Any]) -> bool:
    used_by = KEYS[name].declaration.used_by
    if used_by is None:
        return True
    field, values = used_by
    return flat[f"{name.rpartition('.')[0]}.{field}"] in values


def missing(config: RunConfig) -> Fault | None:
    """The package the run would need and that is not installed."""
    package = "sb3_contrib" if algorithm(config) == "TRPO" else "stable_baselines3"
    if importlib.util.find_spec(package) is not None:
        return None
    name = package.replace("_", "-") if package == "sb3_contrib" else "stable-baselines3"
    text = f"backend=sb3 needs a package that is not installed for this algorithm: pip install {name}"
    return Fault(text, frozenset({"backend"}))


def algorithm(config: RunConfig) -> str | None:
    """PPO, A2C or TRPO; None where the row is none of them."""
    return ALGORITHMS.get((config.algo.surrogate, config.algo.step_rule))


def trace_decay(config: RunConfig) -> float | None:
    """The lambda for which GAE is the configured estimator; None when there is none."""
    algo = config.algo
    if algo.targets == "gae":
        return algo.gae_lambda
    if algo.targets == "monte_carlo" or (algo.targets == "nstep" and algo.n_step >= algo.rollout_steps):
        return 1.0
    return 0.0 if algo.targets == "nstep" and algo.n_step == 1 else None


def arguments(config: RunConfig, action: ActionSpec) -> dict[str, Any]:
    """Arguments of the algorithm's class, beside policy, environment and `policy_kwargs`.

    The KL of SB3's TRPO is a mean over the components of an action, too, where torch has a KL for each: a
    radius and a damping divided by their number give the same step.
    """
    algo = config.algo
    components = action.width if action.kind in ("box", "multibinary") else 1
    shared = {
        "learning_rate": schedule(algo.learning_rate, algo.learning_rate_schedule),
        "n_steps": algo.rollout_steps,
        "gamma": algo.gamma,
        "gae_lambda": trace_decay(config),
        "normalize_advantage": algo.normalize_advantage != "none",
        "use_sde": False,
        "device": "cpu",
        "verbose": 0,
    }
    loss = {
        "ent_coef": algo.entropy_coef,
        "vf_coef": algo.value_coef,
        "max_grad_norm": math.inf if algo.max_grad_norm is None else algo.max_grad_norm,
    }
    size = config.batch_size // algo.minibatches
    if algorithm(config) == "PPO":
        clip = schedule(algo.clip, algo.clip_schedule)
        of_ppo = {
            "batch_size": size,
            "n_epochs": algo.epochs,
            "clip_range": clip,
            "target_kl": algo.target_kl,
        }
        return shared | loss | of_ppo
    if algorithm(config) == "A2C":
        return shared | loss | {"use_rms_prop": False}
    return shared | {
        "batch_size": size,
        "n_critic_updates": algo.epochs,
        "target_kl": algo.delta / components,
        "cg_max_steps": algo.cg_iterations,
        "cg_damping": algo.cg_damping / components,
        "line_search_max_iter": algo.line_search_steps,
        "line_search_shrinking_factor": algo.line_search_shrink,
    }


def loss_scale(config: RunConfig) -> float:
    """Our loss over SB3's: the value loss of SB3's TRPO, which is all it has, has no coefficient."""
    return config.algo.value_coef if algorithm(config) == "TRPO" else 1.0


def optimiser_arguments(config: RunConfig) -> dict[str, Any]:
    """`optimizer_kwargs`; Adam's step on a loss c L with eps is its step on L with eps / c."""
    algo = config.algo
    if algo.optimiser == "adam":
        return {"eps": algo.adam_eps / loss_scale(config), "betas": (algo.adam_beta1, algo.adam_beta2)}
    if algo.optimiser == "rmsprop":
        return {"eps": algo.rmsprop_eps, "alpha": algo.rmsprop_decay}
    return {}


def schedule(start: float, kind: str) -> Callable[[float], float]:
    """A number as a function of SB3's progress_remaining, which is the share of schedule_steps ahead."""
    return lambda remaining: start * remaining if kind == "linear" else start
