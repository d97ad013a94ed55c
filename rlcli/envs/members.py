"""Members of structured observations (Dict, Tuple, MultiDiscrete) and their encoding as one flat vector.

Shapes: n observations, F elements of one member. Numbers are copied; an element that is one of k choices
becomes k columns, 1 in that of the choice (one-hot). Images are kept apart, as bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FLOAT32: np.dtype[Any] = np.dtype(np.float32)


@dataclass(frozen=True, eq=False)
class Member:
    """One member of a structured observation: one flat space."""

    key: str | int | None
    """Its key in an observation of a Dict or Tuple space; None: it is the whole observation."""
    kind: str
    """box, discrete, multidiscrete or multibinary."""
    shape: tuple[int, ...]
    sizes: tuple[int, ...] | None = None
    """[F]: how many choices each element is one of; None: the elements are numbers."""
    start: tuple[int, ...] = ()
    """[F]: the lowest choice of each element."""
    declared: np.dtype[Any] = FLOAT32
    """The dtype of its space."""

    @cached_property
    def type_kinds(self) -> str:
        """Kinds of numpy types (`dtype.kind`) its values may have.

        Whole numbers are needed where the space says so. MultiDiscrete and MultiBinary ask for the values
        alone, as Gymnasium's `contains` does: 1.0 is a switch that is on.
        """
        floats = self.declared.kind == "f" if self.kind == "box" else self.kind != "discrete"
        return "fiub" if floats else "iub"

    @cached_property
    def range(self) -> tuple[int, int] | None:
        """The lowest and highest value of a single choice, or of a box of whole numbers."""
        if self.kind == "discrete" and self.sizes is not None:
            return self.start[0], self.start[0] + self.sizes[0] - 1
        if self.kind == "box" and self.declared.kind == "b":
            return 0, 1
        if self.kind == "box" and self.declared.kind in "iu":
            limits = np.iinfo(self.declared)
            return int(limits.min), int(limits.max)
        return None

    @property
    def is_image(self) -> bool:
        """Whether these are pixels: uint8 with height, width and channels."""
        return self.kind == "box" and self.declared == np.uint8 and len(self.shape) == 3

    @property
    def width(self) -> int:
        """Columns of the vector."""
        return math.prod(self.shape) if self.sizes is None else sum(self.sizes)

    def of(self, observation: Any) -> Any:
        """This member of an observation."""
        return observation if self.key is None else observation[self.key]

    def vectors(self, values: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Values [n, *shape] as columns [n, width] of this type.

        Raises:
            ValueError: an element is none of its choices.
        """
        flat = values.reshape(len(values), math.prod(self.shape))
        if self.kind == "multibinary" and ((flat != 0) & (flat != 1)).any():
            raise ValueError(
                f"{self._whose} has the value {flat[(flat != 0) & (flat != 1)][0]}, which is not 0 or 1"
            )
        if self.sizes is None:
            return flat.astype(dtype)
        sizes, begins, start = self._columns
        given = flat - start
        chosen = given.astype(np.int64)
        wrong = (chosen != given) | (chosen < 0) | (chosen >= sizes)
        if wrong.any():
            raise ValueError(f"{self._whose} has the value {flat[wrong][0]}, which is not one of its choices")
        found = np.zeros((len(values), self.width), dtype)
        found[np.arange(len(values))[:, None], begins + chosen] = 1.0
        return found

    @property
    def _whose(self) -> str:
        return "the observation" if self.key is None else f"the observation's {self.key!r}"

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array]:
        """Choices, first column and lowest choice of every element, each [F]."""
        sizes = np.array(self.sizes, np.int64)
        return sizes, np.cumsum(sizes) - sizes, np.array(self.start, np.int64)
