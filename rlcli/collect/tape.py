"""Actions of an evaluation's episodes, kept of those that are to be replayed: the best, the worst, the first.

An episode depends on its reset seed and actions alone, so these are all that a picture of it needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BEST, WORST, OTHER = "best", "worst", "episode"


class Taped(NamedTuple):
    """One episode that was played."""

    episode: int
    seed: int
    actions: list[Array]
    """One per step, as the environment took it."""
    total: float
    """Its return."""


class Tape:
    """Keeps the actions of an evaluation's episodes that are among the `count` to be replayed.

    The first is the episode of the highest return, the second that of the lowest, of equals the earlier; all
    others are the first of the evaluation.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._open: dict[int, list[Array]] = {}
        self._done: dict[int, Taped] = {}

    def step(self, episodes: npt.NDArray[np.int64], actions: Array) -> None:
        """One action [N, ...] of each of N episodes."""
        for episode, action in zip(episodes.tolist(), actions, strict=True):
            self._open.setdefault(episode, []).append(action)

    def end(self, episode: int, seed: int, total: float) -> None:
        """The end of an episode, with its return."""
        self._done[episode] = Taped(episode, seed, self._open.pop(episode), total)
        kept = {taped.episode for _, taped in self.chosen()}
        kept |= set(sorted(self._done)[: self._count])
        self._done = {number: taped for number, taped in self._done.items() if number in kept}

    def chosen(self) -> list[tuple[str, Taped]]:
        """The episodes to be replayed, each with what it is: best, worst, or episode."""
        if not self._done:
            return []
        order = sorted(self._done.values(), key=lambda taped: (-taped.total, taped.episode))
        lowest = min(order, key=lambda taped: (taped.total, taped.episode))
        found = [(BEST, order[0])]
        if lowest is not order[0]:
            found.append((WORST, lowest))
        others = (taped for number, taped in sorted(self._done.items()))
        found += [(OTHER, taped) for taped in others if taped not in (order[0], lowest)]
        return found[: self._count]
