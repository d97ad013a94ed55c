"""Outputs of a policy head as the most probable actions, in the environment's format.

Shapes: B observations, D outputs of the head, A elements of an action.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rlcli.envs.spec import ActionSpec
from rlcli.maths.distributions import Family
from rlcli.maths.gaussians import HIGHEST, LOWEST, SquashedFamily, StateGaussianFamily
from rlcli.standalone.inputs import torch_dtype


class Choices(nn.Module):
    """One of some choices for each element: logits [B, D]."""

    names = ("logits",)
    start: Tensor

    def __init__(self, action: ActionSpec) -> None:
        super().__init__()
        self._sizes = list(action.sizes) if action.kind == "multidiscrete" else [action.width]
        self._shape = action.shape
        self._dtype = torch_dtype(action.dtype)
        self.register_buffer("start", torch.as_tensor(action.start, dtype=torch.int64), persistent=False)

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Actions [B, *shape] and logits [B, D]."""
        chosen = torch.stack([part.argmax(-1) for part in torch.split(logits, self._sizes, -1)], -1)
        return (chosen.reshape(-1, *self._shape) + self.start).to(self._dtype), logits


class Switches(nn.Module):
    """Independent switches: logits [B, A] of each being on."""

    names = ("logits",)

    def __init__(self, action: ActionSpec) -> None:
        super().__init__()
        self._shape, self._dtype = action.shape, torch_dtype(action.dtype)

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Actions [B, *shape] and logits [B, A]."""
        return (logits > 0.0).reshape(-1, *self._shape).to(self._dtype), logits


class Reals(nn.Module):
    """Real numbers: the means of a Gaussian, clipped to bounds or squashed into them."""

    names = ("mean", "log_std")
    low: Tensor
    high: Tensor

    def __init__(self, action: ActionSpec, family: Family, free: Tensor) -> None:
        super().__init__()
        base = family.base if isinstance(family, SquashedFamily) else family
        self._width, self._shape, self._squashed = action.width, action.shape, action.squashed
        self._dtype = torch_dtype(action.dtype)
        self._start: float | None = base.start if isinstance(base, StateGaussianFamily) else None
        for name, bound in (("low", action.low), ("high", action.high)):
            self.register_buffer(name, torch.as_tensor(bound).to(self._dtype), persistent=False)
        self.log_std: nn.Parameter | None = None
        if self._start is None:
            self.log_std = nn.Parameter(free, requires_grad=False)

    def forward(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Actions [B, *shape], and means and log deviations [B, A] of the Gaussian before bounds."""
        mean = outputs[:, : self._width]
        if self.log_std is None:
            assert self._start is not None
            log_std = (outputs[:, self._width :] + self._start).clamp(LOWEST, HIGHEST)
        else:
            log_std = self.log_std + torch.zeros_like(mean)
        actions = mean.reshape(-1, *self._shape).to(self._dtype)
        if self._squashed:
            actions = self.low + (self.high - self.low) * (0.5 * (torch.tanh(actions) + 1.0))
        return torch.minimum(torch.maximum(actions, self.low), self.high), mean, log_std


def acting(action: ActionSpec, family: Family, free: Tensor) -> Choices | Switches | Reals:
    """What makes actions of outputs; `free` [F] are the policy's parameters that no observation changes."""
    if action.kind == "box":
        return Reals(action, family, free)
    return Switches(action) if action.kind == "multibinary" else Choices(action)
