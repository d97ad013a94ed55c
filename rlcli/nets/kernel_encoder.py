"""From raw observations to the rows a network reads, in C."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rlcli.kernels import moments as kernels
from rlcli.nets.observations import Encoder, Moments


@dataclass(frozen=True)
class KernelEncoder(Encoder):
    """As `Encoder`."""

    def encode(self, observations: Tensor, moments: Moments) -> Tensor:
        """Raw observations [R, B, ...] as network inputs [R, B, O], whitened by frozen statistics."""
        return kernels.encode(self, observations, moments)
