"""Running moments, and what they whiten or scale, in C.

Shapes: T time, R runs, N environments of one run, B rows, O observation width. `advance` and `encode` stand
for what `nets.observations` has by these names, `scaled_rewards` for that of `learner.statistics`.
"""

from __future__ import annotations

from ctypes import byref, c_double, c_int, c_long
from functools import cache
from math import inf
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from rlcli.kernels.arguments import POINTER, optional, pointer
from rlcli.kernels.library import function

SUFFIXES = {torch.float32: "f", torch.float64: "d"}
"""Types of samples that kernels read as they are; others become float64 first, which keeps every value."""
ROOM = 10
"""Rows of O float64 that advancing works in."""

AnyMoments = TypeVar("AnyMoments", bound="Moments")


class Moments(Protocol):
    """Running moments: a NamedTuple with these fields."""

    @property
    def seen(self) -> Tensor:
        """[R] float64."""

    @property
    def mean(self) -> Tensor:
        """[R, O] float64."""

    @property
    def variance(self) -> Tensor:
        """[R, O] float64."""


class Encoder(Protocol):
    """How one kind of observation becomes rows."""

    @property
    def kind(self) -> str:
        """discrete: one-hot."""

    @property
    def width(self) -> int:
        """O."""

    @property
    def normalize(self) -> bool:
        """Whether rows are whitened."""

    @property
    def measured(self) -> tuple[bool, ...] | None:
        """[O]: the columns that are; None: all."""


def advance(moments: AnyMoments, samples: Tensor) -> AnyMoments:
    """Moments after `samples` [R, B, O] too (Chan, Golub and LeVeque 1979, the pairwise update)."""
    samples = _real(samples)
    runs, count, width = samples.shape
    if count == 0:
        raise ValueError(f"samples: expected some, got {list(samples.shape)}")
    seen, mean, variance = (
        leaf.clone(memory_format=torch.contiguous_format)
        for leaf in (moments.seen, moments.mean, moments.variance)
    )
    room = torch.empty(ROOM, width, dtype=torch.float64)
    name = f"advance_{SUFFIXES[samples.dtype]}"
    function(name, c_long, c_long, c_long, *(POINTER,) * 5)(
        runs,
        count,
        width,
        pointer("samples", samples, samples.dtype, (runs, count, width)),
        pointer("seen", seen, torch.float64, (runs,)),
        pointer("mean", mean, torch.float64, (runs, width)),
        pointer("variance", variance, torch.float64, (runs, width)),
        room.data_ptr(),
    )
    return cast(AnyMoments, cast(Any, moments)._replace(seen=seen, mean=mean, variance=variance))


def encode(encoder: Encoder, observations: Tensor, moments: Moments) -> Tensor:
    """Raw observations [R, B, ...] as network inputs [R, B, O] float32, whitened by frozen statistics.

    ValueError: a discrete one is outside of [0, O).
    """
    if encoder.kind == "discrete":
        return _one_hot(observations, encoder.width)
    rows = observations.reshape(*observations.shape[:2], encoder.width)
    return _whitened(rows, moments, encoder.measured) if encoder.normalize else rows.float()


def scaled_rewards(config: Any, moments: Moments, rewards: Tensor) -> Tensor:
    """Rewards [T, R, N] as float32; clipped, or divided by the running deviation of the return, as asked."""
    steps, runs, envs = shape = tuple(rewards.shape)
    rewards, variance = rewards.contiguous(), moments.variance.contiguous()
    limit, scaled = config.algo.reward_clip, config.env.normalize_reward
    out = torch.empty(shape)
    function("scaled_rewards", c_long, c_long, c_long, POINTER, c_double, POINTER, POINTER)(
        steps,
        runs,
        envs,
        pointer("rewards", rewards, torch.float64, shape),
        inf if limit is None else limit,
        pointer("variance", variance, torch.float64, (runs, 1)) if scaled else None,
        out.data_ptr(),
    )
    return out


def _whitened(rows: Tensor, moments: Moments, measured: tuple[bool, ...] | None) -> Tensor:
    """Rows [R, B, O], each less the mean and divided by the deviation of its run."""
    rows, (runs, count, width) = _real(rows), rows.shape
    mean, variance = moments.mean.contiguous(), moments.variance.contiguous()
    mask = None if measured is None else _mask(measured)
    room, out = torch.empty(2, width, dtype=torch.float64), torch.empty(runs, count, width)
    name = f"encode_{SUFFIXES[rows.dtype]}"
    function(name, c_long, c_long, c_long, *(POINTER,) * 6)(
        runs,
        count,
        width,
        pointer("observations", rows, rows.dtype, (runs, count, width)),
        pointer("mean", mean, torch.float64, (runs, width)),
        pointer("variance", variance, torch.float64, (runs, width)),
        optional("measured", mask, torch.bool, (width,)),
        room.data_ptr(),
        out.data_ptr(),
    )
    return out


def _one_hot(observations: Tensor, width: int) -> Tensor:
    """Indices [R, B] as rows [R, B, O]."""
    index = observations.long().contiguous()
    out, outside = torch.empty(*index.shape, width), c_int(0)
    function("one_hot", c_long, c_long, POINTER, POINTER, POINTER)(
        index.numel(),
        width,
        pointer("observations", index, torch.int64, index.shape),
        out.data_ptr(),
        byref(outside),
    )
    if outside.value:
        raise ValueError(
            f"observations: expected indices in [0, {width}), got {index.min()} to {index.max()}"
        )
    return out


def _real(samples: Tensor) -> Tensor:
    """Contiguous float32 or float64."""
    return (samples if samples.dtype in SUFFIXES else samples.double()).contiguous()


@cache
def _mask(measured: tuple[bool, ...]) -> Tensor:
    return torch.tensor(measured)
