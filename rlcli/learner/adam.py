"""Adam on flat [R, P] buffers, a learning rate a run, elementwise: the same whether stacked or alone."""

from __future__ import annotations

import torch
from torch import Tensor

from rlcli.learner.hyperparameters import Hyperparameters
from rlcli.learner.state import AdamState


def clip_by_norm(gradients: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients [R, P] scaled to a joint norm of at most `limit` [R, 1]; also their norms [R] before.

    The divisor has 1e-6 added, as in `torch.nn.utils.clip_grad_norm_`.
    """
    norms = (gradients * gradients).sum(-1, keepdim=True).sqrt_()
    scale = (limit / (norms + 1e-6)).clamp_(max=1.0)
    return gradients * scale, norms.squeeze(-1)


class Adam:
    """The steps of one update, on buffers of its own; gradients come one after the other.

    θ ← θ - α m̂ / (√v̂ + ε) with bias-corrected moments m̂, v̂ (Kingma and Ba 2015, 'Adam', algorithm 1). The
    corrections of all `planned` steps are known in advance: a run that stops early takes none of the later.
    """

    def __init__(self, parameters: Tensor, state: AdamState, hyper: Hyperparameters, planned: int) -> None:
        self.parameters = parameters.clone()
        """[R, P]; changed in place, so that views of it stay valid."""
        self._first, self._second = state.first.clone(), state.second.clone()
        self._steps = state.steps.clone()
        self._eps = hyper.adam_eps
        self._new_first, self._new_second = 1.0 - hyper.adam_beta1, 1.0 - hyper.adam_beta2
        ahead = torch.arange(1.0, planned + 1.0, dtype=torch.float64, device=parameters.device)
        counts = (state.steps.double().unsqueeze(-1) + ahead).T.unsqueeze(-1).contiguous()
        rates = hyper.learning_rate.double() / (1.0 - hyper.adam_beta1.double() ** counts)
        self._rates = rates.float().unbind(0)
        self._roots = (1.0 - hyper.adam_beta2.double() ** counts).sqrt().float().unbind(0)
        self._taken = 0

    def step(self, gradients: Tensor, active: Tensor | None = None) -> None:
        """One step down the gradients [R, P] by the runs of the mask `active` [R]; None: by all."""
        first = torch.lerp(self._first, gradients, self._new_first)
        second = torch.lerp(self._second, gradients * gradients, self._new_second)
        divisor = second.sqrt().div_(self._roots[self._taken]).add_(self._eps)
        move = first.div(divisor).mul_(self._rates[self._taken])
        self._taken += 1
        if active is None:
            self._first, self._second = first, second
            self._steps += 1.0
        else:
            mask = active.unsqueeze(-1)
            move = torch.where(mask, move, 0.0)
            self._first = torch.where(mask, first, self._first)
            self._second = torch.where(mask, second, self._second)
            self._steps += active.float()
        self.parameters -= move

    def state(self) -> AdamState:
        """Moments and step counts to carry on."""
        return AdamState(self._first, self._second, self._steps)
