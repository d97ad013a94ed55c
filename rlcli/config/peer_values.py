"""Conversions of values that other libraries give in other units: overrides of rlcli that mean the same."""

from __future__ import annotations

from typing import Any

from rlcli.config.peer import Convert, Numbers
from rlcli.config.rules.minibatches import nearest_divisors

ROLLOUT, ENVS = "algo.rollout_steps", "env.num_envs"
CONVERTED_BY = (ROLLOUT, ENVS, "algo.clip")
"""Keys whose values some conversions need."""


def minibatches(size: Any, numbers: Numbers) -> str:
    """The number of minibatches of `size` samples."""
    batch = numbers[ROLLOUT] * numbers[ENVS]
    count = batch / size
    if count >= 1 and count == int(count):
        return f"algo.minibatches={int(count)}"
    near = " or ".join(str(one) for one in nearest_divisors(batch, max(1, round(count))))
    return f"algo.minibatches={near} (minibatches of {size} do not divide the batch of {batch})"


def rollout_of_batch(size: Any, numbers: Numbers) -> str:
    """The steps per environment of a batch of `size` samples."""
    return f"{ROLLOUT}={max(1, round(size / numbers[ENVS]))}"


def envs_of_runners(_: Any, numbers: Numbers) -> str:
    """The environments of all runners; none means the local one."""
    runners = next((numbers[name] for name in ("num_env_runners", "num_workers") if name in numbers), 1)
    names = ("num_envs_per_env_runner", "num_envs_per_worker")
    return (
        f"{ENVS}={max(1, int(runners)) * int(next((numbers[name] for name in names if name in numbers), 1))}"
    )


def per_env(key: str) -> Convert:
    """Calls of a vector environment's step as env steps."""
    return lambda calls, numbers: f"{key}={int(calls * numbers[ENVS])}"


def per_update(key: str) -> Convert:
    """Updates as env steps."""
    return lambda updates, numbers: f"{key}={int(updates * numbers[ROLLOUT] * numbers[ENVS])}"


def half(key: str) -> Convert:
    """A coefficient of a loss with the factor 1/2, which the loss here has not."""
    return lambda value, _: f"{key}={value / 2:g}"


def switch(key: str, on: str, off: str) -> Convert:
    """A choice for each of true and false."""

    def convert(value: Any, _: Numbers) -> str:
        if not isinstance(value, bool):
            raise ValueError(value)
        return f"{key}={on if value else off}"

    return convert


def always(override: str) -> Convert:
    """One override for every value that is not null, zero or false."""

    def convert(value: Any, _: Numbers) -> str:
        if not value:
            raise ValueError(value)
        return override

    return convert


def lower(key: str) -> Convert:
    """A name in lower case, without its module: `relu` for `nn.ReLU`."""
    return lambda value, _: f"{key}={value.rpartition('.')[2].lower()}"


def value_clip(value: Any, numbers: Numbers) -> str:
    """CleanRL's switch of value clipping, which uses its clip range."""
    return f"algo.value_clip={numbers['algo.clip'] if value else 'null'}"


def steps(value: Any, _: Numbers) -> str:
    """Steps per environment in a rollout; RLlib's `auto` has none."""
    return f"{ROLLOUT}={int(value)}"
