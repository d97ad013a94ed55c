"""The operations whose results enter a run's digests, and the kernels in C that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cpu_results as results
import numpy as np
import torch
from cpu_inputs import FAMILIES
from cpu_results import over_sizes
from torch import Tensor

from rlcli.kernels import estimators as c_estimators
from rlcli.kernels import moments as c_moments
from rlcli.kernels import steps as c_steps
from rlcli.kernels import whiten as c_whiten
from rlcli.learner import statistics, table
from rlcli.learner.optimisers import OPTIMISERS
from rlcli.maths import estimators, surrogates
from rlcli.nets.observations import Encoder, advance

Outcome = Iterable[Tensor | np.ndarray[Any, Any]]
Call = Callable[[], Outcome]
DOUBLE = torch.float64


class Operation(NamedTuple):
    """One thing that is computed."""

    name: str
    where: str
    """The file, below rlcli/."""
    run: Call
    in_c: Call | None = None
    """The same in C, where there is a kernel."""
    promised: bool = True
    """Whether a run that trains in C is to be the same on every processor."""


def of(function: Callable[..., Outcome], *arguments: Any) -> Call:
    """A call of a function, later."""
    return lambda: function(*arguments)


COLLECTING = (
    Operation("action noise", "maths/distributions.py", results.noise),
    Operation("initial parameters", "nets/stacked/layout.py", results.initial),
    Operation("whitened observations (numpy)", "nets/observations.py", results.encoded_on_host),
    Operation("sin, cos (numpy)", "envs/array/", of(results.on_host, np.sin, np.cos)),
    Operation("tanh, exp (numpy)", "nets/stacked/mlp.py", of(results.on_host, np.tanh, np.exp)),
    Operation("mean returns (numpy)", "backends/rows.py", of(results.on_host, np.mean)),
)
ESTIMATES = (
    Operation(
        "scaled rewards",
        "learner/statistics.py",
        of(results.rewards, statistics.scaled_rewards),
        of(results.rewards, c_moments.scaled_rewards),
    ),
    *(
        Operation(
            name,
            "maths/estimators.py",
            of(results.estimates, name, table.TARGETS),
            of(results.estimates, name, c_estimators.TARGETS) if name in c_estimators.TARGETS else None,
        )
        for name in table.TARGETS
    ),
    Operation(
        "whitened advantages",
        "maths/estimators.py",
        of(over_sizes, estimators.whiten),
        of(over_sizes, c_whiten.whiten),
    ),
    Operation(
        "weights under lag",
        "learner/prepare.py",
        of(over_sizes, results.lagged),
        of(over_sizes, results.lagged_in_c),
    ),
    Operation("weighted surrogates", "maths/importance_gradients.py", results.weighted, promised=False),
)


def _summed_in_c(values: Tensor) -> Tensor:
    """Sums of [R, B] as the predicted gain takes them over parameters."""
    size = values.shape[1]
    ones = torch.ones_like(values)
    return c_steps.first_order(values, slice(0, size), torch.zeros_like(values), ones, None)


STEPS = (
    Operation("order of samples", "learner/draws.py", results.orders, results.orders_in_c),
    Operation("network, outputs and gradients", "nets/stacked/", results.networks),
    *(
        Operation(f"{name}: log-probability, entropy, KL, slopes", "maths/", of(results.steps, name))
        for name in FAMILIES
    ),
    Operation("surrogates and value losses", "maths/surrogates.py", results.surrogate_terms),
    Operation("mean losses", "learner/sgd.py", of(over_sizes, results.mean)),
    Operation("k3", "learner/sgd.py", of(over_sizes, results.k3)),
    Operation("clipping by norm", "learner/optimisers.py", results.clipped_gradients),
    *(Operation(name, "learner/optimisers.py", of(results.optimised, name)) for name in OPTIMISERS),
    Operation("natural step", "maths/natural.py", results.conjugate),
)
FIGURES = (
    *(Operation(f"{name}: health", "maths/health.py", of(results.figures, name)) for name in FAMILIES),
    Operation(
        "explained variance",
        "maths/health.py",
        of(over_sizes, results.explained, DOUBLE),
        of(over_sizes, results.explained_in_c),
    ),
    Operation(
        "means over samples, gains",
        "learner/measure.py",
        of(over_sizes, results.mean, DOUBLE),
    ),
    Operation(
        "sums over parameters",
        "learner/measure.py",
        of(over_sizes, results.total, DOUBLE),
        of(over_sizes, _summed_in_c),
    ),
    Operation("sums over gradient steps", "learner/figures.py", results.of_steps),
    Operation(
        "clip budget",
        "maths/surrogates.py",
        lambda: over_sizes(lambda x: surrogates.clip_budget(x / 8.0), DOUBLE),
    ),
)
STATISTICS = (
    Operation(
        "moments",
        "nets/observations.py",
        of(results.advanced, advance),
        of(results.advanced, c_moments.advance),
    ),
    Operation(
        "whitened observations",
        "nets/observations.py",
        of(results.encoded, Encoder.encode),
        of(results.encoded, c_moments.encode),
    ),
    Operation(
        "discounted returns",
        "maths/estimators.py",
        of(results.returns, estimators.discounted_returns),
        of(results.returns, c_estimators.discounted_returns),
    ),
    Operation("adaptive penalty", "learner/penalty.py", results.penalties),
)


def _arithmetic(x: Tensor) -> tuple[Tensor, ...]:
    other = x.roll(1)
    return x + other, x - other, x * other, x / (other.abs() + 1.0)


def _element(name: str, function: Callable[[Tensor], Any], *in_c: str) -> Operation:
    """An elementwise function of torch; `in_c` are its kernels' names."""
    kernels = of(results.in_c_elementary, *in_c) if in_c else None
    return Operation(name, "", of(over_sizes, function), kernels)


ELEMENTS = (
    _element("add, subtract, multiply, divide", _arithmetic),
    _element("square root", lambda x: x.abs().sqrt()),
    _element("reciprocal of the root", lambda x: x.abs().rsqrt()),
    _element("addcmul", lambda x: torch.addcmul(x, x.roll(1), x.roll(2))),
    _element("lerp", lambda x: torch.lerp(x, x.roll(1), 0.1)),
    _element("power", lambda x: x.double().abs() ** 0.9),
    _element("exp, expm1", lambda x: (x.exp(), x.expm1()), "exp", "expm1"),
    _element("log, log1p", lambda x: (x.abs().log(), x.abs().log1p()), "log", "log1p"),
    _element("tanh", torch.tanh, "tanh"),
    _element("erf", torch.erf, "erf"),
)
GROUPS = {
    "Collecting": COLLECTING,
    "Estimates": ESTIMATES,
    "Gradient steps": STEPS,
    "Figures": FIGURES,
    "Statistics": STATISTICS,
    "Functions of torch": ELEMENTS,
}
OPERATIONS = tuple(each for group in GROUPS.values() for each in group)
