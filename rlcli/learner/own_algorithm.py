"""Functions of the user's own algorithms, called for one run at a time and checked.

So a run's numbers are those of the lone run whatever the function sums over, and what it does wrong fails
that run alone. Shapes: R runs, B samples of a batch, T time, N environments of one run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rlcli.config.schema.run import RunConfig
from rlcli.envs.untrusted import explained
from rlcli.envs.user_code import place_of_definition
from rlcli.errors import RlcliError, UserError
from rlcli.extend import faults
from rlcli.extend.tables import ALGORITHMS
from rlcli.learner.algorithm import Improvement, Start, StepRule
from rlcli.learner.batch import Transitions
from rlcli.learner.hyperparameters import Hyperparameters, hyperparameters
from rlcli.maths.surrogates import Objective

PROBE = (4, 2)
"""T and N of the data with which functions are tried before training."""


def own_formula(name: str, part: str) -> Callable[[Tensor, Tensor, Tensor, Hyperparameters], Tensor]:
    """The surrogate or the penalty of an algorithm: values [R, B], run by run."""
    function = getattr(ALGORITHMS[name], part)
    about = _about(name, part)

    def one_run(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Tensor:
        try:
            found = function(log_prob, log_anchor, advantages, hyper)
            fault = _wrong(found, log_prob.shape) or _not_finite(found, log_prob, log_anchor, advantages)
        except BaseException as error:
            found, fault = None, f"raised {explained(error)}"
        if fault is None:
            values: Tensor = found
            return values
        faults.note(f"{about} {fault}")
        return log_prob * math.nan

    def formula(log_prob: Tensor, log_anchor: Tensor, advantages: Tensor, hyper: Hyperparameters) -> Tensor:
        own = hyper.of(name)
        rows = []
        for run in range(len(log_prob)):
            at = slice(run, run + 1)
            rows.append(one_run(log_prob[at], log_anchor[at], advantages[at], _of_run(own, run)))
        return torch.cat(rows)

    return formula


def own_targets(name: str) -> Callable[[Any, Hyperparameters, Transitions], tuple[Tensor, Tensor]]:
    """Advantages and value targets of an algorithm, [T, R, N], run by run."""
    function, about = ALGORITHMS[name].targets, _about(name, "targets")
    assert function is not None

    def one_run(transitions: Transitions, hyper: Hyperparameters) -> tuple[Tensor, Tensor]:
        shape = transitions.rewards.shape
        try:
            found = function(transitions, hyper)
            given = (transitions.rewards, transitions.values, transitions.next_values)
            fault = _wrong_pair(found, shape) or _not_finite(torch.stack(tuple(found)), *given)
        except BaseException as error:
            found, fault = None, f"raised {explained(error)}"
        if fault is None:
            return found[0], found[1]
        faults.note(f"{about} {fault}")
        nothing = torch.full_like(transitions.values, math.nan)
        return nothing, nothing

    def estimate(_: Any, hyper: Hyperparameters, transitions: Transitions) -> tuple[Tensor, Tensor]:
        own = hyper.of(name)
        pairs = [
            one_run(Transitions(*(part[:, run : run + 1] for part in transitions)), _of_run(own, run))
            for run in range(transitions.rewards.shape[1])
        ]
        advantages, targets = (torch.cat(parts, 1) for parts in zip(*pairs, strict=True))
        return advantages, targets

    return estimate


def own_step_rule(name: str) -> StepRule:
    """The step rule of an algorithm, its result checked; it takes all runs, and fails for all of them.

    The rule that is returned raises `RlcliError` with the place of the user's function.
    """
    function, about = ALGORITHMS[name].step_rule, _about(name, "step_rule")
    assert function is not None

    def improve(start: Start) -> Improvement:
        try:
            found: Any = function(start)
        except BaseException as error:
            raise RlcliError(f"{about} raised {explained(error)}") from error
        if not isinstance(found, Improvement):
            raise RlcliError(f"{about} gave {type(found).__name__}, expected an Improvement.")
        given, moved = start.parameters, found.parameters
        if moved.shape != given.shape or moved.dtype is not given.dtype:
            raise RlcliError(
                f"{about} gave parameters of shape {tuple(moved.shape)} ({moved.dtype}), expected "
                f"{tuple(given.shape)} ({given.dtype})."
            )
        return found

    return improve


def less(objective: Objective, penalty: Objective) -> Objective:
    """An objective minus a penalty."""
    return Objective(objective.value - penalty.value, objective.slope - penalty.slope)


def check_own_algorithm(config: RunConfig) -> None:
    """Calls the functions that a config chooses on made-up data, twice.

    Raises:
        UserError: one raises, gives a result of the wrong shape or type, or another result when it is called
            again, changes what it is called with, or a formula has no slope by log_prob.
    """
    steps, envs = PROBE
    hyper = hyperparameters([config], [0], "cpu")
    faults.take()
    samples = torch.linspace(-1.0, 1.0, steps * envs).view(1, -1)
    for part in ("surrogate", "penalty"):
        name = getattr(config.algo, part)
        if name in ALGORITHMS:
            formula, log_anchor = own_formula(name, part), samples.flip(-1) - 1.0
            _check_function(_about(name, part), _alone(formula, hyper), (samples - 1.0, log_anchor, samples))
            if not faults.any_noted():
                _check_slope(_about(name, part), formula, samples - 1.0, log_anchor, samples, hyper)
    if config.algo.targets in ALGORITHMS:
        time = samples.view(steps, 1, envs)
        ended = torch.zeros(steps, 1, envs, dtype=torch.bool)
        estimate = own_targets(config.algo.targets)
        _check_function(
            _about(config.algo.targets, "targets"),
            lambda *given: estimate(config.algo, hyper, Transitions(*given)),
            (time, time + 1.0, time + 2.0, ended, ended.clone(), time * 0.0, time + 1.0),
        )
    found = faults.take()
    if found:
        raise UserError(*(f"{text}." for text in found))


def _alone(formula: Callable[..., Tensor], hyper: Hyperparameters) -> Callable[..., tuple[Tensor, ...]]:
    """A formula as a function of its tensors."""
    return lambda *given: (formula(*given, hyper),)


def _check_function(
    about: str, function: Callable[..., tuple[Tensor, ...]], given: tuple[Tensor, ...]
) -> None:
    """Notes a fault where a function that fails of nothing else is none of its arguments alone."""
    before = [one.clone() for one in given]
    found = function(*given)
    if faults.any_noted():
        return
    if not all(map(torch.equal, before, given)):
        faults.note(f"{about} changed a tensor that it was called with; it should work on a copy")
    elif not all(map(torch.equal, found, function(*given))):
        faults.note(
            f"{about} gave other values when it was called again with the same arguments; it should depend "
            "on them alone"
        )


def _check_slope(about: str, formula: Callable[..., Tensor], log_prob: Tensor, *others: Any) -> None:
    """Notes a fault where a formula is cut off from the policy, which would learn nothing from it."""
    with torch.inference_mode(False), torch.enable_grad():
        found = formula(log_prob.clone().requires_grad_(), *others)
    if not found.requires_grad and not faults.any_noted():
        faults.note(
            f"{about} gave values without a slope by log_prob; it should be computed from log_prob in torch, "
            "without detach, item or numpy"
        )


def _about(name: str, part: str) -> str:
    found = ALGORITHMS[name]
    place = place_of_definition(getattr(found, part)) or found.place
    return f"{place}: algo.{part}={name}"


def _of_run(hyper: Hyperparameters, run: int) -> Hyperparameters:
    return hyper.map(lambda table: table[run : run + 1])


def _wrong(found: Any, shape: torch.Size) -> str | None:
    """What is wrong with a result of one number per sample; None if nothing is."""
    if not isinstance(found, Tensor):
        return f"gave {type(found).__name__}, expected a tensor of shape {tuple(shape)}"
    if found.shape != shape or not found.is_floating_point():
        return f"gave a tensor of shape {tuple(found.shape)} ({found.dtype}), expected {tuple(shape)}"
    return None


def _not_finite(found: Tensor, *given: Tensor) -> str | None:
    """What is wrong with a result that is not finite though all that was given is."""
    if bool(found.isfinite().all()) or not all(bool(one.isfinite().all()) for one in given):
        return None
    worst = found.detach()[found.detach().isfinite().logical_not()][0].item()
    return f"gave values that are not finite ({worst}), expected finite numbers"


def _wrong_pair(found: Any, shape: torch.Size) -> str | None:
    if not isinstance(found, tuple | list) or len(found) != 2:
        return f"gave {type(found).__name__}, expected two tensors of shape {tuple(shape)}"
    return _wrong(found[0], shape) or _wrong(found[1], shape)
