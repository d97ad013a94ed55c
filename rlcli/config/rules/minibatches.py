"""Rules of the sizes of minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig


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
