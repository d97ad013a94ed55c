"""Action masks: which choices an environment allows at each step, as trailing columns of its observations.

Shapes: n observations, F elements of an action, K choices of all of them together, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.text import shown

Array = npt.NDArray[Any]

MEMBER = "action_mask"
"""Name of a mask in an `info` dictionary, and the usual one in a Dict observation."""
FROM_INFO, FROM_OBSERVATION = "info", "observation."
"""Values of env.action_mask; the second is followed by a member's name."""
NUMBERS = "biuf"
"""Kinds of numpy types that masks may have."""


@dataclass(frozen=True)
class ActionMask:
    """Where an environment gives its mask, and what it is a mask of."""

    sizes: tuple[int, ...]
    """[F]: choices of each element of an action."""
    member: str | None = None
    """The member of its Dict observations; None: info["action_mask"]."""

    @cached_property
    def width(self) -> int:
        """K."""
        return sum(self.sizes)

    @property
    def whose(self) -> str:
        """Where it is, for a message."""
        return f"info[{MEMBER!r}]" if self.member is None else f"the observation's {self.member!r}"

    def of(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """The mask of one result, unchecked.

        Raises:
            ValueError: there is none.
        """
        if self.member is not None:
            return observation[self.member]
        if not isinstance(info, Mapping):
            raise ValueError(f"info should have {MEMBER!r}, {self._expected}; info is {shown(info)}")
        if MEMBER not in info:
            raise ValueError(
                f"info should have {MEMBER!r}, {self._expected}; its keys are {shown(list(info))}"
            )
        return info[MEMBER]

    def columns(self, given: Any) -> Array:
        """A mask as booleans [K]; for several elements also a tuple of one mask each, or [F, K / F].

        Raises:
            ValueError: it has another length or type, values that are not 0 or 1, or allows nothing.
        """
        try:
            parts = self._read(given)
        except Exception as error:
            raise ValueError(f"{self.whose} should be {self._expected}; it is {shown(given)}") from error
        if parts is None or any(part.dtype.kind not in NUMBERS for part in parts):
            raise self._other(given)
        flat = np.concatenate([part.ravel() for part in parts])
        if not ((flat == 0) | (flat == 1)).all():
            raise self._other(given)
        allowed: Array = flat != 0
        for element, nothing in enumerate(self._blocked(allowed[None])[0].tolist()):
            if nothing:
                which = "" if len(self.sizes) == 1 else f" for element {element} of the action"
                text = f"{self.whose} should allow at least one choice{which}"
                raise ValueError(f"{text}; it is {shown(given)}")
        return allowed

    def fits(self, masks: Array) -> bool:
        """Whether masks [n, K] are all such that `columns` takes them."""
        if masks.ndim != 2 or masks.shape[1] != self.width or masks.dtype.kind not in NUMBERS:
            return False
        allowed = masks != 0
        return bool(((masks == 1) | ~allowed).all()) and not self._blocked(allowed).any()

    def first(self, allowed: Array) -> Array:
        """The first choice that is allowed of every element, [n, F] int64, for masks [n, K]."""
        return np.stack([part.argmax(-1) for part in self._parts(allowed)], -1)

    def drawn(self, allowed: Array, draws: np.random.Generator) -> Array:
        """An allowed choice of every element, [F] int64, each with the same probability; mask [K]."""
        return np.array([draws.choice(part.nonzero()[0]) for part in self._parts(allowed)], np.int64)

    def _read(self, given: Any) -> list[Array] | None:
        """A mask as arrays that are to be joined; None: it has another shape."""
        if isinstance(given, tuple | list) and len(given) == len(self.sizes) > 1:
            parts = [np.asarray(part) for part in given]
            if [part.shape for part in parts] == [(size,) for size in self.sizes]:
                return parts
        whole = np.asarray(given)
        even = len(self.sizes) > 1 and len(set(self.sizes)) == 1
        if whole.shape == (self.width,) or (even and whole.shape == (len(self.sizes), self.sizes[0])):
            return [whole]
        return None

    def _blocked(self, allowed: Array) -> Array:
        """Which elements [n, F] have no choice."""
        return np.stack([~part.any(-1) for part in self._parts(allowed)], -1)

    def _parts(self, allowed: Array) -> list[Array]:
        """Masks [..., K] element by element."""
        return np.split(allowed, np.cumsum(self.sizes)[:-1].tolist(), -1)

    @property
    def _expected(self) -> str:
        """What a mask should be, for a message."""
        return f"an array of {self.width} zeros and ones, one for each choice"

    def _other(self, given: Any) -> ValueError:
        kind = type(given).__name__
        if isinstance(given, np.ndarray):
            kind = f"an array of shape {given.shape} and type {given.dtype}"
        else:
            kind = f"of type {kind}"
        return ValueError(f"{self.whose} should be {self._expected}; it is {shown(given)}, {kind}")
