"""Derivatives by automatic differentiation, for formulas that have none written out.

Updates run in torch's inference mode, whose tensors no graph may keep: everything is copied out of it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor


def outside(tensor: Tensor) -> Tensor:
    """A copy that a graph may keep, even of a tensor made in inference mode."""
    with torch.inference_mode(False), torch.no_grad():
        return tensor.detach().clone()


def gradients(function: Callable[..., Tensor], at: Sequence[Tensor]) -> list[Tensor]:
    """∇ of a scalar function at tensors, one gradient each; 0 for those it does not depend on.

    What the function reads besides must be `outside` inference mode.
    """
    with torch.inference_mode(False), torch.enable_grad():
        moving = [outside(one).requires_grad_() for one in at]
        return _gradients(function(*moving), moving)


def hessian_product(
    function: Callable[..., Tensor], at: Sequence[Tensor], tangents: Sequence[Tensor]
) -> list[Tensor]:
    """∇²f v of a scalar function at tensors, for tangents v of their shapes."""
    with torch.inference_mode(False), torch.enable_grad():
        moving = [outside(one).requires_grad_() for one in at]
        slopes = _gradients(function(*moving), moving, create_graph=True)
        pairs = zip(slopes, tangents, strict=True)
        along = cast(Tensor, sum((slope * outside(tangent)).sum() for slope, tangent in pairs))
        return _gradients(along, moving)


def derivative(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """f'(x) of an elementwise function, of the shape of x."""
    return gradients(lambda x: function(x).sum(), [at])[0]


def _gradients(total: Tensor, moving: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    if not total.requires_grad:
        return [torch.zeros_like(one) for one in moving]
    found = torch.autograd.grad(total, moving, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(one) if part is None else part for part, one in zip(found, moving, strict=True)]
