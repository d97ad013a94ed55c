"""The one product of the networks and its gradients, bit for bit the same whether runs are stacked or alone.

A width of 1 on either side would take another kernel when G = 1, and another last bit: there products are
written elementwise. Nothing else in the networks multiplies matrices.
Shapes: G stacked products (runs, or runs times trunks), B rows, I inputs, O outputs. `out` is where a result
goes; None: into memory of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product(x: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """x W for x [G, B, I], weight [G, I, O] -> [G, B, O]."""
    inputs, outputs = weight.shape[-2:]
    if inputs == 1:
        return torch.mul(x, weight, out=out)
    if outputs == 1:
        return torch.sum(x * weight.transpose(-1, -2), -1, keepdim=True, out=out)
    return torch.bmm(x, weight, out=out)


def linear(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor | None = None) -> Tensor:
    """x W + b for x [G, B, I], weight [G, I, O], bias [G, O] -> [G, B, O]."""
    return product(x, weight, out).add_(bias.unsqueeze(-2))


def add_product(total: Tensor, x: Tensor, weight: Tensor) -> None:
    """Adds x W to the total [G, B, O] in place, for x [G, B, I], weight [G, I, O]."""
    inputs, outputs = weight.shape[-2:]
    if inputs == 1:
        total.addcmul_(x, weight)
    elif outputs == 1:
        total += (x * weight.transpose(-1, -2)).sum(-1, keepdim=True)
    else:
        total.baddbmm_(x, weight)


def input_gradient(gradient: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """dL/dx = dL/dy Wᵀ for a gradient [G, B, O] -> [G, B, I]."""
    inputs, outputs = weight.shape[-2:]
    if outputs == 1:
        # Not the transpose, whose strides a single row would inherit, and its next product another kernel.
        return torch.mul(gradient, weight.squeeze(-1).unsqueeze(-2), out=out)
    if inputs == 1:
        return torch.sum(gradient * weight, -1, keepdim=True, out=out)
    return torch.bmm(gradient, weight.transpose(-1, -2), out=out)


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """dL/dW = xᵀ dL/dy for x [G, B, I] and a gradient [G, B, O] -> [G, I, O]."""
    if x.shape[-1] == 1:
        return (x * gradient).sum(-2, keepdim=True)
    if gradient.shape[-1] == 1:
        return (x * gradient).sum(-2).unsqueeze(-1)
    return torch.bmm(x.transpose(-1, -2), gradient)
