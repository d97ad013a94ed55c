"""From raw observations to the rows a network reads; the statistics are part of the policy.

Shapes: R runs, B rows, O observation width after encoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

CLIP = 10.0
"""Whitened observations and scaled rewards are clipped to [-10, 10]."""
FLOOR = 1e-8
"""Added to a variance before its root is a divisor."""


class Moments(NamedTuple):
    """Running population moments in float64; leaves [R, ...]."""

    seen: Tensor
    """[R]: samples so far."""
    mean: Tensor
    """[R, O]."""
    variance: Tensor
    """[R, O]; 1 before anything was seen."""


def no_moments(runs: int, width: int) -> Moments:
    """Moments of nothing: mean 0, variance 1."""
    seen = torch.zeros(runs, dtype=torch.float64)
    mean = torch.zeros(runs, width, dtype=torch.float64)
    return Moments(seen, mean, torch.ones_like(mean))


def advance(moments: Moments, samples: Tensor) -> Moments:
    """Moments after `samples` [R, B, O] too (Chan, Golub and LeVeque 1979, the pairwise update)."""
    rows = samples.double().transpose(1, 2).contiguous()
    added = rows.shape[-1]
    mean = rows.mean(-1)
    variance = ((rows - mean.unsqueeze(-1)) ** 2).mean(-1)
    before = moments.seen.unsqueeze(-1)
    total = before + added
    shift = mean - moments.mean
    pooled = before * moments.variance + added * variance + shift * shift * (before * added / total)
    return Moments(moments.seen + added, moments.mean + shift * (added / total), pooled / total)


@dataclass(frozen=True)
class Encoder:
    """How one kind of observation becomes [R, B, O] float32."""

    kind: str
    """discrete: one-hot; all others are numbers already, and flattened."""
    width: int
    normalize: bool
    measured: tuple[bool, ...] | None = None
    """[O]: the columns that whitening changes; others are choices or switches, 0 or 1. None: all."""
    mask: int = 0
    """K: columns behind the O, a mask of actions, which go to the network as they are."""

    @property
    def row_width(self) -> int:
        """Columns of a network's inputs before those of a mask."""
        return self.width

    def blank(self, rows: int, device: str) -> Tensor:
        """Network inputs [B, O] of zeros."""
        return torch.zeros(rows, self.width, device=device)

    def trial(self, rows: int) -> Tensor:
        """Network inputs [B, O] from -1 to 1, to try a network with."""
        return torch.linspace(-1.0, 1.0, rows * self.width).view(rows, self.width)

    def rows(self, observations: Tensor) -> Tensor:
        """Raw observations of numbers [R, B, ...], of any shape, as features [R, B, O]."""
        return self._flat(observations)[..., : self.width]

    def encode(self, observations: Tensor, moments: Moments) -> Tensor:
        """Raw observations [R, B, ...] as network inputs [R, B, O + K], whitened by frozen statistics.

        In float64: float32 would lose what is small beside the mean.
        """
        features = self._features(observations, moments)
        if not self.mask:
            return features
        return torch.cat((features, self._flat(observations)[..., self.width :].float()), -1)

    def _flat(self, observations: Tensor) -> Tensor:
        return observations.reshape(*observations.shape[:2], self.width + self.mask)

    def _features(self, observations: Tensor, moments: Moments) -> Tensor:
        if self.kind == "discrete":
            return torch.nn.functional.one_hot(observations.long(), self.width).float()
        if not self.normalize:
            return self.rows(observations).float()
        mean, scale = self.whitening(moments)
        return ((self.rows(observations).double() - mean) * scale).clamp(-CLIP, CLIP).float()

    def on_host(self, moments: Moments) -> Callable[[Array], Array]:
        """`encode` for numpy arrays [R, N, ...], with these statistics."""
        if self.kind == "discrete":
            one_hot = np.eye(self.width, dtype=np.float32)
            return lambda observations: one_hot[observations]

        def flat(observations: Array) -> Array:
            return observations.reshape(*observations.shape[:2], math.prod(observations.shape[2:]))

        if not self.normalize:
            return lambda observations: flat(observations).astype(np.float32, copy=False)
        mean, scale = (part.cpu().numpy() for part in self.whitening(moments))

        def whitened(observations: Array) -> Array:
            rows = (flat(observations).astype(np.float64, copy=False) - mean) * scale
            clipped: Array = np.clip(rows, -CLIP, CLIP).astype(np.float32)
            return clipped

        if not self.mask:
            return whitened
        width = self.width

        def with_mask(observations: Array) -> Array:
            given = flat(observations)
            return np.concatenate((whitened(given[..., :width]), given[..., width:].astype(np.float32)), -1)

        return with_mask

    def interleaved(self) -> Encoder:
        """One whose rows convolutions read fastest; the same where there are no images."""
        return self

    def whitening(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """What is subtracted from observations and what they are then multiplied by, [R, 1, O] float64."""
        mean = moments.mean.unsqueeze(1)
        scale = (moments.variance + FLOOR).rsqrt().unsqueeze(1)
        if self.measured is None:
            return mean, scale
        measured = torch.tensor(self.measured, device=mean.device)
        return torch.where(measured, mean, 0.0), torch.where(measured, scale, 1.0)
