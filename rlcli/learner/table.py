"""The algorithm table: what each name in a config stands for. A new formula is one function and one entry.

A surrogate that returns its values alone, without their slope, is differentiated automatically.
Shapes: T time, R runs, N environments of one run, B samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.run import RunConfig
from rlcli.extend.tables import ALGORITHMS
from rlcli.learner import comparison
from rlcli.learner.algorithm import Algorithm, Budget, ClipRange, StepRule, Surrogate
from rlcli.learner.batch import Transitions
from rlcli.learner.critic import fit
from rlcli.learner.draws import permutation
from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.mask import Mask
from rlcli.learner.objective import objective_gradient
from rlcli.learner.operations import Operations
from rlcli.learner.optimisers import OPTIMISERS
from rlcli.learner.own_algorithm import less, own_formula, own_step_rule, own_targets
from rlcli.learner.penalty import Penalty, Schedule, constant, inverse, linear
from rlcli.learner.ppg import ppg
from rlcli.learner.sgd import TorchDescent, sgd
from rlcli.learner.statistics import scaled_rewards
from rlcli.learner.trust_region import trust_region
from rlcli.learner.weighting import Weighting, WeightingChoices
from rlcli.maths import estimators, surrogates
from rlcli.maths.differentiate import derivative, outside
from rlcli.maths.products import times
from rlcli.maths.surrogates import Objective, clip_budget, clip_budget_apart, tv_budget
from rlcli.nets.observations import advance

Estimate = Callable[[AlgoConfig, Hyperparameters, Transitions], tuple[Tensor, Tensor]]
Formula = Callable[[Tensor, Tensor, Tensor, Hyperparameters], Objective | Tensor]
"""As `Surrogate`, or the values of the objective alone."""


def algorithm(config: RunConfig, *, in_c: bool = False) -> Algorithm:
    """The row of functions that a config names; `in_c`: those of the kernels."""
    algo = config.algo
    return Algorithm(
        targets=partial(_targets_in_c(algo.targets) if in_c else _targets(algo.targets), algo),
        surrogate=_surrogate(algo),
        weighting=_weighting(algo) if algo.surrogate == "weighted" else None,
        penalty=_penalty(algo),
        mask=Mask(algo.dppo_divergence == "tv") if algo.surrogate == "dppo" else None,
        step_rule=_step_rule(algo.step_rule),
        optimiser=OPTIMISERS[algo.optimiser],
        operations=_in_c(algo) if in_c else TORCH,
        budget=_budget(algo, in_c=in_c),
        clip_range=_clip_range(algo),
        adapts_rate=algo.learning_rate_schedule == "adaptive_kl",
        from_behaviour=algo.anchor == "behaviour",
        whitens_batch=algo.normalize_advantage == "batch",
        whitens_minibatches=algo.normalize_advantage == "minibatch",
        sums_losses=algo.loss_reduction == "sum",
        recomputes=algo.recompute == "epoch",
        stops_by_epoch=algo.target_kl_rule == "epoch_exact",
        whole_sequences=algo.minibatch_of == "sequences",
        fisher=algo.metric == "fisher",
        moves_apart=algo.step_rule in ("natural", "phasic"),
        has_phases=algo.step_rule == "phasic",
    )


def _surrogate(algo: AlgoConfig) -> Surrogate:
    """The objective, less a penalty of the user's own."""
    own = algo.surrogate in ALGORITHMS
    formula = own_formula(algo.surrogate, "surrogate") if own else _formula(algo)
    surrogate = with_slope(formula)
    if algo.penalty not in ALGORITHMS:
        return surrogate
    penalty = with_slope(own_formula(algo.penalty, "penalty"))
    return lambda *given: less(surrogate(*given), penalty(*given))


def _targets(name: str) -> Estimate:
    return own_targets(name) if name in ALGORITHMS else TARGETS[name]


def _step_rule(name: str) -> StepRule:
    return own_step_rule(name) if name in ALGORITHMS else STEP_RULES[name]


def _targets_in_c(name: str) -> Estimate:
    from rlcli.kernels import estimators

    return {
        "gae": estimators.gae,
        "nstep": estimators.nstep,
        "monte_carlo": estimators.monte_carlo,
        "vtrace": estimators.vtrace,
    }[name]


def _in_c(algo: AlgoConfig) -> Operations:
    from rlcli.kernels import draws, estimators, learn, moments, whiten
    from rlcli.learner import kernel, kernel_comparison

    surrogates = {"clipped": learn.CLIPPED, "ratio": learn.RATIO, "score": learn.SCORE, "spo": learn.SPO}
    optimisers = {"adam": learn.ADAM, "rmsprop": learn.RMSPROP, "sgd": learn.SGD}
    codes = kernel.Codes(surrogates[algo.surrogate], optimisers[algo.optimiser])
    return Operations(
        partial(kernel.KernelDescent, codes),
        partial(kernel.fit, codes),
        whiten.whiten,
        moments.advance,
        estimators.discounted_returns,
        moments.scaled_rewards,
        draws.permutation,
        kernel_comparison.comparison(codes.surrogate),
        partial(kernel.objective_gradient, codes),
        kernel.root,
        exact_rows=True,
    )


def with_slope(formula: Formula) -> Surrogate:
    """A surrogate with the slope by log pi(a|s) that its formula gives, or else an automatic one."""

    def surrogate(
        log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters
    ) -> Objective:
        found = formula(log_prob, log_anchor, advantages, hyper)
        if isinstance(found, Objective):
            return found
        given = outside(log_anchor), outside(advantages), hyper.map(outside)

        def values(moving: Tensor) -> Tensor:
            value = formula(moving, *given)
            assert isinstance(value, Tensor)
            return value

        return Objective(found, derivative(values, log_prob))

    return surrogate


def _gae(_: AlgoConfig, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
    advantages = estimators.gae(*transitions.on_policy, hyper.gamma, hyper.gae_lambda)
    return advantages, advantages + transitions.values


def _nstep(algo: AlgoConfig, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
    advantages = estimators.nstep(*transitions.on_policy, hyper.gamma, algo.n_step)
    return advantages, advantages + transitions.values


def _monte_carlo(_: AlgoConfig, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
    returns = estimators.monte_carlo(*transitions.on_policy, hyper.gamma)
    return returns - transitions.values, returns


def _vtrace(algo: AlgoConfig, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
    found = estimators.vtrace(
        transitions.log_rhos,
        *transitions.on_policy,
        hyper.gamma,
        hyper.gae_lambda,
        hyper.rho_bar,
        hyper.c_bar,
        None if algo.rho_bar_pg is None else torch.full_like(hyper.rho_bar, algo.rho_bar_pg),
        mixes=algo.vtrace_bootstrap == "lambda_mix",
    )
    # A ratio surrogate brings the ratio itself; the score function has it from its advantage.
    advantages = found.ratios * found.advantages if algo.surrogate == "score" else found.advantages
    return advantages, found.targets


def _retrace(algo: AlgoConfig, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
    targets = estimators.retrace(
        transitions.log_rhos,
        transitions.rewards,
        transitions.predictions,
        transitions.next_values,
        transitions.terminated,
        transitions.truncated,
        hyper.gamma,
        hyper.gae_lambda,
    )
    action_values = targets if algo.retrace_advantage == "return" else transitions.predictions
    advantages = action_values - transitions.values
    if algo.surrogate == "score":
        ratios = transitions.log_rhos.exp()
        if algo.rho_bar_pg is not None:
            ratios = estimators.capped(ratios, torch.full_like(hyper.gamma, algo.rho_bar_pg))
        advantages = times(ratios, advantages)
    return advantages, targets


def _clipped(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Objective:
    return surrogates.clipped((log_prob - log_anchor).exp(), advantages, hyper.clip)


def _clipped_apart(
    algo: AlgoConfig, log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters
) -> Objective:
    ratio, dual = (log_prob - log_anchor).exp(), algo.clip_dual or torch.inf
    return surrogates.clipped_apart(ratio, advantages, hyper.clip, _clip_high(algo, hyper), dual)


def _spo(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Objective:
    return surrogates.penalised_ratio((log_prob - log_anchor).exp(), advantages, hyper.clip)


def _cispo(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Objective:
    return surrogates.weighted_score(log_prob - log_anchor, advantages, hyper.clip)


def _cispo_apart(
    algo: AlgoConfig, log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters
) -> Objective:
    return surrogates.weighted_score(log_prob - log_anchor, advantages, _clip_high(algo, hyper))


def _clip_high(algo: AlgoConfig, hyper: Hyperparameters) -> Tensor:
    return hyper.clip if algo.clip_high is None else torch.full_like(hyper.clip, algo.clip_high)


def _ratio(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, _: Hyperparameters) -> Objective:
    return surrogates.importance_ratio((log_prob - log_anchor).exp(), advantages)


def _score(log_prob: Tensor, _: Tensor, advantages: Tensor, __: Hyperparameters) -> Objective:
    return surrogates.score(log_prob, advantages)


def _formula(algo: AlgoConfig) -> Formula:
    """The formula of a name; another where the range has an upper end or a floor of its own."""
    if algo.surrogate not in APART or (algo.clip_high is None and algo.clip_dual is None):
        return SURROGATES[algo.surrogate]
    return partial(APART[algo.surrogate], algo)


def _clip_range(algo: AlgoConfig) -> ClipRange | None:
    """Within which ratios a surrogate gains; cispo's weights are clipped, not its gains."""
    if algo.surrogate not in ("clipped", "spo"):
        return None
    if algo.surrogate == "spo" or algo.clip_high is None:
        return lambda hyper: hyper.clip
    return lambda hyper: torch.cat((hyper.clip, _clip_high(algo, hyper)), -1)


def _weighting(algo: AlgoConfig) -> Callable[..., Weighting]:
    choices = WeightingChoices(
        algo.weights,
        unweighted=algo.weights == "none",
        self_normalised=algo.self_normalise,
        baseline=algo.baseline == "value",
        discount_states=algo.discount_states,
    )
    return partial(Weighting, choices)


def _penalty(algo: AlgoConfig) -> Penalty | None:
    if algo.penalty == "none" or algo.penalty in ALGORITHMS:
        return None
    schedule, adapts = BETA_SCHEDULES[algo.beta_schedule], algo.beta_schedule == "adaptive"
    return Penalty(algo.penalty == "kl_pi_anchor", schedule, adapts)


def _budget(algo: AlgoConfig, *, in_c: bool) -> Budget:
    """The KL that the row declares, else `health.kl_reference`."""
    if algo.step_rule == "natural":
        return lambda _, hyper: hyper.delta.squeeze(-1).double()
    if algo.surrogate in ("clipped", "spo"):
        if algo.surrogate == "clipped" and algo.clip_high is not None:
            return lambda _, hyper: _budget_apart(hyper.clip, _clip_high(algo, hyper))
        budget = _clip_budget(in_c=in_c)
        return lambda _, hyper: budget(hyper.clip)
    if algo.surrogate == "dppo":
        if algo.dppo_divergence == "tv":
            return lambda _, hyper: tv_budget(hyper.exact("dppo_threshold"))
        return lambda _, hyper: hyper.exact("dppo_threshold")
    if _penalty(algo) is not None and algo.beta_schedule == "adaptive":
        return lambda _, hyper: hyper.exact("kl_target")
    return _reference


def _budget_apart(clip: Tensor, clip_high: Tensor) -> Tensor:
    return clip_budget_apart(clip.squeeze(-1).double(), clip_high.squeeze(-1).double())


def _clip_budget(*, in_c: bool) -> Callable[[Tensor], Tensor]:
    if not in_c:
        return lambda clip: clip_budget(clip.squeeze(-1).double())
    from rlcli.kernels import figures

    return figures.clip_budget


def _reference(configs: Sequence[RunConfig], hyper: Hyperparameters) -> Tensor:
    return torch.full_like(hyper.exact("gamma"), configs[0].health.kl_reference)


TARGETS: dict[str, Estimate] = {
    "gae": _gae, "nstep": _nstep, "monte_carlo": _monte_carlo, "vtrace": _vtrace, "retrace": _retrace,
}  # fmt: skip
SURROGATES: dict[str, Formula] = {
    "clipped": _clipped,
    "ratio": _ratio,
    "score": _score,
    "weighted": _score,  # of coefficients in place of advantages: weighting.py
    "spo": _spo,
    "dppo": _ratio,  # without the gradients that its mask drops: mask.py
    "cispo": _cispo,
}
APART: dict[str, Callable[..., Objective]] = {"clipped": _clipped_apart, "cispo": _cispo_apart}
"""Of a clip range whose ends differ, and a floor; they take the config first."""
TORCH = Operations(
    TorchDescent,
    fit,
    estimators.whiten,
    advance,
    estimators.discounted_returns,
    scaled_rewards,
    permutation,
    comparison.TORCH,
    objective_gradient,
    torch.sqrt,
    exact_rows=False,
)
STEP_RULES: dict[str, StepRule] = {"sgd": sgd, "natural": trust_region, "phasic": ppg}
BETA_SCHEDULES: dict[str, Schedule] = {
    "constant": constant, "adaptive": constant, "linear": linear, "inverse": inverse,
}  # fmt: skip
