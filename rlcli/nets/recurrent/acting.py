"""One step of a recurrent policy in numpy: the few rows that environments show, all runs and trunks at once.

Shapes: R runs, N environments, K trunks, W units, S numbers of a cell's state, D policy outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.nets.recurrent.modules import Shape
from rlcli.nets.recurrent.perceptron import turned

Array = npt.NDArray[Any]
Step = Callable[[Array, Array], tuple[Array, Array]]
"""(rows [R, N, ...], state [R, N, K S]) -> (outputs [R, N, D], state after them)."""


def acting(shape: Shape, parts: Mapping[str, Array]) -> Step | None:
    """A step by parameters [R, ...] named as the module's; None: what is before the cell acts in torch."""
    own = _trunks(shape, parts)
    before = shape.before.on_host(
        {name.removeprefix("before."): part for name, part in own.items() if name.startswith("before.")}
    )
    if before is None:
        return None
    into, onto = turned(own["inputs.weight"]), turned(own["state.weight"])
    shift, carried = own["inputs.bias"][..., None, :], own["state.bias"][..., None, :]
    head, bias = turned(parts["policy.weight"]), parts["policy.bias"][:, None]
    advance, trunks = CELLS[shape.cell], shape.trunks

    def step(rows: Array, state: Array) -> tuple[Array, Array]:
        states = np.stack(np.split(state, trunks, -1))
        driven = np.matmul(before(rows), into)
        driven += shift
        hidden = np.ascontiguousarray(states[..., : shape.units])
        recalled = np.matmul(hidden, onto)
        recalled += carried
        after = advance(driven, recalled, states)
        output: Array = np.matmul(np.ascontiguousarray(after[0, ..., : shape.units]), head)
        output += bias
        return output, np.concatenate(list(after), -1)

    return step


def _trunks(shape: Shape, parts: Mapping[str, Array]) -> dict[str, Array]:
    """Parameters of the trunks by name, those of all trunks together, [K, R, ...]."""
    prefixes = ["trunk."] if shape.shared else ["trunk.", "critic.trunk."]
    names = [name.removeprefix("trunk.") for name in parts if name.startswith("trunk.")]
    return {name: np.stack([parts[prefix + name] for prefix in prefixes]) for name in names}


def _lstm(driven: Array, recalled: Array, state: Array) -> Array:
    gates = driven + recalled
    add, forget, value, out = np.split(gates, 4, -1)
    cell = np.split(state, 2, -1)[1]
    cell = _sigmoid(forget) * cell + _sigmoid(add) * np.tanh(value)
    return np.concatenate((_sigmoid(out) * np.tanh(cell), cell), -1)


def _gru(driven: Array, recalled: Array, state: Array) -> Array:
    (by_reset, by_update, by_value), given = np.split(driven, 3, -1), np.split(recalled, 3, -1)
    reset, update = _sigmoid(by_reset + given[0]), _sigmoid(by_update + given[1])
    value = np.tanh(by_value + reset * given[2])
    kept: Array = value + update * (state - value)
    return kept


def _sigmoid(x: Array) -> Array:
    return np.reciprocal(1.0 + np.exp(-x))


CELLS: dict[str, Callable[[Array, Array, Array], Array]] = {"gru": _gru, "lstm": _lstm}
