"""The one product of the networks and its gradients, bit for bit the same whether runs are stacked or alone.

A width of 1 on either side would take another kernel when G = 1, and another last bit: there products are
written elementwise. Nothing else in the networks multiplies matrices.
Shapes: G stacked products (runs, or runs times trunks), B rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W + b for x [G, B, I], weight [G, I, O], bias [G, O] -> [G, B, O]."""
    inputs, outputs = weight.shape[-2:]
    if inputs == 1:
        return x * weight + bias.unsqueeze(-2)
    if outputs == 1:
        return (x * weight.transpose(-1, -2)).sum(-1, keepdim=True) + bias.unsqueeze(-2)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight)


def input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """dL/dx = dL/dy Wᵀ for a gradient [G, B, O] -> [G, B, I]."""
    inputs, outputs = weight.shape[-2:]
    if outputs == 1:
        return gradient * weight.transpose(-1, -2)
    if inputs == 1:
        return (gradient * weight).sum(-1, keepdim=True)
    return torch.bmm(gradient, weight.transpose(-1, -2))


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """dL/dW = xᵀ dL/dy for x [G, B, I] and a gradient [G, B, O] -> [G, I, O]."""
    if x.shape[-1] == 1:
        return (x * gradient).sum(-2, keepdim=True)
    if gradient.shape[-1] == 1:
        return (x * gradient).sum(-2).unsqueeze(-1)
    return torch.bmm(x.transpose(-1, -2), gradient)
