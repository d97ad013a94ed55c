"""Results that enter a run's digests, computed by torch, numpy or kernels in C, for `cpu_operations.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from cpu_inputs import (
    CONFIG,
    EVERY_SIZE,
    FAMILIES,
    RUNS,
    hyper,
    moments_of,
    numbers,
    policies,
    positive,
    rollout,
)
from torch import Tensor

from rlcli.kernels import draws as c_draws
from rlcli.kernels import elementary as c_elementary
from rlcli.kernels import figures as c_figures
from rlcli.learner import draws, prepare, table
from rlcli.learner.algorithm import Improvement, Losses
from rlcli.learner.figures import step_figures
from rlcli.learner.optimisers import OPTIMISERS, clip_by_norm_
from rlcli.learner.penalty import Penalty, constant
from rlcli.learner.state import OptimiserState
from rlcli.maths import health, importance, importance_gradients, natural, path, segments, surrogates
from rlcli.nets.network import Heads
from rlcli.nets.observations import Encoder
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP


def estimates(name: str, entries: Any) -> Iterator[Tensor]:
    """Advantages and targets by one entry of a table of estimators."""
    algo = replace(CONFIG.algo, n_step=5, surrogate="score")
    for runs, samples in EVERY_SIZE:
        given = hyper(runs)
        caps = {name: torch.ones(runs, 1) for name in ("rho_bar", "c_bar")}
        named = SimpleNamespace(gamma=given.gamma, gae_lambda=given.gae_lambda, **caps)
        yield from entries[name](algo, named, rollout(runs, samples))


def over_sizes(function: Callable[[Tensor], Any], dtype: torch.dtype = torch.float32) -> Iterator[Tensor]:
    """A function of [R, B]."""
    for size in EVERY_SIZE:
        found = function(numbers(*size, dtype=dtype))
        yield from (found if isinstance(found, tuple) else (found,))


def advanced(function: Any) -> Iterator[Tensor]:
    """Moments after samples."""
    for runs, samples in EVERY_SIZE:
        for width in (1, 4, 17):
            yield from function(moments_of(runs, width), numbers(runs, samples, width, seed=2))


def encoded(function: Any) -> Iterator[Tensor]:
    """Whitened observations."""
    for runs, samples in EVERY_SIZE:
        for width in (1, 4, 17):
            encoder = Encoder("box", width, normalize=True)
            yield function(encoder, numbers(runs, samples, width, seed=2), moments_of(runs, width))


def encoded_on_host() -> Iterator[np.ndarray[Any, Any]]:
    """Whitened observations, by numpy."""
    for width in (1, 4, 17):
        whitened = Encoder("box", width, normalize=True).on_host(moments_of(3, width))
        yield whitened(numbers(3, 8, width, seed=2).numpy())


def rewards(function: Any) -> Iterator[Tensor]:
    """Scaled rewards."""
    config = SimpleNamespace(
        algo=SimpleNamespace(reward_clip=None), env=SimpleNamespace(normalize_reward=True)
    )
    for runs, samples in [*EVERY_SIZE, (500, 3)]:
        yield function(config, moments_of(runs, 1), numbers(samples, runs, 8, dtype=torch.float64))


def returns(function: Any) -> Iterator[Tensor]:
    """Discounted returns."""
    for runs, samples in EVERY_SIZE:
        given = rollout(runs, samples)
        carried = numbers(runs, 3, seed=9, dtype=torch.float64)
        gamma = hyper(runs).gamma.double()
        yield from function(given.rewards.double(), given.terminated, gamma, carried)


def steps(name: str) -> Iterator[Tensor]:
    """What a gradient step takes from distributions."""
    for one, other, actions in policies(name, torch.float32):
        log_prob = one.log_prob(actions)
        yield log_prob
        yield one.entropy()
        yield one.kl(other)
        for pulled in (
            one.pullback(actions, log_prob, log_prob),
            one.pullback_kl_from(other, log_prob),
            one.pullback_kl_to(other, log_prob),
            one.fisher(*other.outputs),
        ):
            yield from pulled


def figures(name: str) -> Iterator[Tensor]:
    """Health of one policy against another, with weights and without."""
    for one, other, actions in policies(name, torch.float64):
        log_ratio = one.log_prob(actions) - other.log_prob(actions)
        advantages = numbers(*log_ratio.shape, dtype=torch.float64)
        clip = torch.full((len(log_ratio), 1), 0.2, dtype=torch.float64)
        for weights in (None, positive(*log_ratio.shape, dtype=torch.float64)):
            yield from health.health(other, one, log_ratio, weights).values()
            yield from health.clip_figures(log_ratio, advantages, clip, weights).values()


def surrogate_terms() -> Iterator[Tensor]:
    """Objectives and value losses."""
    for size in EVERY_SIZE:
        ratio, advantages = (numbers(*size) / 4.0).exp(), numbers(*size, seed=1)
        yield ratio
        for found in (
            surrogates.clipped(ratio, advantages, torch.tensor(0.2)),
            surrogates.importance_ratio(ratio, advantages),
            surrogates.clipped_value_loss(ratio, advantages, numbers(*size, seed=2), 0.2),
        ):
            yield from found


def clipped_gradients() -> Iterator[Tensor]:
    """Gradients and their norms."""
    for runs in RUNS:
        for width in (9, 4610, 9155):
            yield from clip_by_norm_(numbers(runs, width), torch.full((runs, 1), 0.5))


def optimised(name: str) -> Iterator[Tensor]:
    """Three steps."""
    for runs in RUNS:
        for width in (9, 4610):
            state = OptimiserState(numbers(runs, width), positive(runs, width), torch.full((runs,), 5.0))
            rule = OPTIMISERS[name](numbers(runs, width, seed=1), state, hyper(runs), 3)
            for seed in (2, 3, 4):
                rule.step(numbers(runs, width, seed=seed))
            yield from (rule.parameters, *rule.state())


def networks() -> Iterator[Tensor]:
    """Outputs and gradients."""
    for activation in ("tanh", "relu"):
        layout = Layout(4, (64, 64), 2, 0, activation, False)
        network = MLP(layout, Encoder("box", 4, normalize=False))
        for runs, samples in EVERY_SIZE:
            parameters = numbers(runs, layout.size) / 8.0
            linear = network.linearise(parameters, numbers(runs, samples, 4))
            heads = linear.heads
            yield from (heads.output, heads.value)
            yield linear.vjp(Heads(heads.output.cos(), heads.free, heads.value.cos()))


def of_steps() -> Iterator[Tensor]:
    """Losses, norms and counts of the steps of an update."""
    algorithm = table.algorithm(CONFIG)
    for runs in RUNS:
        for count in (3, 16, 320):
            given = [numbers(count, runs, seed=seed) for seed in range(6)]
            improvement = Improvement(
                torch.zeros(runs, 1), OptimiserState(*[torch.zeros(runs, 1)] * 3), Losses(*given[:5]),
                given[5].abs(), given[5] > -3.0, [torch.ones(runs, dtype=torch.bool)] * 4, {},
            )  # fmt: skip
            spent = positive(runs, dtype=torch.float64)
            yield from step_figures(algorithm, [CONFIG] * runs, hyper(runs), improvement, spent).values()


def penalties() -> Iterator[Tensor]:
    """Coefficients of an adaptive penalty."""
    penalty = Penalty(False, constant, True)
    for runs in RUNS:
        factor = positive(runs, dtype=torch.float64)
        yield penalty.coefficients([CONFIG] * runs, [3] * runs, hyper(runs), factor)
        yield penalty.adapted(hyper(runs), factor, positive(runs, seed=1, dtype=torch.float64))


def conjugate() -> Iterator[Tensor]:
    """A step of the natural gradient for a diagonal matrix."""
    for runs, width in ((1, 4610), (3, 4610), (500, 9)):
        gradient = numbers(runs, width, dtype=torch.float64)
        diagonal = positive(runs, width, seed=1, dtype=torch.float64)
        given = [torch.full((runs, 1), value, dtype=torch.float64) for value in (0.01, 0.1, 1e-10)]
        found = natural.natural_step(gradient, lambda v, d=diagonal: d * v, *given[:2], 10, given[2])
        yield from found


def weighted() -> Iterator[Tensor]:
    """Coefficients of weighted surrogates, and their figures."""
    for kind in importance.KINDS:
        given = rollout(3, 100)
        parts = segments.segments(given.terminated | given.truncated)
        ratios, gamma = given.log_rhos.double(), hyper(3).gamma.double()
        weights = importance.importance_weights(kind, ratios, parts, None, kind != "none")
        yield importance_gradients.gradient_coefficients(
            weights, given.rewards.double(), given.values.double(), gamma, None, discount_states=True
        )
        yield from importance.weight_figures(weights).values()
        yield path.mean_log_weights(ratios, ratios.roll(1, 0))


def noise() -> Iterator[Tensor]:
    """What actions are drawn with."""
    for families in FAMILIES.values():
        for family in families:
            yield family.noise((128, 8), torch.Generator().manual_seed(7))


def initial() -> Iterator[Tensor]:
    """Parameters before the first update."""
    layout = Layout(4, (64, 64), 2, 0, "tanh", False)
    network = MLP(layout, Encoder("box", 4, normalize=False))
    yield network.initial(torch.Generator().manual_seed(7))


def on_host(*functions: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Functions of numpy over both precisions, contiguous and not."""
    for dtype in (torch.float32, torch.float64):
        values = numbers(40, 9, dtype=dtype).numpy()
        for function in functions:
            yield function(values)
            yield function(values[:, ::2])


def in_c_elementary(*names: str) -> Iterator[np.ndarray[Any, Any]]:
    """Elementary functions, by kernels."""
    for dtype in (torch.float32, torch.float64):
        for name in names:
            yield c_elementary.elementary(name, positive(1000, dtype=dtype).numpy())


def orders() -> Iterator[Tensor]:
    """Of samples, by torch."""
    yield draws.permutation([1, 2], [3, 4], 0, 1024)


def orders_in_c() -> Iterator[Tensor]:
    """Of samples, by kernels."""
    yield c_draws.permutation([1, 2], [3, 4], 0, 1024)


def k3(values: Tensor) -> Tensor:
    """The estimator that minibatches stop by."""
    return (torch.expm1(values) - values).mean(-1)


def lagged(values: Tensor) -> Tensor:
    """Weights of samples under lag."""
    runs = hyper(len(values))
    one, other = (SimpleNamespace(log_prob=each) for each in (values, values.roll(1, -1)))
    return prepare._weights(torch.exp, runs, one, other)  # type: ignore[arg-type] -- log_prob is all it reads


def lagged_in_c(values: Tensor) -> Tensor:
    """These, by kernels."""
    return c_elementary.exp(values - values.roll(1, -1))


def explained(values: Tensor) -> Tensor:
    """Explained variance."""
    return health.explained_variance(values, values.roll(1, -1))


def explained_in_c(values: Tensor) -> Tensor:
    """This, by kernels."""
    return c_figures.explained_variance(values, values.roll(1, -1))


def mean(values: Tensor) -> Tensor:
    """Over samples."""
    return values.mean(-1)


def total(values: Tensor) -> Tensor:
    """Over samples or parameters."""
    return values.sum(-1)
