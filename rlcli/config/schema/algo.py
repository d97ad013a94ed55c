"""Keys of the algorithm."""

from __future__ import annotations

from dataclasses import dataclass

from rlcli.config.declaration import key


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
        gt=0, words=("sqrt_n",), cohort=True,
        used_by=("weights", ("trajectory", "per_decision", "prefix", "per_step")),
    )  # fmt: skip
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
        choices=("value", "none"), used_by=("surrogate", ("weighted",)),
    )  # fmt: skip
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
        gt=0, cohort=True,
    )  # fmt: skip
    reuse: int = key(
        1,
        "Rollouts an update learns from: the current one and those before it. Each sample is weighed by the "
        "balance heuristic, the probability of its action under the policy over the mean of those under the "
        "policies that collected the rollouts. 1: the current one alone.",
        unit="rollouts", ge=1, le=1_000,
    )  # fmt: skip
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
        unit="nats", gt=0, cohort=True, used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )  # fmt: skip
    learning_rate_min: float = key(
        1e-5, "Minimum of the learning rate with learning_rate_schedule=adaptive_kl.", gt=0, cohort=True,
        used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )  # fmt: skip
    learning_rate_max: float = key(
        1e-2, "Maximum of the learning rate with learning_rate_schedule=adaptive_kl.", gt=0, cohort=True,
        used_by=("learning_rate_schedule", ("adaptive_kl",)),
    )  # fmt: skip
    adam_eps: float = key(
        1e-5, "Adam's epsilon, added to the square root of the second moment.", gt=0, cohort=True,
        used_by=("optimiser", ("adam",)),
    )  # fmt: skip
    adam_beta1: float = key(
        0.9, "Adam's decay of the first moment.", ge=0, lt=1, cohort=True, used_by=("optimiser", ("adam",))
    )
    adam_beta2: float = key(
        0.999, "Adam's decay of the second moment.", ge=0, lt=1, cohort=True, used_by=("optimiser", ("adam",))
    )
    rmsprop_decay: float = key(
        0.99, "RMSProp's decay of the mean square.", ge=0, lt=1, cohort=True,
        used_by=("optimiser", ("rmsprop",)),
    )  # fmt: skip
    rmsprop_eps: float = key(
        1e-5, "RMSProp's epsilon, added to the mean square under the square root, as in TensorFlow.", gt=0,
        cohort=True, used_by=("optimiser", ("rmsprop",)),
    )  # fmt: skip
    clip: float = key(
        0.2,
        "Clip range eps: the ratio pi/anchor gains nothing outside [1 - eps, 1 + eps]; with surrogate=spo "
        "the best ratio is one of these ends, with cispo the ratio as a weight is at most 1 + eps.",
        gt=0, lt=1, cohort=True, used_by=("surrogate", ("clipped", "spo", "cispo")),
    )  # fmt: skip
    clip_schedule: str = key(
        "constant", "constant, or linear: from clip to 0 over schedule_steps.",
        choices=("constant", "linear"), used_by=("surrogate", ("clipped", "spo", "cispo")),
    )  # fmt: skip
    clip_high: float | None = key(
        None,
        "Upper clip range: the ratio's upper end is 1 + clip_high instead of 1 + clip, so that unlikely "
        "actions may become more likely faster (clip-higher); null: clip.",
        gt=0, used_by=("surrogate", ("clipped", "cispo")),
    )  # fmt: skip
    clip_dual: float | None = key(
        None,
        "Dual clip: a sample with negative advantage A counts clip_dual A at least, so that a large ratio no "
        "longer pushes; null: off.",
        gt=1, used_by=("surrogate", ("clipped",)),
    )  # fmt: skip
    dppo_divergence: str = key(
        "kl",
        "Exact divergence of a sample's state from the anchor that surrogate=dppo compares with "
        "dppo_threshold: the total variation, for Discrete actions alone, or KL(anchor||pi).",
        choices=("tv", "kl"), used_by=("surrogate", ("dppo",)),
    )  # fmt: skip
    dppo_threshold: float = key(
        0.02,
        "Divergence of a state beyond which surrogate=dppo drops the gradient of a sample that would move "
        "the policy further away.",
        gt=0, cohort=True, used_by=("surrogate", ("dppo",)),
    )  # fmt: skip
    gamma: float = key(0.99, "Discount per step.", ge=0, le=1, cohort=True)
    gae_lambda: float = key(
        0.95, "Trace decay lambda of GAE, V-trace and Retrace.", ge=0, le=1, cohort=True,
        used_by=("targets", ("gae", "vtrace", "retrace")),
    )  # fmt: skip
    rho_bar: float = key(
        1.0, "V-trace's cap of the ratio pi/mu; it determines which policy's value function is learnt.", gt=0,
        cohort=True, used_by=("targets", ("vtrace",)),
    )  # fmt: skip
    c_bar: float = key(
        1.0, "V-trace's cap of the ratios in the traces; at most rho_bar.", gt=0, cohort=True,
        used_by=("targets", ("vtrace",)),
    )  # fmt: skip
    rho_bar_pg: float | None = key(
        None,
        "Cap of the ratio pi/mu that weighs the policy gradient of surrogate=score with V-trace and Retrace; "
        "null: rho_bar with V-trace, none with Retrace.",
        gt=0, used_by=("targets", ("vtrace", "retrace")),
    )  # fmt: skip
    retrace_advantage: str = key(
        "return",
        "From what advantages with Retrace subtract V(s) = sum of pi(b|s) Q(s, b): return: the corrected "
        "return that Q is fitted to, as in ACER; critic: Q of the action taken, as in Off-PAC's gradient.",
        choices=("return", "critic"), used_by=("targets", ("retrace",)),
    )  # fmt: skip
    vtrace_bootstrap: str = key(
        "v",
        "What V-trace's advantage r + gamma x - V bootstraps from: x = v_{s+1}, the target, as in the paper, "
        "or lambda_mix: gae_lambda v_{s+1} + (1 - gae_lambda) V_{s+1}, as in rlax. At gae_lambda=1 both are "
        "the same.",
        choices=("v", "lambda_mix"), used_by=("targets", ("vtrace",)),
    )  # fmt: skip
    recompute: str = key(
        "update",
        "When advantages and value targets are estimated: once per update, or before every epoch with the "
        "current parameters; with step_rule=phasic before every policy epoch, while value epochs use the "
        "targets from the start of the update.",
        choices=("update", "epoch"), used_by=("step_rule", ("sgd", "phasic")),
    )  # fmt: skip
    reward_clip: float | None = key(
        None, "Clip rewards to plus or minus this for learning; null: no clipping.", gt=0
    )
    loss_reduction: str = key(
        "mean", "Reduction of the loss over a minibatch before the gradient; losses are logged as means.",
        choices=("mean", "sum"),
    )  # fmt: skip
    n_step: int = key(
        5, "Number of steps after which an n-step return bootstraps.", unit="steps", ge=1,
        used_by=("targets", ("nstep",)),
    )  # fmt: skip
    beta: float = key(
        1.0, "Coefficient of the penalty, at the start of training.", ge=0, cohort=True,
        used_by=("penalty", ("kl_anchor_pi", "kl_pi_anchor")),
    )  # fmt: skip
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
        gt=0, le=1, cohort=True, used_by=("beta_schedule", ("adaptive",)), absent=None,
    )  # fmt: skip
    beta_max: float | None = key(
        64.0, "Maximum of beta with beta_schedule=adaptive, as a multiple of algo.beta; null: none.", ge=1,
        cohort=True, used_by=("beta_schedule", ("adaptive",)), absent=None,
    )  # fmt: skip
    kl_target: float = key(
        0.01,
        "Target of the mean KL of an update with beta_schedule=adaptive: KL(anchor||pi), or KL(pi||anchor) "
        "with penalty=kl_pi_anchor.",
        unit="nats", gt=0, cohort=True, used_by=("beta_schedule", ("adaptive",)),
    )  # fmt: skip
    delta: float = key(
        0.01, "Trust region radius: maximum mean KL(anchor||pi) of a natural-gradient step.", unit="nats",
        gt=0, cohort=True, used_by=("step_rule", ("natural",)),
    )  # fmt: skip
    cg_iterations: int = key(
        15, "Maximum number of conjugate-gradient iterations.", ge=1, le=10_000,
        used_by=("metric", ("fisher",)),
    )  # fmt: skip
    cg_tolerance: float = key(
        1e-10, "Residual, relative to the gradient's norm, below which conjugate gradients stop.", ge=0,
        cohort=True, used_by=("metric", ("fisher",)),
    )  # fmt: skip
    cg_damping: float = key(
        0.1, "Damping added to the diagonal of the Fisher matrix.", ge=0, cohort=True,
        used_by=("metric", ("fisher",)),
    )  # fmt: skip
    line_search: bool = key(
        True, "Backtracking line search until KL <= delta and the surrogate improves; false: the full step.",
        used_by=("step_rule", ("natural",)),
    )  # fmt: skip
    line_search_steps: int = key(
        10, "Maximum number of candidates of the line search.", ge=1, le=1_000,
        used_by=("line_search", ("true",)),
    )  # fmt: skip
    line_search_shrink: float = key(
        0.8, "Factor from one candidate step of the line search to the next.", gt=0, lt=1, cohort=True,
        used_by=("line_search", ("true",)),
    )  # fmt: skip
    metric: str = key(
        "fisher", "Metric of a natural-gradient step: the Fisher matrix, or the identity, for comparison.",
        choices=("fisher", "euclidean"), used_by=("step_rule", ("natural",)),
    )  # fmt: skip
    value_epochs: int = key(
        1, "Epochs of the value function over each rollout.", ge=1, used_by=("step_rule", ("phasic",))
    )
    auxiliary_every: int = key(
        32, "Updates between auxiliary phases; a phase trains on the rollouts of all of them.",
        unit="updates", ge=1, used_by=("step_rule", ("phasic",)),
    )  # fmt: skip
    auxiliary_epochs: int = key(
        6, "Epochs of an auxiliary phase over its rollouts.", ge=1, used_by=("step_rule", ("phasic",)),
    )  # fmt: skip
    auxiliary_minibatches: int = key(
        64, "Minibatches per auxiliary epoch; must divide auxiliary_every x rollout_steps x env.num_envs.",
        unit="count", ge=1, used_by=("step_rule", ("phasic",)),
    )  # fmt: skip
    beta_clone: float = key(
        1.0,
        "Coefficient of the mean KL(before||pi) from the policy before an auxiliary phase, added to the mean "
        "value errors (V_aux - target)^2 / 2 and (V - target)^2 / 2; with network.shared=true V is V_aux.",
        ge=0, cohort=True, used_by=("step_rule", ("phasic",)),
    )  # fmt: skip
    entropy_coef: float = key(
        0.0, "Coefficient of the policy's entropy in the objective.", cohort=True,
        used_by=("step_rule", ("sgd", "phasic")),
    )  # fmt: skip
    value_coef: float = key(
        0.5, "Coefficient of the value loss mean (V - target)^2, which has no factor 1/2.", ge=0, cohort=True
    )
    value_clip: float | None = key(
        None, "Clip range of the value function around its prediction at the start of the update; null: off.",
        gt=0,
    )  # fmt: skip
    max_grad_norm: float | None = key(
        0.5, "Maximum joint gradient norm of actor and critic, by rescaling; null: unlimited.", gt=0,
        cohort=True,
    )  # fmt: skip
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
        choices=("minibatch_k3", "epoch_exact"), used_by=("step_rule", ("sgd", "phasic")),
    )  # fmt: skip
