"""Inputs of `cpu_results.py`: numbers that are the same on every processor.

They are drawn without functions that depend on one, and use every digit: sums of short numbers would be exact
in any order. Sizes end within and beyond vectors of every width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlcli.config.compose import compose
from rlcli.learner.batch import Transitions
from rlcli.learner.hyperparameters import hyperparameters
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.observations import Moments

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
    return Transitions(*fields, *ends, numbers(*shape, seed=5) / 8.0, fields[1])


def moments_of(runs: int, width: int) -> Moments:
    """Moments of something."""
    double = torch.float64
    return Moments(
        torch.full((runs,), 100.0, dtype=double),
        numbers(runs, width, dtype=double),
        positive(runs, width, seed=1, dtype=double),
    )


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
