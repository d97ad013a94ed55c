"""Optimisers on flat [R, P] buffers: elementwise, one learning rate per run, equal bits stacked or alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.state import OptimiserState


def clip_by_norm_(gradients: Tensor, limit: Tensor, summed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scales gradients [R, P], in place, to a joint norm of at most `limit` [R, 1]; also the norms before.

    The divisor has 1e-6 added, as in `torch.nn.utils.clip_grad_norm_`. `summed` are the same gradients in the
    order in which their squares are summed; without it in memory order.
    """
    norms = torch.linalg.vector_norm(gradients if summed is None else summed, dim=-1, keepdim=True)
    scale = (limit / (norms + 1e-6)).clamp_(max=1.0)
    return gradients.mul_(scale), norms.squeeze(-1)


class Optimiser(ABC):
    """The steps of one update, on buffers of its own; gradients come one after the other.

    One block of the parameters moves, all without it; state and gradients are of that block.
    """

    initial_second: ClassVar[float] = 0.0
    """What the second moment starts at."""

    def __init__(
        self,
        parameters: Tensor,
        state: OptimiserState,
        hyper: Hyperparameters,
        planned: int,
        block: slice = slice(None),
    ) -> None:
        self.parameters = parameters.clone()
        """[R, P]; changed in place, so that views of it stay valid."""
        self._moving = self.parameters[:, block]
        self._hyper = hyper
        self._first, self._second = state.first.clone(), state.second.clone()
        self._steps = state.steps.clone()
        self._room = torch.empty_like(self._moving, memory_format=torch.contiguous_format)
        self._prepare(planned)

    @abstractmethod
    def _prepare(self, planned: int) -> None:
        """Computes what does not depend on gradients, for at most `planned` steps."""

    @abstractmethod
    def _move(self, gradients: Tensor) -> Tensor:
        """Advances the moments, in place; what a step down the gradients takes from the parameters."""

    def step(self, gradients: Tensor, active: Tensor | None = None) -> None:
        """One step down the gradients [R, P] by the runs of the mask `active` [R]; None: by all."""
        if active is None:
            self._moving -= self._move(gradients)
            self._steps += 1.0
            return
        mask, first, second = active.unsqueeze(-1), self._first.clone(), self._second.clone()
        self._moving -= torch.where(mask, self._move(gradients), 0.0)
        self._first = torch.where(mask, self._first, first)
        self._second = torch.where(mask, self._second, second)
        self._steps += active.float()

    def state(self) -> OptimiserState:
        """Moments and step counts to carry on."""
        return OptimiserState(self._first, self._second, self._steps)


class Adam(Optimiser):
    """θ ← θ - α m̂ / (√v̂ + ε) with bias-corrected moments m̂, v̂ (Kingma and Ba 2015, 'Adam', algorithm 1).

    In the order of their section 2, which is the same: α √(1-β₂ᵗ)/(1-β₁ᵗ) and ε √(1-β₂ᵗ) instead of α and ε,
    with the moments as they are. The corrections of all planned steps are known in advance: a run that stops
    early takes none of the later.
    """

    def _prepare(self, planned: int) -> None:
        hyper = self._hyper
        self._new_first, self._new_second = 1.0 - hyper.adam_beta1, 1.0 - hyper.adam_beta2
        ahead = torch.arange(1.0, planned + 1.0, dtype=torch.float64, device=self.parameters.device)
        counts = (self._steps.double().unsqueeze(-1) + ahead).T.unsqueeze(-1).contiguous()
        roots = (1.0 - hyper.adam_beta2.double() ** counts).sqrt()
        rates = hyper.learning_rate.double() * roots / (1.0 - hyper.adam_beta1.double() ** counts)
        floors = hyper.adam_eps.double() * roots
        self._corrections = iter(zip(rates.float().unbind(0), floors.float().unbind(0), strict=True))

    def _move(self, gradients: Tensor) -> Tensor:
        rate, floor = next(self._corrections)
        self._first.lerp_(gradients, self._new_first)
        self._second.lerp_(torch.mul(gradients, gradients, out=self._room), self._new_second)
        divisor = torch.sqrt(self._second, out=self._room).add_(floor)
        return torch.div(self._first, divisor, out=self._room).mul_(rate)


class RmsProp(Optimiser):
    """θ ← θ - α g / √(v + ε), v the running mean square, which starts at 1.

    ε under the root and the start at 1 are TensorFlow's, which A2C's published settings are for
    (Tieleman and Hinton 2012, lecture 6.5).
    """

    initial_second = 1.0

    def _prepare(self, planned: int) -> None:
        self._new = 1.0 - self._hyper.rmsprop_decay

    def _move(self, gradients: Tensor) -> Tensor:
        self._second.lerp_(torch.mul(gradients, gradients, out=self._room), self._new)
        divisor = torch.add(self._second, self._hyper.rmsprop_eps, out=self._room).sqrt_()
        return torch.div(gradients, divisor, out=self._room).mul_(self._hyper.learning_rate)


class Sgd(Optimiser):
    """θ ← θ - α g."""

    def _prepare(self, planned: int) -> None:
        """Nothing: a step depends on its gradient alone."""

    def _move(self, gradients: Tensor) -> Tensor:
        return torch.mul(gradients, self._hyper.learning_rate, out=self._room)


OPTIMISERS: dict[str, type[Optimiser]] = {"adam": Adam, "rmsprop": RmsProp, "sgd": Sgd}
