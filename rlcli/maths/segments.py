"""Segments of a rollout: what one environment did within one episode and one rollout.

Shapes: [T, ..., N], time-major; N environments of one run, the axes between (none, or R) are runs. What
there is one of for a run is [R, 1] as an argument and [R] as a result. A segment is what one environment did
from the later of episode and rollout start to the earlier of their ends; a run has S of them.
Segments that do not count (`segments`) are as if they were not there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Segments(NamedTuple):
    """How a rollout divides; each [T, ..., N]."""

    last: Tensor
    """Whether the step is its segment's last."""
    age: Tensor
    """int64: steps since the segment's first."""
    counted: Tensor
    """Whether the step's segment counts; what does not count has no part in any sum, mean or figure."""

    @property
    def total(self) -> Tensor:
        """S, [...] int64."""
        return per_run(self.last & self.counted).sum(-1)


def segments(ended: Tensor, longest: int | None = None) -> Segments:
    """The segments of a rollout from its ends of either kind.

    With `longest`, the most steps a segment can have, only those count that began early enough to end within
    the rollout however long they become. Which these are does not depend on what comes after: to take all
    that did end would prefer the short.
    """
    last = ended.clone()
    last[-1] = True
    first = torch.ones_like(last)
    first[1:] = last[:-1]
    clock = torch.arange(len(ended), device=ended.device).view(-1, *[1] * (ended.dim() - 1))
    begun = torch.where(first, clock, 0).cummax(0).values
    counted = torch.ones_like(last) if longest is None else begun <= len(ended) - longest
    return Segments(last, clock - begun, counted)


def per_run(values: Tensor) -> Tensor:
    """[T, ..., N] -> contiguous [..., T N]."""
    return values.movedim(0, -2).flatten(-2).contiguous()


def spread(values: Tensor, last: Tensor) -> Tensor:
    """Each segment's value at its last step, at all its steps."""
    held = torch.zeros_like(values[0])
    found = []
    for value, end in zip(reversed(values.unbind(0)), reversed(last.unbind(0)), strict=True):
        held = torch.where(end, value, held)
        found.append(held)
    return torch.stack(found[::-1])


def at_start(values: Tensor, parts: Segments) -> Tensor:
    """Each segment's value at its first step, at all its steps."""
    clock = torch.arange(len(values), device=values.device).view(-1, *[1] * (values.dim() - 1))
    return values.gather(0, clock - parts.age)


def at_age(by_age: Tensor, age: Tensor) -> Tensor:
    """Entries of [..., T] at the ages [T, ..., N]."""
    return by_age.gather(-1, per_run(age)).view(*age.shape[1:-1], len(age), -1).movedim(-2, 0)


def means_by_age(values: Tensor, parts: Segments) -> Tensor:
    """Sums of [T, ..., N] over the segments that reach each age, divided by all S: [..., T]."""
    by_run, age = per_run(torch.where(parts.counted, values, 0.0)), per_run(parts.age)
    sums = by_run.new_zeros(*by_run.shape[:-1], len(values)).scatter_add(-1, age, by_run)
    return sums / parts.total.to(values.dtype).unsqueeze(-1)
