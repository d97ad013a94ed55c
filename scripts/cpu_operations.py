"""The operations whose results enter a run's digests, by what they are computed with: torch, numpy, or C.

Inputs are drawn without functions that depend on a processor, and use every digit: sums of short numbers would
be exact in any order. Sizes end within and beyond vectors of every width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlcli.config.compose import compose
from rlcli.kernels import draws as c_draws
from rlcli.kernels import elementary as c_elementary
from rlcli.kernels import estimators as c_estimators
from rlcli.kernels import moments as c_moments
from rlcli.kernels import reductions as c_reductions
from rlcli.kernels import whiten as c_whiten
from rlcli.learner import draws, prepare, statistics, table
from rlcli.learner.algorithm import Improvement, Losses
from rlcli.learner.batch import Transitions
from rlcli.learner.figures import step_figures
from rlcli.learner.hyperparameters import hyperparameters
from rlcli.learner.optimisers import OPTIMISERS, clip_by_norm_
from rlcli.learner.penalty import Penalty, constant
from rlcli.learner.state import OptimiserState
from rlcli.maths import estimators, health, importance, natural, path, surrogates
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.network import Heads
from rlcli.nets.observations import Encoder, Moments, advance
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP

SAMPLES = (7, 100, 1024)
RUNS = (1, 3)
EVERY_SIZE = [(runs, samples) for runs in RUNS for samples in SAMPLES]
FAMILIES = {
    "categorical": (CategoricalFamily(2), CategoricalFamily(18)),
    "Gaussian": (GaussianFamily(1), GaussianFamily(6)),
    "multi-categorical": (MultiCategoricalFamily((2, 3, 5)),),
    "Bernoulli": (BernoulliFamily(5),),
}
CONFIG = compose([]).config
Outcome = Iterable[Tensor | np.ndarray[Any, Any]]


class Operation(NamedTuple):
    """One thing that is computed."""

    group: str
    name: str
    where: str
    """The function, below rlcli/."""
    run: Callable[[], Outcome]
    in_c: Callable[[], Outcome] | None = None
    """The same in C, where there is a kernel."""
    promised: bool = True
    """Whether a run that trains in C is to be the same on every processor."""


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """In [-4, 4)."""
    drawn = np.random.Generator(np.random.PCG64(seed)).random(shape)
    return torch.from_numpy(8.0 * drawn - 4.0).to(dtype)


def positive(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """In [0.125, 4.125]."""
    return numbers(*shape, seed=seed, dtype=dtype).abs() + 0.125


def hyper(runs: int) -> Any:
    """Hyperparameters as runs have them."""
    return hyperparameters([CONFIG] * runs, [3] * runs, "cpu")


def rollout(runs: int, samples: int) -> Transitions:
    """Rewards, values and ends of as many steps of 3 environments."""
    shape = samples, runs, 3
    fields = [numbers(*shape, seed=seed) for seed in range(3)]
    ends = [numbers(*shape, seed=seed) > 3.5 for seed in (3, 4)]
    return Transitions(*fields, *ends, numbers(*shape, seed=5) / 8.0)


def estimates(name: str, entries: Any) -> Iterator[Tensor]:
    """Advantages and targets by one entry of a table of estimators."""
    algo = SimpleNamespace(n_step=5, surrogate="score")
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


def moments_of(runs: int, width: int) -> Moments:
    """Moments of something."""
    double = torch.float64
    return Moments(
        torch.full((runs,), 100.0, dtype=double),
        numbers(runs, width, dtype=double),
        positive(runs, width, seed=1, dtype=double),
    )


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
    for width in (1, 4, 17):
        whitened = Encoder("box", width, normalize=True).on_host(moments_of(3, width))
        yield whitened(numbers(3, 8, width, seed=2).numpy())


def rewards(function: Any) -> Iterator[Tensor]:
    config = SimpleNamespace(
        algo=SimpleNamespace(reward_clip=None), env=SimpleNamespace(normalize_reward=True)
    )
    for runs, samples in [*EVERY_SIZE, (500, 3)]:
        yield function(config, moments_of(runs, 1), numbers(samples, runs, 8, dtype=torch.float64))


def returns(function: Any) -> Iterator[Tensor]:
    for runs, samples in EVERY_SIZE:
        given = rollout(runs, samples)
        carried = numbers(runs, 3, seed=9, dtype=torch.float64)
        gamma = hyper(runs).gamma.double()
        yield from function(given.rewards.double(), given.terminated, gamma, carried)


def policies(name: str, dtype: torch.dtype) -> Iterator[tuple[Any, Any, Tensor]]:
    """Two policies of a family, and actions [R, B, ...]."""
    for family in FAMILIES[name]:
        for runs, samples in EVERY_SIZE:
            shape = runs, samples, family.output_width
            one, other = (
                family.distribution(
                    numbers(*shape, seed=seed, dtype=dtype),
                    numbers(runs, 1, family.free_width, seed=seed + 2, dtype=dtype) / 8.0,
                )
                for seed in (0, 1)
            )
            yield one, other, taken(name, family, one.outputs[0])


def taken(name: str, family: Any, outputs: Tensor) -> Tensor:
    """Actions that fit a family."""
    if name == "categorical":
        return outputs.argmin(-1)
    if name == "Gaussian":
        return outputs.float().roll(1, 1)
    if name == "multi-categorical":
        return torch.zeros(*outputs.shape[:2], len(family.sizes), dtype=torch.int64)
    return (outputs > 0).to(torch.int64)


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
        advantages, clip = numbers(*log_ratio.shape, dtype=torch.float64), torch.tensor(0.2).double()
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


def of_steps_in_c() -> Iterator[Tensor]:
    for runs in RUNS:
        for count in (3, 16, 320):
            figures = numbers(count, runs, 6, dtype=torch.float64)
            yield from c_reductions.step_means(figures, numbers(count, runs, seed=5) > -3.0)


def penalties() -> Iterator[Tensor]:
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
    for kind in importance.KINDS:
        given = rollout(3, 100)
        parts = importance.segments(given.terminated | given.truncated)
        ratios, gamma = given.log_rhos.double(), hyper(3).gamma.double()
        weights = importance.importance_weights(kind, ratios, parts, None, kind != "none")
        yield importance.gradient_coefficients(
            weights, given.rewards.double(), given.values.double(), gamma, None, discount_states=True
        )
        yield from importance.weight_figures(weights).values()
        yield path.mean_log_weights(ratios, ratios.roll(1, 0))


def noise() -> Iterator[Tensor]:
    for families in FAMILIES.values():
        for family in families:
            yield family.noise((128, 8), torch.Generator().manual_seed(7))


def initial() -> Iterator[Tensor]:
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
    for dtype in (torch.float32, torch.float64):
        for name in names:
            yield c_elementary.elementary(name, positive(1000, dtype=dtype).numpy())


def orders(module: Any) -> Iterator[Tensor]:
    yield module.permutation([1, 2], [3, 4], 0, 1024)


def _k3(values: Tensor) -> Tensor:
    return (torch.expm1(values) - values).mean(-1)


def _lagged(values: Tensor) -> Tensor:
    runs = hyper(len(values))
    one, other = (SimpleNamespace(log_prob=each) for each in (values, values.roll(1, -1)))
    return prepare._weights(runs, one, other)  # type: ignore[arg-type] -- log_prob is all it reads


def _lagged_in_c(values: Tensor) -> Tensor:
    return c_reductions.capped_ratios(values, values.roll(1, -1), torch.full((len(values), 1), 2.0))


def _explained(values: Tensor) -> Tensor:
    return health.explained_variance(values, values.roll(1, -1))


def _mean(values: Tensor) -> Tensor:
    return values.mean(-1)


def _sum(values: Tensor) -> Tensor:
    return values.sum(-1)


def of(name: str, *arguments: Any) -> Callable[[], Outcome]:
    """A call of a function of this file, later."""
    return lambda: globals()[name](*arguments)


DOUBLE = torch.float64
OPERATIONS = (
    Operation("collecting", "action noise", "maths/distributions.py", noise),
    Operation("collecting", "initial parameters", "nets/stacked/layout.py", initial),
    Operation("collecting", "whitened observations (numpy)", "nets/observations.py", encoded_on_host),
    Operation("collecting", "sin, cos (numpy)", "envs/array/", of("on_host", np.sin, np.cos)),
    Operation("collecting", "tanh, exp (numpy)", "nets/stacked/mlp.py", of("on_host", np.tanh, np.exp)),
    Operation("collecting", "mean returns (numpy)", "backends/native.py", of("on_host", np.mean)),
    Operation("estimates", "scaled rewards", "learner/statistics.py",
              of("rewards", statistics.scaled_rewards), of("rewards", c_moments.scaled_rewards)),
    *(
        Operation("estimates", name, "maths/estimators.py", of("estimates", name, table.TARGETS),
                  of("estimates", name, c_estimators.TARGETS))
        for name in table.TARGETS
    ),
    Operation("estimates", "whitened advantages", "maths/estimators.py",
              of("over_sizes", estimators.whiten), of("over_sizes", c_whiten.whiten)),
    Operation("estimates", "weights under lag", "learner/prepare.py", of("over_sizes", _lagged),
              of("over_sizes", _lagged_in_c)),
    Operation("estimates", "weighted surrogates", "maths/importance.py, maths/path.py", weighted,
              promised=False),
    Operation("gradient steps", "order of samples", "learner/draws.py", of("orders", draws),
              of("orders", c_draws)),
    Operation("gradient steps", "network, outputs and gradients", "nets/stacked/", networks),
    *(
        Operation("gradient steps", f"{name}: log-probability, entropy, KL, slopes", "maths/", of("steps", name))
        for name in FAMILIES
    ),
    Operation("gradient steps", "surrogates and value losses", "maths/surrogates.py", surrogate_terms),
    Operation("gradient steps", "mean losses", "learner/sgd.py", of("over_sizes", _mean),
              of("over_sizes", c_reductions.means)),
    Operation("gradient steps", "k3", "learner/sgd.py", of("over_sizes", _k3)),
    Operation("gradient steps", "clipping by norm", "learner/optimisers.py", clipped_gradients),
    *(
        Operation("gradient steps", name, "learner/optimisers.py", of("optimised", name))
        for name in OPTIMISERS
    ),
    Operation("gradient steps", "natural step", "maths/natural.py", conjugate),
    *(
        Operation("figures", f"{name}: health", "maths/health.py", of("figures", name)) for name in FAMILIES
    ),
    Operation("figures", "explained variance", "maths/health.py", of("over_sizes", _explained, DOUBLE)),
    Operation("figures", "means over samples, gains", "learner/measure.py", of("over_sizes", _mean, DOUBLE),
              of("over_sizes", c_reductions.means, DOUBLE)),
    Operation("figures", "sums over parameters", "learner/measure.py", of("over_sizes", _sum, DOUBLE)),
    Operation("figures", "sums over gradient steps", "learner/figures.py", of_steps, of_steps_in_c),
    Operation("figures", "clip budget", "maths/surrogates.py",
              lambda: over_sizes(lambda x: surrogates.clip_budget(x / 8.0), DOUBLE),
              lambda: over_sizes(lambda x: c_reductions.clip_budget(x / 8.0), DOUBLE)),
    Operation("statistics", "moments", "nets/observations.py", of("advanced", advance),
              of("advanced", c_moments.advance)),
    Operation("statistics", "whitened observations", "nets/observations.py",
              of("encoded", Encoder.encode), of("encoded", c_moments.encode)),
    Operation("statistics", "discounted returns", "maths/estimators.py",
              of("returns", estimators.discounted_returns), of("returns", c_estimators.discounted_returns)),
    Operation("statistics", "adaptive penalty", "learner/penalty.py", penalties),
    Operation("elements", "add, subtract, multiply, divide", "", lambda: over_sizes(
              lambda x: (x + x.roll(1), x - x.roll(1), x * x.roll(1), x / x.roll(1).abs().add(1.0)))),
    Operation("elements", "square root", "", lambda: over_sizes(lambda x: x.abs().sqrt())),
    Operation("elements", "reciprocal of the root", "", lambda: over_sizes(lambda x: x.abs().rsqrt())),
    Operation("elements", "addcmul", "", lambda: over_sizes(lambda x: torch.addcmul(x, x.roll(1), x.roll(2)))),
    Operation("elements", "lerp", "", lambda: over_sizes(lambda x: torch.lerp(x, x.roll(1), 0.1))),
    Operation("elements", "power", "", lambda: over_sizes(lambda x: x.abs() ** 0.9, DOUBLE)),
    Operation("elements", "exp, expm1", "", lambda: over_sizes(lambda x: (x.exp(), x.expm1())),
              of("in_c_elementary", "exp", "expm1")),
    Operation("elements", "log, log1p", "", lambda: over_sizes(lambda x: (x.abs().log(), x.abs().log1p())),
              of("in_c_elementary", "log", "log1p")),
    Operation("elements", "tanh", "", lambda: over_sizes(torch.tanh), of("in_c_elementary", "tanh")),
    Operation("elements", "erf", "", lambda: over_sizes(torch.erf), of("in_c_elementary", "erf")),
)  # fmt: skip
