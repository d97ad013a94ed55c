"""The one check of what environments give: results of `reset` and `step`, against the declared spaces.

What passes has exactly the declared shape and is not changed by a cast, but for reals rounded to float32:

- box of reals: numbers of any type (a float64 or whole number becomes a float32); not complex, text, None;
- box of whole numbers: whole numbers or booleans that its declared type can hold;
- discrete: one whole number or boolean among its choices;
- multidiscrete, multibinary: numbers that are choices, of whatever type, as in Gymnasium's `contains`;
- dict: exactly its keys; tuple: exactly as many members, in a tuple, list or array;
- reward: one real number; a boolean is 0 or 1, an array of one element its element;
- terminated, truncated: one boolean of Python's or numpy's; 0 and 1 are no booleans.

Lists are arrays. A Box's bounds are not checked: many environments leave theirs, and nothing breaks.

`read_reset` and `read_step` read one result and say what is wrong with it. `read_steps` reads those of N
environments at once, by their joint shape and type, and leaves what it doubts to `read_step`: the values
that pass, and what they become, are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.envs.members import Member
from rlcli.envs.spec import ObservationSpec
from rlcli.text import described, shown

Array = npt.NDArray[Any]

LARGE = 2**15
"""Numbers of N observations from which on they are copied once, rather than gathered first."""
BOOLEANS = {bool, np.bool_}
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Wrong(Exception):
    """A result is not what it should be: what was expected, and what came."""


def read_reset(spec: ObservationSpec, result: Any) -> Any:
    """The observation in what `reset` gave, in our type and shape."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Wrong(f"reset should give (observation, info); it gave {_amount(result)}")
    if not isinstance(result[1], (dict, Mapping)):  # a dict first: it is the quicker question
        raise Wrong(f"reset should give (observation, info), info a dictionary; info is {_told(result[1])}")
    return _observation(spec, result[0])


def read_step(spec: ObservationSpec, result: Any) -> tuple[Any, float, bool, bool]:
    """Observation, reward, terminated and truncated in what `step` gave."""
    if not isinstance(result, (tuple, list)) or len(result) != 5:
        raise Wrong(
            f"step should give (observation, reward, terminated, truncated, info); it gave {_amount(result)}"
        )
    seen, reward, terminated, truncated, _ = result
    return (
        _observation(spec, seen),
        _reward(reward),
        _flag(terminated, "terminated"),
        _flag(truncated, "truncated"),
    )


def read_steps(spec: ObservationSpec, results: Sequence[Any], out: Sequence[Array]) -> bool:
    """Writes what N steps gave to `out`; False where something must be looked at more closely.

    `out` are observations [N, ...] (discrete choices as the environment counts them), rewards, terminated and
    truncated [N]. It costs what copying costs.
    """
    seen, rewards, ended, cut, floats = [], [], [], [], True
    try:
        for observation, reward, terminated, truncated, _ in results:
            if (
                (terminated is not True and terminated is not False)
                or (truncated is not True and truncated is not False)
            ) and not {type(terminated), type(truncated)} <= BOOLEANS:
                return False
            if type(reward) is not float:
                floats = False
            seen.append(observation)
            rewards.append(reward)
            ended.append(terminated)
            cut.append(truncated)
        observations, paid, ends, cuts = out
        if floats:
            paid[:] = rewards
        else:
            values = np.array(rewards)
            if values.ndim != 1 or values.dtype.kind not in "fiub":
                return False
            paid[:] = values
        ends[:] = ended
        cuts[:] = cut
        return _observations(spec, seen, observations)
    except Exception:
        return False


def _observations(spec: ObservationSpec, seen: Sequence[Any], out: Array) -> bool:
    """Writes N observations to `out` [N, ...], or doubts them."""
    if spec.members:
        if spec.kind in ("dict", "tuple") and {*map(len, seen)} != {len(spec.members)}:
            return False
        parts = [np.array([member.of(one) for one in seen]) for member in spec.members]
        if not all(map(_fits, spec.members, parts)):
            return False
        out[:] = spec.vectors(parts)
        return True
    leaf = spec.leaves[0]
    if out.size > LARGE:
        if any(one.dtype.kind not in leaf.type_kinds for one in seen):
            return False
        np.stack(seen, out=out, casting="same_kind")  # raises where shapes differ
        return True
    values = np.array(seen)
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


def _observation(spec: ObservationSpec, seen: Any) -> Any:
    """One observation, in our type and shape."""
    if not spec.members:
        leaf = spec.leaves[0]
        if (
            type(seen) is np.ndarray
            and seen.dtype == spec.dtype == leaf.declared
            and seen.shape == leaf.shape
        ):
            return seen
        return _leaf(leaf, seen).astype(spec.dtype)
    if spec.kind == "dict":
        keys = [member.key for member in spec.members]
        if not isinstance(seen, Mapping) or len(seen) != len(keys) or any(key not in seen for key in keys):
            came = f"has the keys {shown(list(seen))}" if isinstance(seen, Mapping) else f"is {_told(seen)}"
            raise Wrong(f"the observation should be a dictionary of {shown(keys)}; it {came}")
    elif spec.kind == "tuple" and (
        not isinstance(seen, tuple | list | np.ndarray) or len(seen) != len(spec.members)
    ):
        raise Wrong(f"the observation should be a tuple of {len(spec.members)}; it is {_told(seen)}")
    parts = [_leaf(member, member.of(seen))[None] for member in spec.members]
    try:
        return spec.vectors(parts)[0]
    except ValueError as error:
        raise Wrong(str(error)) from None


def _leaf(leaf: Member, value: Any) -> Array:
    """The value of one flat space as an array of its shape."""
    whose = "the observation" if leaf.key is None else f"the observation's {leaf.key!r}"
    try:
        values = np.asarray(value)
    except Exception as error:
        raise Wrong(f"{whose} should be {_expected(leaf)}; it is no array ({described(error)})") from error
    if not _fits(leaf, values[None]):
        raise Wrong(f"{whose} should be {_expected(leaf)}; it is {_told(value)}")
    if leaf.type_kinds == "fiub" and values.dtype.itemsize > 4:
        finite = values[np.isfinite(values)]
        if finite.size and max(abs(float(finite.min())), abs(float(finite.max()))) > FLOAT32_MAX:
            raise Wrong(f"{whose} should be numbers that float32 can hold; it is {_told(value)}")
    return values


def _reward(value: Any) -> float:
    """One real number."""
    if isinstance(value, Real | Decimal):
        try:
            return float(value)
        except OverflowError:
            raise Wrong(
                f"the reward should be a number that a float can hold; it is {_told(value)}"
            ) from None
    given = _one_element(value)
    if given is None or given.dtype.kind not in "fiub":
        raise Wrong(f"the reward should be one real number; it is {_told(value)}")
    return float(given.item())


def _flag(value: Any, name: str) -> bool:
    """One boolean."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    given = _one_element(value)
    if given is None or given.dtype.kind != "b":
        raise Wrong(f"{name} should be True or False; it is {_told(value)}")
    return bool(given.item())


def _one_element(value: Any) -> Array | None:
    """The value as an array, if it is one of one element."""
    try:
        given = np.asarray(value) if hasattr(value, "__array__") else None
    except Exception:
        return None
    return given if given is not None and given.size == 1 else None


def _expected(leaf: Member) -> str:
    """What the values of a flat space are."""
    if leaf.kind == "discrete" and leaf.range is not None:
        return f"one whole number from {leaf.range[0]} to {leaf.range[1]}"
    if leaf.kind == "multidiscrete":
        return f"whole numbers in an array of shape {leaf.shape}"
    if leaf.kind == "multibinary":
        return f"zeros and ones in an array of shape {leaf.shape}"
    return f"an array of shape {leaf.shape} that {leaf.declared} can hold"


def _amount(result: Any) -> str:
    """A result that should have been a tuple of another length."""
    return f"{len(result)} values" if isinstance(result, tuple | list) else _told(result)


def _told(value: Any) -> str:
    """Value and type, for a message."""
    if isinstance(value, np.ndarray):
        return f"{shown(value)}, an array of shape {value.shape} and type {value.dtype}"
    return f"{shown(value)}, of type {type(value).__name__}"
