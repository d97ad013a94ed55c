"""Validation of what environments return: results of `reset` and `step`, against the declared spaces.

A valid result has exactly the declared shape and is not changed by a cast, except reals rounded to float32:

- box of reals: numbers of any type (a float64 or whole number becomes a float32); not complex, text, None;
- box of whole numbers: whole numbers or booleans that its declared type can hold;
- discrete: one whole number or boolean among its choices;
- multidiscrete, multibinary: numbers that are choices, of whatever type, as in Gymnasium's `contains`;
- dict: exactly its keys; tuple: exactly as many members, in a tuple, list or array;
- reward: one real number; a boolean is 0 or 1, an array of one element its element;
- terminated, truncated: one boolean of Python's or numpy's; 0 and 1 are no booleans.

Lists are arrays. A Box's bounds are not checked: many environments exceed theirs, and nothing breaks.

A mask of actions is zeros and ones, of whatever type of numbers, and allows something. At the end of an
episode, where no action follows, it is not read and counts as all ones.

`read_reset` and `read_step` validate one result and raise `InvalidResult` with the reason. `read_steps`
validates those of N environments at once, by their joint shape and type, and returns False where `read_step`
must decide: both accept the same values and convert them alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.envs.masks import ActionMask
from rlcli.envs.members import Member
from rlcli.envs.spec import ObservationSpec
from rlcli.text import described, shown

Array = npt.NDArray[Any]

LARGE = 2**15
"""Size of N observations from which on they are stacked into the output, rather than into a copy first."""
BOOLEANS = {bool, np.bool_}
FLOAT32_MAX = float(np.finfo(np.float32).max)


class InvalidResult(Exception):
    """Result of an environment that breaks its interface; the message has expected and actual values."""


def reset_parts(result: Any) -> Sequence[Any]:
    """A `reset` result, which is an observation and a dictionary."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise InvalidResult(f"reset should give (observation, info); it gave {_amount(result)}")
    if not isinstance(result[1], (dict, Mapping)):  # dict first: the faster check
        raise InvalidResult(
            f"reset should give (observation, info), info a dictionary; info is {_with_type(result[1])}"
        )
    return result


def step_parts(result: Any) -> Sequence[Any]:
    """A `step` result, which has five values."""
    if not isinstance(result, (tuple, list)) or len(result) != 5:
        raise InvalidResult(
            f"step should give (observation, reward, terminated, truncated, info); it gave {_amount(result)}"
        )
    return result


def read_reset(spec: ObservationSpec, result: Any) -> Any:
    """The observation of a `reset` result, in the type and shape of the spec."""
    return _with_mask(spec, _observation(spec, reset_parts(result)[0]), result)


def read_step(spec: ObservationSpec, result: Any) -> tuple[Any, float, bool, bool]:
    """Observation, reward, terminated and truncated of a `step` result."""
    observation, reward, terminated, truncated, _ = step_parts(result)
    found = (
        _observation(spec, observation),
        _reward(reward),
        _flag(terminated, "terminated"),
        _flag(truncated, "truncated"),
    )
    return _with_mask(spec, found[0], result, ended=any(found[2:])), *found[1:]


def read_steps(spec: ObservationSpec, results: Sequence[Any], out: Sequence[Array]) -> bool:
    """Fast path for the results of N steps: writes them to `out`; False where `read_step` must check each.

    `out` are observations [N, ...] (discrete choices as the environment counts them), rewards, terminated and
    truncated [N]. The cost is that of copying.
    """
    observations, rewards, terminations, truncations, floats = [], [], [], [], True
    masks: list[Any] = []
    try:
        for observation, reward, terminated, truncated, info in results:
            if (
                (terminated is not True and terminated is not False)
                or (truncated is not True and truncated is not False)
            ) and not {type(terminated), type(truncated)} <= BOOLEANS:
                return False
            if type(reward) is not float:
                floats = False
            observations.append(observation)
            if spec.mask is not None:
                ended = terminated or truncated
                masks.append(np.ones(spec.mask.width) if ended else spec.mask.of(observation, info))
            rewards.append(reward)
            terminations.append(terminated)
            truncations.append(truncated)
        observations_out, rewards_out, terminated_out, truncated_out = out
        if floats:
            rewards_out[:] = rewards
        else:
            values = np.array(rewards)
            if values.ndim != 1 or values.dtype.kind not in "fiub":
                return False
            rewards_out[:] = values
        terminated_out[:] = terminations
        truncated_out[:] = truncations
        if spec.mask is not None:
            if not _masks(spec.mask, masks, observations_out[:, spec.width :]):
                return False
            observations_out = observations_out[:, : spec.width]
        return _observations(spec, observations, observations_out)
    except Exception:
        return False


def _masks(mask: ActionMask, masks: Sequence[Any], out: Array) -> bool:
    """Writes N masks to `out` [N, K]; False where they may be invalid."""
    values = np.array(masks)
    if not mask.fits(values):
        return False
    out[:] = values
    return True


def _observations(spec: ObservationSpec, observations: Sequence[Any], out: Array) -> bool:
    """Writes N observations to `out` [N, ...]; False where they may be invalid."""
    if spec.members:
        if spec.kind in ("dict", "tuple") and {*map(len, observations)} != {len(spec.keys)}:
            return False
        parts = [np.array([member.of(one) for one in observations]) for member in spec.members]
        if not all(map(_fits, spec.members, parts)):
            return False
        out[:] = spec.vectors(parts)
        return True
    leaf = spec.leaves[0]
    if out.size > LARGE:
        if any(one.dtype.kind not in leaf.type_kinds for one in observations):
            return False
        np.stack(observations, out=out, casting="same_kind")  # raises where shapes differ
        return True
    values = np.array(observations)
    if values.shape != out.shape:
        return False
    if (leaf.sizes is not None or values.dtype != leaf.declared) and not _fits(leaf, values):
        return False
    if values.dtype.char in "dg":
        with np.errstate(over="raise"):
            out[:] = values
    else:
        out[:] = values
    return True


def _fits(leaf: Member, values: Array) -> bool:
    """Whether values [n, *shape] have the shape and kind of type, and lie in the range if there is one."""
    if values.shape[1:] != leaf.shape or values.dtype.kind not in leaf.type_kinds:
        return False
    if leaf.range is None or values.dtype == leaf.declared or not values.size:
        return True
    low, high = leaf.range
    return bool(values.min() >= low and values.max() <= high)


def _with_mask(spec: ObservationSpec, features: Any, result: Sequence[Any], *, ended: bool = False) -> Any:
    """An observation with the columns of its mask behind it, if there is one in this result."""
    if spec.mask is None:
        return features
    if ended:
        return np.append(features, np.ones(spec.mask.width, features.dtype))
    try:
        allowed = spec.mask.columns(spec.mask.of(result[0], result[-1]))
    except ValueError as error:
        raise InvalidResult(str(error)) from None
    return np.append(features, allowed.astype(features.dtype))


def _observation(spec: ObservationSpec, value: Any) -> Any:
    """One observation, in the type and shape of the spec, without its mask."""
    if not spec.members:
        leaf = spec.leaves[0]
        if (
            type(value) is np.ndarray
            and value.dtype == spec.dtype == leaf.declared
            and value.shape == leaf.shape
        ):
            return value
        return _leaf(leaf, value).astype(spec.dtype)
    if spec.kind == "dict":
        keys = spec.keys
        if not isinstance(value, Mapping) or len(value) != len(keys) or any(key not in value for key in keys):
            mapping = isinstance(value, Mapping)
            actual = f"has the keys {shown(list(value))}" if mapping else f"is {_with_type(value)}"
            raise InvalidResult(f"the observation should be a dictionary of {shown(keys)}; it {actual}")
    elif spec.kind == "tuple" and (
        not isinstance(value, tuple | list | np.ndarray) or len(value) != len(spec.keys)
    ):
        raise InvalidResult(
            f"the observation should be a tuple of {len(spec.keys)}; it is {_with_type(value)}"
        )
    parts = [_leaf(member, member.of(value))[None] for member in spec.members]
    try:
        return spec.vectors(parts)[0]
    except ValueError as error:
        raise InvalidResult(str(error)) from None


def _leaf(leaf: Member, value: Any) -> Array:
    """The value of one flat space, as an array of its shape."""
    whose = "the observation" if leaf.key is None else f"the observation's {leaf.key!r}"
    try:
        values = np.asarray(value)
    except Exception as error:
        raise InvalidResult(
            f"{whose} should be {_expected(leaf)}; it is not an array ({described(error)})"
        ) from error
    if not _fits(leaf, values[None]):
        raise InvalidResult(f"{whose} should be {_expected(leaf)}; it is {_with_type(value)}")
    if leaf.type_kinds == "fiub" and values.dtype.itemsize > 4:
        finite = values[np.isfinite(values)]
        if finite.size and max(abs(float(finite.min())), abs(float(finite.max()))) > FLOAT32_MAX:
            raise InvalidResult(f"{whose} should be numbers that float32 can hold; it is {_with_type(value)}")
    return values


def _reward(value: Any) -> float:
    """The reward as one float."""
    if isinstance(value, Real | Decimal):
        try:
            return float(value)
        except OverflowError:
            raise InvalidResult(
                f"the reward should be a number that a float can hold; it is {_with_type(value)}"
            ) from None
    given = _one_element(value)
    if given is None or given.dtype.kind not in "fiub":
        raise InvalidResult(f"the reward should be one real number; it is {_with_type(value)}")
    return float(given.item())


def _flag(value: Any, name: str) -> bool:
    """The flag as one bool."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    given = _one_element(value)
    if given is None or given.dtype.kind != "b":
        raise InvalidResult(f"{name} should be True or False; it is {_with_type(value)}")
    return bool(given.item())


def _one_element(value: Any) -> Array | None:
    """The value if it is an array of one element, else None."""
    try:
        given = np.asarray(value) if hasattr(value, "__array__") else None
    except Exception:
        return None
    return given if given is not None and given.size == 1 else None


def _expected(leaf: Member) -> str:
    """Description of a flat space's valid values, for a message."""
    if leaf.kind == "discrete" and leaf.range is not None:
        return f"one whole number from {leaf.range[0]} to {leaf.range[1]}"
    if leaf.kind == "multidiscrete":
        return f"whole numbers in an array of shape {leaf.shape}"
    if leaf.kind == "multibinary":
        return f"zeros and ones in an array of shape {leaf.shape}"
    return f"an array of shape {leaf.shape} that {leaf.declared} can hold"


def _amount(result: Any) -> str:
    """Length of a result that should be a tuple of another length, for a message."""
    return f"{len(result)} values" if isinstance(result, tuple | list) else _with_type(result)


def _with_type(value: Any) -> str:
    """Value and type, for a message."""
    if isinstance(value, np.ndarray):
        return f"{shown(value)}, an array of shape {value.shape} and type {value.dtype}"
    return f"{shown(value)}, of type {type(value).__name__}"
