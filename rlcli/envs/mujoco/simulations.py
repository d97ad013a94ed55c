"""Simulations of one MuJoCo model; the arrays that an environment reads are copied into one table.

Each simulation has memory of its own, all share the model. MuJoCo changes a simulation in place, so its
arrays are looked up once.

Shapes: K simulations, W numbers that are read of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


class Table(NamedTuple):
    """Numbers read of simulations, one row each."""

    values: Doubles
    """[K, W]."""
    columns: dict[str, slice]
    """Columns of each array of a simulation, by the array's name in MuJoCo."""

    def read(self, name: str) -> Doubles:
        """[K, size]: one array of every simulation, flat."""
        return self.values[:, self.columns[name]]

    def rows(self, indices: Sequence[int]) -> Table:
        """A copy of these rows."""
        return Table(self.values[list(indices)], self.columns)


class Simulation(NamedTuple):
    """One simulation, with its arrays looked up."""

    data: Any
    """MuJoCo's `MjData`."""
    control: Doubles
    copied: tuple[tuple[Doubles, Doubles], ...]
    """Pairs of a place in the table and the array that is copied there."""


class Simulations:
    """K simulations of a model; an action lasts `frames` of MuJoCo's time steps."""

    def __init__(
        self, model: Any, names: Sequence[str], count: int, frames: int, *, external_forces: bool
    ) -> None:
        """Makes them. `external_forces`: compute `cfrc_ext` too after each step."""
        import mujoco  # heavy, and an extra

        self._mujoco = mujoco
        self._model = model
        self._frames = frames
        self._external_forces = external_forces
        self._made = [mujoco.MjData(model) for _ in range(count)]
        sizes = {name: int(getattr(self._made[0], name).size) for name in names}
        ends = dict(zip(names, np.cumsum(list(sizes.values())).tolist(), strict=True))
        columns = {name: slice(ends[name] - sizes[name], ends[name]) for name in names}
        self._lay_out(Table(np.zeros((count, sum(sizes.values()))), columns))

    def reset(self, index: int, positions: Doubles, velocities: Doubles) -> None:
        """Starts one simulation anew from a state, and reads it."""
        data, _, copied = self._simulations[index]
        self._mujoco.mj_resetData(self._model, data)
        data.qpos[:] = positions
        data.qvel[:] = velocities
        self._mujoco.mj_forward(self._model, data)
        for place, array in copied:
            place[:] = array

    def step(self, indices: Iterable[int], controls: Iterable[Doubles]) -> None:
        """Steps simulations one by one, each under its control, and reads them."""
        model, frames, advance = self._model, self._frames, self._mujoco.mj_step
        forces = self._mujoco.mj_rnePostConstraint if self._external_forces else None
        for index, given in zip(indices, controls, strict=False):
            data, control, copied = self._simulations[index]
            control[:] = given
            advance(model, data, frames)
            if forces is not None:
                forces(model, data)
            for place, array in copied:
                place[:] = array

    def select(self, indices: Sequence[int]) -> None:
        """Keeps only these simulations, in this order."""
        self._made = [self._made[index] for index in indices]
        self._lay_out(self.table.rows(indices))

    def _lay_out(self, table: Table) -> None:
        """Sets the table, and the place in it of every array."""
        self.table = table
        self._simulations = [
            Simulation(
                data, data.ctrl, tuple(_places(data, Table(table.values[row : row + 1], table.columns)))
            )
            for row, data in enumerate(self._made)
        ]


def _places(data: Any, row: Table) -> Iterable[tuple[Doubles, Doubles]]:
    """The place in a table's row of each of a simulation's arrays, and the array."""
    for name in row.columns:
        array = getattr(data, name)
        yield row.read(name).reshape(array.shape), array
