"""Configuration schema: type, default, range and meaning of every key.

Validation, `rlcli explain`, shell completion, the provenance comments of `--cfg job` and the grouping of
runs into cohorts read these declarations; no other place defines a key.

`cohort=True` marks a hyperparameter that may differ between runs trained together (it becomes a tensor
`[R]`); every other key sets a shape or a schedule of events and must be equal within a cohort, unless its
`effect` is "nothing" (names, notes, logging).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlcli.config.alerts import AlertsConfig
from rlcli.config.declaration import Declaration, key

VERSION = 1
"""Version of the schema. A config.yaml may lack keys that were added after it was written: such a key's
default, or its `absent`, is what runs did before the key existed. A key renamed or removed raises this."""


@dataclass(frozen=True)
class AlgoConfig:
    """Algorithm: objective, targets, step rule, optimiser; flat, so that any parts may be combined."""

    name: str = key("ppo", "Name of the algorithm, a file in conf/algo.", effect="nothing")
    targets: str = key(
        "gae",
        "Estimator of advantages and value targets: generalised advantage estimation, n-step returns, Monte "
        "Carlo returns to the end of the episode or rollout, V-trace, which corrects for an older behaviour "
        "policy, or Retrace, which does so for a critic of action values (network.critic=q).",
        choices=("gae", "nstep", "monte_carlo", "vtrace", "retrace"),
    )
    surrogate: str = key(
        "clipped",
        "Objective that the policy maximises: the ratio pi/anchor times the advantage, clipped or not, less "
        "a quadratic penalty on the ratio (spo), or without the gradient of samples whose state's divergence "
        "from the anchor exceeds a threshold (dppo); or the score function log pi times the advantage, "
        "plain, times the clipped ratio (cispo), or importance-weighted.",
        choices=("clipped", "ratio", "score", "weighted", "spo", "dppo", "cispo"),
    )
    weights: str = key(
        "none",
        "Importance weights of surrogate=weighted, products of pi/mu recomputed before each gradient step: "
        "over a whole segment, up to each reward, up to each step, of the step alone, or none. A segment "
        "is the part of one episode that is in one rollout.",
        choices=("trajectory", "per_decision", "prefix", "per_step", "none"),
        used_by=("surrogate", ("weighted",)),
    )
    weight_cap: float | str | None = key(
        None,
        "Maximum importance weight; sqrt_n: the square root of the number of segments, or of steps for "
        "weights per step; null: unlimited.",
        gt=0,
        words=("sqrt_n",),
        cohort=True,
        used_by=("weights", ("trajectory", "per_decision", "prefix", "per_step")),
    )
    self_normalise: bool = key(
        False,
        "Divide importance weights by their mean over the rollout's segments or steps: biased, with lower "
        "variance.",
        used_by=("weights", ("trajectory", "per_decision", "prefix", "per_step")),
    )
    baseline: str = key(
        "value",
        "Baseline that surrogate=weighted subtracts from returns: the value function before the update, or "
        "none.",
        choices=("value", "none"),
        used_by=("surrogate", ("weighted",)),
    )
    discount_states: bool = key(
        False,
        "Weight each step by gamma^t too, as in the exact gradient of the discounted return; "
        "weights=trajectory always does.",
        used_by=("weights", ("per_decision", "prefix", "per_step", "none")),
    )
    penalty: str = key(
        "none",
        "Divergence subtracted from the objective, times beta: the exact KL(anchor||pi), or KL(pi||anchor).",
        choices=("none", "kl_anchor_pi", "kl_pi_anchor"),
    )
    step_rule: str = key(
        "sgd",
        "Optimisation of an update: epochs of gradient steps; one natural-gradient step within a KL trust "
        "region, with gradient epochs for the value function alone; or phasic: epochs for the policy, then "
        "for the value function, and every auxiliary_every updates an auxiliary phase that trains the "
        "policy's network to predict values, with a KL penalty on changes of the policy. With "
        "network.shared=true only that phase passes the gradient of values into the trunk.",
        choices=("sgd", "natural", "phasic"),
    )
    anchor: str = key(
        "update",
        "Reference policy of ratios, clip, penalty and trust region: the policy at the start of the update, "
        "or the behaviour policy that acted. They differ only when lag > 0.",
        choices=("update", "behaviour"),
    )
    weight_bar: float = key(
        1.0,
        "Cap of the constant weight min(weight_bar, anchor/mu) of each sample when anchor=update "
        "and lag > 0.",
        gt=0,
        cohort=True,
    )
    reuse: int = key(
        1,
        "Rollouts an update learns from: the current one and those before it. Each sample is weighed by the "
        "balance heuristic, the probability of its action under the policy over the mean of those under the "
        "policies that collected the rollouts. 1: the current one alone.",
        unit="rollouts",
        ge=1,
        le=1_000,
    )
    rollout_steps: int = key(
        128, "T: steps per environment in one rollout.", unit="steps per environment", ge=1
    )
    epochs: int = key(
        4, "Passes over each rollout; of the policy alone with step_rule=phasic.", ge=1, le=10_000
    )
    minibatches: int = key(
        4, "Minibatches per epoch; must divide rollout_steps x env.num_envs.", unit="count", ge=1
    )
    minibatch_of: str = key(
        "samples",
        "What a minibatch contains: samples of all environments at any step, or whole sequences of some "
        "environments, as networks with memory need (minibatches must divide env.num_envs then).",
        choices=("samples", "sequences"),
    )
    optimiser: str = key("adam", "Optimiser of gradient steps.", choices=("adam", "rmsprop", "sgd"))
    learning_rate: float = key(2.5e-4, "Learning rate of the optimiser.", ge=0, cohort=True)
    learning_rate_schedule: str = key(
        "linear",
        "constant; linear: from learning_rate to 0 over schedule_steps; adaptive_kl: divided by 1.5 after an "
        "update whose mean KL exceeds 2 learning_rate_kl, multiplied by 1.5 below learning_rate_kl / 2, "
        "within learning_rate_min and learning_rate_max.",
        choices=("constant", "linear", "adaptive_kl"),
    )
    learning_rate_kl: float = key(
        0.01,
        "Target of the mean KL of an update with learning_rate_schedule=adaptive_kl; the KL is the one of "
        "update/budget_used.",
        unit="nats",
        gt=0,
        cohort=True,
        used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )
    learning_rate_min: float = key(
        1e-5,
        "Minimum of the learning rate with learning_rate_schedule=adaptive_kl.",
        gt=0,
        cohort=True,
        used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )
    learning_rate_max: float = key(
        1e-2,
        "Maximum of the learning rate with learning_rate_schedule=adaptive_kl.",
        gt=0,
        cohort=True,
        used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )
    adam_eps: float = key(
        1e-5,
        "Adam's epsilon, added to the square root of the second moment.",
        gt=0,
        cohort=True,
        used_by=("optimiser", ("adam",)),
    )
    adam_beta1: float = key(
        0.9, "Adam's decay of the first moment.", ge=0, lt=1, cohort=True, used_by=("optimiser", ("adam",))
    )
    adam_beta2: float = key(
        0.999, "Adam's decay of the second moment.", ge=0, lt=1, cohort=True, used_by=("optimiser", ("adam",))
    )
    rmsprop_decay: float = key(
        0.99,
        "RMSProp's decay of the mean square.",
        ge=0,
        lt=1,
        cohort=True,
        used_by=("optimiser", ("rmsprop",)),
    )
    rmsprop_eps: float = key(
        1e-5,
        "RMSProp's epsilon, added to the mean square under the square root, as in TensorFlow.",
        gt=0,
        cohort=True,
        used_by=("optimiser", ("rmsprop",)),
    )
    clip: float = key(
        0.2,
        "Clip range eps: the ratio pi/anchor gains nothing outside [1 - eps, 1 + eps]; with surrogate=spo "
        "the best ratio is one of these ends, with cispo the ratio as a weight is at most 1 + eps.",
        gt=0,
        lt=1,
        cohort=True,
        used_by=("surrogate", ("clipped", "spo", "cispo")),
    )
    clip_schedule: str = key(
        "constant",
        "constant, or linear: from clip to 0 over schedule_steps.",
        choices=("constant", "linear"),
        used_by=("surrogate", ("clipped", "spo", "cispo")),
    )
    clip_high: float | None = key(
        None,
        "Upper clip range: the ratio's upper end is 1 + clip_high instead of 1 + clip, so that unlikely "
        "actions may become more likely faster (clip-higher); null: clip.",
        gt=0,
        used_by=("surrogate", ("clipped", "cispo")),
    )
    clip_dual: float | None = key(
        None,
        "Dual clip: a sample with negative advantage A counts clip_dual A at least, so that a large ratio no "
        "longer pushes; null: off.",
        gt=1,
        used_by=("surrogate", ("clipped",)),
    )
    dppo_divergence: str = key(
        "kl",
        "Exact divergence of a sample's state from the anchor that surrogate=dppo compares with "
        "dppo_threshold: the total variation, for Discrete actions alone, or KL(anchor||pi).",
        choices=("tv", "kl"),
        used_by=("surrogate", ("dppo",)),
    )
    dppo_threshold: float = key(
        0.02,
        "Divergence of a state beyond which surrogate=dppo drops the gradient of a sample that would move "
        "the policy further away.",
        gt=0,
        cohort=True,
        used_by=("surrogate", ("dppo",)),
    )
    gamma: float = key(0.99, "Discount per step.", ge=0, le=1, cohort=True)
    gae_lambda: float = key(
        0.95,
        "Trace decay lambda of GAE, V-trace and Retrace.",
        ge=0,
        le=1,
        cohort=True,
        used_by=("targets", ("gae", "vtrace", "retrace")),
    )
    rho_bar: float = key(
        1.0,
        "V-trace's cap of the ratio pi/mu; it determines which policy's value function is learnt.",
        gt=0,
        cohort=True,
        used_by=("targets", ("vtrace",)),
    )
    c_bar: float = key(
        1.0,
        "V-trace's cap of the ratios in the traces; at most rho_bar.",
        gt=0,
        cohort=True,
        used_by=("targets", ("vtrace",)),
    )
    rho_bar_pg: float | None = key(
        None,
        "Cap of the ratio pi/mu that weighs the policy gradient of surrogate=score with V-trace and Retrace; "
        "null: rho_bar with V-trace, none with Retrace.",
        gt=0,
        used_by=("targets", ("vtrace", "retrace")),
    )
    retrace_advantage: str = key(
        "return",
        "From what advantages with Retrace subtract V(s) = sum of pi(b|s) Q(s, b): return: the corrected "
        "return that Q is fitted to, as in ACER; critic: Q of the action taken, as in Off-PAC's gradient.",
        choices=("return", "critic"),
        used_by=("targets", ("retrace",)),
    )
    vtrace_bootstrap: str = key(
        "v",
        "What V-trace's advantage r + gamma x - V bootstraps from: x = v_{s+1}, the target, as in the paper, "
        "or lambda_mix: gae_lambda v_{s+1} + (1 - gae_lambda) V_{s+1}, as in rlax. At gae_lambda=1 both are "
        "the same.",
        choices=("v", "lambda_mix"),
        used_by=("targets", ("vtrace",)),
    )
    recompute: str = key(
        "update",
        "When advantages and value targets are estimated: once per update, or before every epoch with the "
        "current parameters; with step_rule=phasic before every policy epoch, while value epochs use the "
        "targets from the start of the update.",
        choices=("update", "epoch"),
        used_by=("step_rule", ("sgd", "phasic")),
    )
    reward_clip: float | None = key(
        None, "Clip rewards to plus or minus this for learning; null: no clipping.", gt=0
    )
    loss_reduction: str = key(
        "mean",
        "Reduction of the loss over a minibatch before the gradient; losses are logged as means.",
        choices=("mean", "sum"),
    )
    n_step: int = key(
        5,
        "Number of steps after which an n-step return bootstraps.",
        unit="steps",
        ge=1,
        used_by=("targets", ("nstep",)),
    )
    beta: float = key(
        1.0,
        "Coefficient of the penalty, at the start of training.",
        ge=0,
        cohort=True,
        used_by=("penalty", ("kl_anchor_pi", "kl_pi_anchor")),
    )
    beta_schedule: str = key(
        "constant",
        "constant; adaptive: doubled after an update whose mean KL, in the penalty's direction, exceeds "
        "1.5 kl_target, halved below kl_target / 1.5, within beta_min and beta_max; linear: "
        "beta / (1 - k/K) at update k of K; inverse: beta / (k + 1).",
        choices=("constant", "adaptive", "linear", "inverse"),
        used_by=("penalty", ("kl_anchor_pi", "kl_pi_anchor")),
    )
    beta_min: float | None = key(
        0.5,
        "Minimum of beta with beta_schedule=adaptive, as a fraction of algo.beta; null: none, and beta may "
        "be halved to 0, where it stays. docs/results/ppo_kl_bounds.md measures lower minima.",
        gt=0,
        le=1,
        cohort=True,
        used_by=("beta_schedule", ("adaptive",)),
        absent=None,
    )
    beta_max: float | None = key(
        64.0,
        "Maximum of beta with beta_schedule=adaptive, as a multiple of algo.beta; null: none.",
        ge=1,
        cohort=True,
        used_by=("beta_schedule", ("adaptive",)),
        absent=None,
    )
    kl_target: float = key(
        0.01,
        "Target of the mean KL of an update with beta_schedule=adaptive: KL(anchor||pi), or KL(pi||anchor) "
        "with penalty=kl_pi_anchor.",
        unit="nats",
        gt=0,
        cohort=True,
        used_by=("beta_schedule", ("adaptive",)),
    )
    delta: float = key(
        0.01,
        "Trust region radius: maximum mean KL(anchor||pi) of a natural-gradient step.",
        unit="nats",
        gt=0,
        cohort=True,
        used_by=("step_rule", ("natural",)),
    )
    cg_iterations: int = key(
        15,
        "Maximum number of conjugate-gradient iterations.",
        ge=1,
        le=10_000,
        used_by=("metric", ("fisher",)),
    )
    cg_tolerance: float = key(
        1e-10,
        "Residual, relative to the gradient's norm, below which conjugate gradients stop.",
        ge=0,
        cohort=True,
        used_by=("metric", ("fisher",)),
    )
    cg_damping: float = key(
        0.1,
        "Damping added to the diagonal of the Fisher matrix.",
        ge=0,
        cohort=True,
        used_by=("metric", ("fisher",)),
    )
    line_search: bool = key(
        True,
        "Backtracking line search until KL <= delta and the surrogate improves; false: the full step.",
        used_by=("step_rule", ("natural",)),
    )
    line_search_steps: int = key(
        10,
        "Maximum number of candidates of the line search.",
        ge=1,
        le=1_000,
        used_by=("line_search", ("true",)),
    )
    line_search_shrink: float = key(
        0.8,
        "Factor from one candidate step of the line search to the next.",
        gt=0,
        lt=1,
        cohort=True,
        used_by=("line_search", ("true",)),
    )
    metric: str = key(
        "fisher",
        "Metric of a natural-gradient step: the Fisher matrix, or the identity, for comparison.",
        choices=("fisher", "euclidean"),
        used_by=("step_rule", ("natural",)),
    )
    value_epochs: int = key(
        1, "Epochs of the value function over each rollout.", ge=1, used_by=("step_rule", ("phasic",))
    )
    auxiliary_every: int = key(
        32,
        "Updates between auxiliary phases; a phase trains on the rollouts of all of them.",
        unit="updates",
        ge=1,
        used_by=("step_rule", ("phasic",)),
    )
    auxiliary_epochs: int = key(
        6,
        "Epochs of an auxiliary phase over its rollouts.",
        ge=1,
        used_by=("step_rule", ("phasic",)),
    )
    auxiliary_minibatches: int = key(
        64,
        "Minibatches per auxiliary epoch; must divide auxiliary_every x rollout_steps x env.num_envs.",
        unit="count",
        ge=1,
        used_by=("step_rule", ("phasic",)),
    )
    beta_clone: float = key(
        1.0,
        "Coefficient of the mean KL(before||pi) from the policy before an auxiliary phase, added to the mean "
        "value errors (V_aux - target)^2 / 2 and (V - target)^2 / 2; with network.shared=true V is V_aux.",
        ge=0,
        cohort=True,
        used_by=("step_rule", ("phasic",)),
    )
    entropy_coef: float = key(
        0.0,
        "Coefficient of the policy's entropy in the objective.",
        cohort=True,
        used_by=("step_rule", ("sgd", "phasic")),
    )
    value_coef: float = key(
        0.5, "Coefficient of the value loss mean (V - target)^2, which has no factor 1/2.", ge=0, cohort=True
    )
    value_clip: float | None = key(
        None,
        "Clip range of the value function around its prediction at the start of the update; null: off.",
        gt=0,
    )
    max_grad_norm: float | None = key(
        0.5,
        "Maximum joint gradient norm of actor and critic, by rescaling; null: unlimited.",
        gt=0,
        cohort=True,
    )
    normalize_advantage: str = key(
        "minibatch",
        "Whiten advantages (mean 0, deviation 1) over each minibatch, once over the batch, or not at all.",
        choices=("minibatch", "batch", "none"),
    )
    target_kl: float | None = key(
        None, "KL beyond which an update's remaining gradient steps are skipped (early stop); null: never.",
        unit="nats", gt=0, cohort=True, used_by=("step_rule", ("sgd", "phasic")),
    )  # fmt: skip
    target_kl_rule: str = key(
        "minibatch_k3",
        "minibatch_k3: stop before a step when the k3 estimate on its minibatch exceeds 1.5 target_kl; "
        "epoch_exact: stop after an epoch when the exact mean KL(anchor||pi) on the batch exceeds target_kl.",
        choices=("minibatch_k3", "epoch_exact"),
        used_by=("step_rule", ("sgd", "phasic")),
    )


@dataclass(frozen=True)
class CollectConfig:
    """Collection of rollouts."""

    mode: str = key(
        "inline",
        "Where environments are stepped: inline, in the process that learns; process, in others on the same "
        "machine, the actors; ray, in actors on a Ray cluster, with collect.order=free.",
        choices=("inline", "process", "ray"),
        effect="maybe",
    )
    actors: int = key(
        2,
        "Processes that step environments; each has its share of env.num_envs, with order=free as many.",
        unit="processes",
        ge=1,
        le=1_000,
        effect="maybe",
        used_by=("mode", ("process", "ray")),
    )
    order: str = key(
        "fixed",
        "fixed: actors step in lock step, with the numbers of one process; free: each collects rollouts of "
        "env.num_envs environments of its own while the learner learns, with the parameters it received "
        "last, and an update takes the oldest one that is ready.",
        choices=("fixed", "free"),
        used_by=("mode", ("process", "ray")),
    )
    address: str | None = key(
        None,
        "A running Ray cluster: auto or HOST:PORT; null: one of this machine is started for the run.",
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    cpus: float = key(
        1.0,
        "CPUs of the Ray cluster per actor.",
        gt=0,
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    resources: dict[str, Any] = key(  # noqa: RUF009
        {},
        "Other resources of the Ray cluster per actor, such as {simulator:1}.",
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    queue: int = key(
        1,
        "Rollouts of each actor that may wait for the learner, before the actor waits.",
        unit="rollouts",
        ge=1,
        le=1_000,
        used_by=("order", ("free",)),
    )
    unrolls: int = key(
        1,
        "Rollouts per update, each of env.num_envs / unrolls environments and with the policy that acted in "
        "it; with more than 1 an actor steps so many environments.",
        unit="rollouts",
        ge=1,
        used_by=("order", ("free",)),
    )
    max_lag: int | None = key(
        None,
        "Maximum lag: updates since the parameters that a rollout was collected with; null: unlimited.",
        unit="updates",
        ge=0,
        used_by=("order", ("free",)),
    )
    too_old: str = key(
        "drop",
        "What collect.max_lag does. drop: rollouts of a larger lag are dropped; wait: an actor begins none "
        "that would have one, but waits for newer parameters, so that nothing is dropped.",
        choices=("drop", "wait"),
        used_by=("order", ("free",)),
    )
    restarts: int = key(
        0,
        "Actors whose environment raised that are replaced, before the next one ends the run.",
        unit="processes",
        ge=0,
        resumable=True,
        used_by=("order", ("free",)),
    )
    timeout: float | None = key(
        300.0,
        "Time that an actor may take for one answer, before it is ended and the run fails; null: unlimited.",
        unit="s",
        gt=0,
        effect="nothing",
        resumable=True,
        used_by=("mode", ("process", "ray")),
    )
    whole_episodes: bool = key(
        False,
        "Start new episodes with each rollout and train on whole episodes alone: those started early enough "
        "to end in it within the environment's time limit. For algo.surrogate=weighted, whose weights are "
        "then those of exact trajectories.",
    )

    @property
    def is_free(self) -> bool:
        """Whether actors collect while the learner learns, each as fast as it can."""
        return self.mode != "inline" and self.order == "free"


@dataclass(frozen=True)
class AtariConfig:
    """Preprocessing of Atari games (env=ALE/...); for other environments these keys are refused."""

    noop_max: int = key(
        30,
        "Bound of the frames without an action at the start of a game, whose number is drawn from 0 to "
        "noop_max - 1; fire_reset takes the place of the first. 0: none.",
        unit="frames", ge=0, le=10_000,
    )  # fmt: skip
    frame_skip: int = key(
        4, "Frames that each action is repeated for; it replaces the id's own.", unit="frames", ge=1, le=1_000
    )
    max_pool: bool = key(
        True, "Show the maximum of each pixel over the last two frames, as games draw some things on every "
        "other frame.",
    )  # fmt: skip
    episodic_life: bool = key(
        True,
        "A lost life terminates in what is learnt, while the game goes on; never in evaluation, nor in the "
        "returns that are logged, which are those of whole games.",
    )
    fire_reset: bool = key(True, "Press FIRE at the start of a game that has this action.")
    screen_size: int = key(84, "Height and width of a frame once resized.", unit="pixels", ge=16, le=160)
    grayscale: bool = key(True, "One channel per frame, its luminance, rather than three.")
    frame_stack: int = key(4, "Frames in an observation, the last ones.", unit="frames", ge=1, le=64)
    sign_reward: bool = key(
        True, "Learn from the sign of each reward; returns that are logged, and evaluation, are raw."
    )
    repeat_action_probability: float | None = key(
        None,
        "Probability that a frame repeats the action before; null: the id's own, 0.25 for v5.",
        ge=0, lt=1,
    )  # fmt: skip
    threads: int = key(
        1, "Threads of ale-py that step the games of one run; they change no result.", ge=1, le=1_024,
        effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class EnvConfig:
    """Environment, number of copies, and normalisation."""

    id: str = key("CartPole-v1", "A Gymnasium id, or module:Id to import the module first.")
    num_envs: int = key(8, "N: environments stepped in parallel by each run.", ge=1)
    kwargs: dict[str, Any] = key({}, "Arguments of the environment's constructor.")  # noqa: RUF009
    wrappers: tuple[str | dict[str, Any], ...] = key(
        (),
        "Wrappers around each environment, the innermost first: hide_velocities; a class of "
        "gymnasium.wrappers; or module:Class of your own. With arguments: {NAME: {argument: value}}. Any "
        "wrapper makes Gymnasium step the environment.",
    )
    backend: str = key(
        "auto",
        "Implementation. array: rlcli's batched numpy version, bit for bit equal to Gymnasium's; "
        "gymnasium: the library itself; mujoco, box2d: MuJoCo, and Box2D's LunarLander, stepped without "
        "Gymnasium's code, equal bit for bit; ale: ale-py's own vector environment, equal frame by frame; "
        "auto: one of these where there is one, else gymnasium; torch: array's equations on `device`, "
        "equal within a tolerance, for training (evaluation uses array).",
        choices=("auto", "gymnasium", "array", "mujoco", "box2d", "ale", "torch"),
        effect="maybe",
    )
    action_mask: str = key(
        "none",
        "Mask of Discrete or MultiDiscrete actions; those that are not allowed have probability 0. info: "
        "info['action_mask'] of each reset and step; observation.NAME: that member of Dict observations, "
        "which the network does not see then; none: every action is allowed.",
        choices=("none", "info"),
        prefix="observation.",
    )
    normalize_observation: bool = key(
        False,
        "Whiten observations by running mean and variance, in float64; one-hot and binary entries are kept.",
    )
    normalize_reward: bool = key(
        False, "Divide rewards by the running standard deviation of the discounted return."
    )
    replay_limit: int = key(
        100_000, "Maximum actions saved per unfinished episode so that a resume can replay it.", unit="steps",
        ge=0, effect="maybe",
    )  # fmt: skip
    atari: AtariConfig = field(default_factory=AtariConfig)


def kinds_of_network() -> tuple[str, ...]:
    """The modules of rlcli/nets/kinds, by the names of their files: none is loaded."""
    folder = Path(__file__).parents[1] / "nets" / "kinds"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


RECURRENT = ("gru", "lstm")
"""Kinds of network with memory."""
BEFORE = ("mlp", "nature_cnn", "impala_resnet")
"""Kinds of network whose layers may be before a recurrent cell."""


@dataclass(frozen=True)
class NetworkConfig:
    """Networks of the policy and the value function."""

    name: str = key("mlp", "Kind of network; lstm and gru have memory.", choices=kinds_of_network())
    hidden: tuple[int, ...] = key(
        (64, 64), "Sizes of the hidden layers of each trunk; of a convolutional network, those behind the "
        "convolutions.", ge=1,
    )  # fmt: skip
    activation: str = key(
        "tanh", "Activation function of the hidden layers; ReLU in convolutional networks.",
        choices=("tanh", "relu", "elu", "silu", "gelu"), used_by=("name", ("mlp", *RECURRENT)),
    )  # fmt: skip
    cell_size: int = key(
        64, "Units of the recurrent cell of each trunk, which follows the hidden layers.", ge=1,
        used_by=("name", RECURRENT),
    )  # fmt: skip
    before: str = key(
        "mlp",
        "Layers before the recurrent cell of each trunk: mlp: the hidden layers, for observations without "
        "images; nature_cnn or impala_resnet: their convolutions and then the hidden layers, for images.",
        choices=BEFORE, used_by=("name", RECURRENT),
    )  # fmt: skip
    critic: str = key(
        "v",
        "What the critic predicts: v: the value of a state; or q: the value of each action in it, of "
        "Discrete actions, as algo.targets=retrace needs.",
        choices=("v", "q"), used_by=("name", ("mlp",)),
    )  # fmt: skip
    shared: bool = key(False, "Share one trunk between policy and value function, instead of one each.")
    initialisation: str = key(
        "orthogonal", "Initial weights: orthogonal with the gains below, or torch's uniform default.",
        choices=("orthogonal", "uniform"),
    )  # fmt: skip
    hidden_gain: float = key(
        2**0.5, "Gain of the hidden layers.", gt=0, used_by=("initialisation", ("orthogonal",))
    )
    policy_gain: float = key(
        0.01, "Gain of the policy head.", gt=0, used_by=("initialisation", ("orthogonal",))
    )
    value_gain: float = key(1.0, "Gain of the value head.", gt=0, used_by=("initialisation", ("orthogonal",)))
    log_std: str = key(
        "free",
        "Log standard deviations of a Gaussian policy: free parameters, the same in every state; or state: "
        "outputs of the policy head beside the means, clipped to -20 .. 2, with log_std_init added before.",
        choices=("free", "state"),
    )
    log_std_init: float = key(0.0, "Initial log standard deviation of a Gaussian policy.", ge=-20, le=20)
    squash: str = key(
        "none",
        "Actions of a Gaussian policy on their way to the environment: none: clipped to the bounds; or tanh: "
        "low + (high - low) (tanh(u) + 1) / 2 of the number u that the policy draws. Ratios and divergences "
        "are those of u, which squashing leaves unchanged; the entropy is that of the actions.",
        choices=("none", "tanh"),
    )


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation on separate environments, with the same episode seeds each time."""

    every: int | None = key(
        None,
        "Evaluate at the first update that reaches a multiple of this; 0: only at the end; null: a tenth of "
        "total_steps, or only at the end where the run has fewer than 10 updates or an evaluation could take "
        "over 5% of its training time. The first evaluation decides, and manifest.json records it.",
        unit="env steps", ge=0, resumable=True, absent=0,
    )  # fmt: skip
    episodes: int = key(
        10, "Episodes per evaluation; 0 disables evaluation.", ge=0, le=1_000_000, resumable=True
    )
    max_steps: int = key(
        100_000, "Steps after which an evaluation stops an episode that the environment has not ended.",
        unit="steps", ge=1, resumable=True,
    )  # fmt: skip
    video_every: int = key(
        0,
        "Film the best and the worst episode of the first evaluation that reaches a multiple of this, into "
        "videos/ of the run; 0: none. No figure depends on it.",
        unit="env steps", ge=0, effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class StopAtConfig:
    """Early stopping: the run ends, as finished, once a metric has reached a threshold."""

    metric: str = key(
        "eval/return_mean",
        "Metric compared with stop_at.threshold: one of evaluations (eval/...), after each of the schedule "
        "eval.every; or of training, such as train/return_100, after each update whose row has it. `rlcli "
        "explain METRIC` says which way it is better.",
        cohort=True, resumable=True,
    )  # fmt: skip
    threshold: float | None = key(
        None,
        "The run ends once the metric is at least this (at most, where lower is better); null: no early "
        "stopping.",
        cohort=True, resumable=True,
    )  # fmt: skip
    evaluations: int = key(
        1, "Consecutive evaluations (of a training metric: updates) that must reach the threshold.", ge=1,
        le=1_000_000, cohort=True, resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints: when the full state is saved, and which are kept."""

    every: int = key(
        20_000,
        "Save at the first update that reaches a multiple of this, or later (checkpoint.seconds); 0: only at "
        "the end.",
        unit="env steps", ge=0, effect="nothing", resumable=True,
    )  # fmt: skip
    seconds: float | str = key(
        "auto",
        "Minimum time from one checkpoint to the next: one that checkpoint.every asks for earlier waits. "
        "auto: it waits until checkpoints, itself included, have taken at most 2% of the time, which is 50 "
        "times what one takes; 0: none waits. The first, the best and the one at the end never wait.",
        unit="s", ge=0, words=("auto",), effect="nothing", resumable=True, absent=0.0,
    )  # fmt: skip
    keep: int = key(
        0, "Keep every keep-th checkpoint, besides the last two and the best; 0: no others.", ge=0,
        effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class DigestConfig:
    """Digests of each update, by which runs are compared."""

    every: int = key(
        1, "Write digests after updates that are multiples of this, and the last one; 0: only the last one.",
        unit="updates", ge=0, effect="nothing",
    )  # fmt: skip


@dataclass(frozen=True)
class CohortConfig:
    """Cohorts: jobs of a sweep trained together as one batched program."""

    max_size: int | None = key(
        None, "Maximum jobs per cohort; null: as many as fit in memory.", ge=1,
        effect="nothing",
    )  # fmt: skip
    workers: int | None = key(
        None, "Worker processes that train cohorts in parallel; null: one per core.", ge=1, effect="nothing"
    )


_SAMPLED = ("sampler", ("tpe", "random", "grid", "nsgaii"))
_PRUNED = ("pruner", ("median", "halving", "hyperband"))


@dataclass(frozen=True)
class SweepConfig:
    """Hyperparameter search of `rlcli train -m`; not part of a job's own settings."""

    sampler: str = key(
        "none",
        "Sampler of trials. none: train every combination of the values given; or Optuna's tree-structured "
        "Parzen estimator (tpe), random search, grid search, or the genetic algorithm NSGA-II.",
        choices=("none", "tpe", "random", "grid", "nsgaii"), effect="nothing",
    )  # fmt: skip
    trials: int | None = key(
        None, "Total number of trials; null: 20, with sampler=grid every point.", ge=1, le=1_000_000,
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    replicas: int = key(
        1,
        "Seeds per trial, counted up from `seed`; a trial's value is the interquartile mean over them. Seeds "
        "are never searched over.",
        ge=1, le=10_000, effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    parallel: int | None = key(
        None,
        "Trials sampled at once and trained together; null: 8, or all where the sampler learns nothing from "
        "results (random and grid without a pruner).",
        unit="trials", ge=1, le=100_000, effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    sampler_seed: int = key(
        0, "Seed of the sampler: equal results give the same trials.", ge=0, lt=2**63, effect="nothing",
        used_by=_SAMPLED,
    )  # fmt: skip
    objective: tuple[str, ...] = key(
        ("eval/return_mean",),
        "Metrics of a job's last row to optimise; several: the Pareto front. -NAME: lower is better.",
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    direction: tuple[str, ...] = key(
        (), "Direction in which each objective is better; empty: that of the metric, see `rlcli explain`.",
        choices=("higher", "lower"), effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    space: dict[str, Any] = key(  # noqa: RUF009
        {},
        "Search space: keys, each with an expression in Hydra's grammar, such as choice(2,4,8), range(1,9), "
        "interval(0.9,1), tag(log,interval(1e-5,1e-2)), int(interval(1,8)). KEY=... on the command line "
        "takes precedence.",
        effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    pruner: str = key(
        "none",
        "Pruner, which stops bad trials early: none; median stopping, below the median of finished trials at "
        "the same step; successive halving; or hyperband, which is successive halving in several brackets.",
        choices=("none", "median", "halving", "hyperband"), effect="nothing", used_by=_SAMPLED,
    )  # fmt: skip
    prune_every: int = key(
        10_000,
        "Interval of pruning: a trial is compared by train/return_100 once all its seeds have reached a "
        "multiple of this, and stops one update later.",
        unit="env steps", ge=1, lt=2**53, effect="nothing", used_by=_PRUNED,
    )  # fmt: skip
    prune_warmup: int = key(
        0, "Env steps before which no trial is pruned.", unit="env steps", ge=0, lt=2**53, effect="nothing",
        used_by=_PRUNED,
    )  # fmt: skip
    prune_startup: int = key(
        5, "Trials that must have finished before the median pruner stops any.", unit="trials", ge=1,
        effect="nothing", used_by=("pruner", ("median",)),
    )  # fmt: skip
    prune_factor: int = key(
        3, "Reduction factor: one trial in so many survives each rung.", ge=2, le=1_000, effect="nothing",
        used_by=("pruner", ("halving", "hyperband")),
    )  # fmt: skip


@dataclass(frozen=True)
class ComputeConfig:
    """Use of the machine."""

    threads: int = key(
        1, "Intra-op threads of torch; 1 is exact across cohorts and faster for small networks.", ge=1,
        le=1_024,
        effect="maybe",
    )  # fmt: skip
    kernel: str = key(
        "auto",
        "What computes a run: kernels in C, or torch. auto: C where its library is built and covers the "
        "configuration, else torch; decided before training and recorded, since the last digits of results "
        "depend on it.",
        choices=("auto", "c", "torch"), absent="torch",
    )  # fmt: skip


@dataclass(frozen=True)
class HealthConfig:
    """Optional health metrics."""

    epochs: bool = key(
        True, "Measure KL, ESS and clip fraction after every epoch too (epochs/...).", effect="maybe"
    )
    gain_predicted: bool = key(
        True,
        "Predict the gain of every update by its objective's gradient (update/gain_predicted), a backward "
        "pass over the batch.",
        effect="maybe",
    )
    khat: bool = key(
        True,
        "Fit a Pareto distribution to the largest ratios of every update (behaviour/khat). Runs from before "
        "there was this key go on without.",
        effect="maybe", absent=False,
    )  # fmt: skip
    kl_reference: float = key(
        0.02, "KL budget of update/budget_used for algorithms that declare none.",
        unit="nats", gt=0, effect="maybe",
    )  # fmt: skip


@dataclass(frozen=True)
class WandbConfig:
    """Weights & Biases."""

    mode: str = key(
        "auto", "auto: online when logged in, else offline; or online, offline, disabled.",
        choices=("auto", "online", "offline", "disabled"), effect="nothing", resumable=True,
    )  # fmt: skip
    project: str = key("rlcli", "Project name.", effect="nothing")
    entity: str | None = key(None, "Team or user; null: the account's default.", effect="nothing")
    group: str | None = key(None, "Group of the run; null: the sweep's name, or none.", effect="nothing")


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run, resolved."""

    seed: int = key(0, "Seed of all random draws of the run.", ge=0, lt=2**63, cohort=True)
    total_steps: int = key(
        100_000,
        "Environment steps of the run, rounded up to whole updates.",
        unit="env steps",
        ge=1,
        lt=2**53,
        resumable=True,
        cohort=True,
    )
    schedule_steps: int | None = key(
        None,
        "Length of schedules; null: total_steps, frozen at the first start. A change by a resume applies "
        "from there on.",
        unit="env steps", ge=1, cohort=True, resumable=True,
    )  # fmt: skip
    schedule_past: tuple[int, ...] = key(
        (),
        "Earlier lengths of schedules, as pairs of the update up to which one applied and its env steps. "
        "Written by a resume that changes schedule_steps.",
        ge=1, cohort=True,
    )  # fmt: skip
    lag: int = key(
        0, "Age of the behaviour policy: update u trains on a rollout of the policy before update u - lag.",
        unit="updates", ge=0,
    )  # fmt: skip
    device: str = key("cpu", "torch device: cpu, cuda, cuda:1.", effect="maybe")
    backend: str = key(
        "native", "Training backend: rlcli's own, or Stable-Baselines3.", choices=("native", "sb3")
    )
    name: str | None = key(
        None,
        "Name of the run directory; null: made of algorithm, environment, seed and date.",
        effect="nothing",
    )
    tags: tuple[str, ...] = key((), "Tags of the run.", effect="nothing", resumable=True)
    notes: str = key("", "Free text kept with the run.", effect="nothing", resumable=True)
    tuned: str = key(
        "auto", "Tuned settings, overridden by the command line: auto, none, or <algo>/<env>.",
        effect="nothing",
    )  # fmt: skip
    runs_dir: str = key("runs", "Folder in which run directories are made.", effect="nothing")
    logger: tuple[str, ...] = key(
        ("console", "jsonl", "wandb"), "Loggers of metric rows.",
        choices=("console", "jsonl", "mlflow", "tensorboard", "wandb"), effect="nothing", resumable=True,
    )  # fmt: skip
    imports: tuple[str, ...] = key(
        (),
        "Modules with the environments, networks, algorithms and metrics of your own that the run uses. "
        "Written by rlcli: --import MODULE, RLCLI_IMPORT and installed plug-ins set it.",
    )
    profile: bool = key(
        False,
        "Measure where the time goes: a table at the end, profile.json in the run directory, and "
        "time/environment in each row.",
        effect="nothing", resumable=True,
    )  # fmt: skip
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    stop_at: StopAtConfig = field(default_factory=StopAtConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    digest: DigestConfig = field(default_factory=DigestConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    own: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that the user's own code declares, by dotted name."""

    @property
    def batch_size(self) -> int:
        """Samples of one rollout, B = T N."""
        return self.algo.rollout_steps * self.env.num_envs

    @property
    def learnt_size(self) -> int:
        """Samples an update learns from: those of its rollout, and of the ones it reuses."""
        return self.algo.reuse * self.batch_size

    @property
    def updates(self) -> int:
        """Updates of the run, ceil(total_steps / (T N))."""
        return -(-self.total_steps // self.batch_size)

    def horizon(self, update: int) -> int:
        """Length of schedules in env steps for the next update, after `update` done ones."""
        past = zip(self.schedule_past[::2], self.schedule_past[1::2], strict=True)
        earlier = (steps for until, steps in past if update < until)
        return next(earlier, self.schedule_length)

    @property
    def schedule_length(self) -> int:
        """Length of schedules in env steps: `schedule_steps`, by default `total_steps`."""
        return self.schedule_steps or self.total_steps

    @property
    def tenth(self) -> int:
        """A tenth of the run in env steps, rounded up."""
        return -(-self.total_steps // 10)

    def resolved(self) -> RunConfig:
        """The config with defaults derived from other keys written out, to keep when those change."""
        return dataclasses.replace(self, schedule_steps=self.schedule_length)


@dataclass(frozen=True)
class Key:
    """Key of the schema, with its dotted name."""

    name: str
    type: Any
    default: Any
    declaration: Declaration

    @property
    def optional(self) -> bool:
        """Whether null is valid."""
        return type(None) in typing.get_args(self.type)

    @property
    def scalar_type(self) -> Any:
        """The type without `None`; of a tuple, the type of its items."""
        inner = self.type
        if isinstance(inner, types.UnionType):
            inner = next(part for part in typing.get_args(inner) if part is not type(None))
        if typing.get_origin(inner) is tuple:
            inner = typing.get_args(inner)[0]
        return inner

    @property
    def takes_text(self) -> bool:
        """Whether the value, or each item of its list, is text."""
        return self.scalar_type is str

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return typing.get_origin(self.type) is tuple

    @property
    def takes_calls(self) -> bool:
        """Whether each item of its list is a name, alone or as `{name: {argument: value}}`."""
        return typing.get_origin(self.scalar_type) is types.UnionType

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping with names of its own."""
        return typing.get_origin(self.scalar_type) in (dict, Mapping)


OWN = "own"
"""The field of a config for keys that no field declares."""


def walk(cls: type, prefix: str) -> Iterator[Key]:
    """All keys that a dataclass declares, nested dataclasses included."""
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        if item.name == OWN:
            continue
        if dataclasses.is_dataclass(hint):
            yield from walk(typing.cast(type, hint), f"{prefix}{item.name}.")
            continue
        factory = item.default_factory
        default = item.default if factory is dataclasses.MISSING else factory()
        yield Key(prefix + item.name, hint, default, item.metadata["declaration"])


_KEYS = {found.name: found for found in walk(RunConfig, "")}
KEYS: Mapping[str, Key] = _KEYS
"""Every key by its dotted name, in the order of declaration; those of the user's own code come last."""
FIELDS = tuple(_KEYS)
"""The keys that are fields of a config: rlcli's own."""


def declare(found: Key) -> None:
    """Adds a key, or replaces its declaration."""
    _KEYS[found.name] = found
