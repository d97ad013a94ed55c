"""The parts of an observation that our side sees as one vector, and how each is written into it.

Shapes: n observations, F elements of one part. Numbers are taken as they are; an element that is one of k
choices becomes k columns, 1 in that of the choice (one-hot).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Member:
    """One part of a structured observation: one flat space."""

    key: str | int | None
    """Under which an observation of a Dict or Tuple space holds it; None: it is the whole observation."""
    kind: str
    """box, discrete, multidiscrete or multibinary."""
    shape: tuple[int, ...]
    sizes: tuple[int, ...] | None = None
    """[F]: how many choices each element is one of; None: the elements are numbers."""
    start: tuple[int, ...] = ()
    """[F]: the lowest choice of each element."""

    @property
    def width(self) -> int:
        """Columns of the vector."""
        return math.prod(self.shape) if self.sizes is None else sum(self.sizes)

    def of(self, observation: Any) -> Any:
        """This part of an observation."""
        return observation if self.key is None else observation[self.key]

    def vectors(self, values: Array, dtype: npt.DTypeLike = np.float32) -> Array:
        """Values [n, *shape] as columns [n, width] of this type.

        Raises:
            ValueError: an element is none of its choices.
        """
        flat = values.reshape(len(values), math.prod(self.shape))
        if self.sizes is None:
            return flat.astype(dtype)
        sizes, begins, start = self._columns
        given = flat - start
        chosen = given.astype(np.int64)
        wrong = (chosen != given) | (chosen < 0) | (chosen >= sizes)
        if wrong.any():
            whose = "the observation" if self.key is None else f"the observation's {self.key!r}"
            raise ValueError(f"{whose} holds {flat[wrong][0]}, which is none of its choices")
        found = np.zeros((len(values), self.width), dtype)
        found[np.arange(len(values))[:, None], begins + chosen] = 1.0
        return found

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array]:
        """Choices, first column and lowest choice of every element, each [F]."""
        sizes = np.array(self.sizes, np.int64)
        return sizes, np.cumsum(sizes) - sizes, np.array(self.start, np.int64)
