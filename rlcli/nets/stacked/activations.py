"""Non-linearities of hidden layers, each with its derivative, the same for an element wherever it stands.

torch's own kernels of elu, silu and gelu round the last elements of an array otherwise than the others, so
that a run would come out otherwise alone than stacked; here they are made of operations that do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

_aten = torch.ops.aten


class Activation(NamedTuple):
    """A function and its gradient: backward(dL/dy, x, y) = dL/dx; both may overwrite their first argument."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    on_host: Callable[[Array], Array]
    """`forward` for numpy arrays."""


def _through_torch(function: Callable[[Tensor], Tensor]) -> Callable[[Array], Array]:
    return lambda x: function(torch.from_numpy(x)).numpy()


def _elu(x: Tensor) -> Tensor:
    return torch.where(x > 0.0, x, torch.expm1(x.clamp(max=0.0)))


def _elu_backward(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x > 0.0, g, g * (y + 1.0))


def _sigmoid(x: Tensor) -> Tensor:
    return (1.0 + torch.exp(-x)).reciprocal()


def _silu(x: Tensor) -> Tensor:
    return x * _sigmoid(x)


def _silu_backward(g: Tensor, x: Tensor, y: Tensor) -> Tensor:
    sigmoid = _sigmoid(x)
    return g * (sigmoid + y * (1.0 - sigmoid))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1.0 + torch.erf(x * 0.5**0.5))


def _gelu(x: Tensor) -> Tensor:
    return x * _normal_cdf(x)


def _gelu_backward(g: Tensor, x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * (x * x)) / math.sqrt(2.0 * math.pi)
    return g * (_normal_cdf(x) + x * density)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(
        torch.tanh_,
        lambda g, x, y: _aten.tanh_backward.grad_input(g, y, grad_input=g),
        lambda x: np.tanh(x, out=x),
    ),
    "relu": Activation(
        torch.relu_,
        lambda g, x, y: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g),
        lambda x: np.maximum(x, 0.0, out=x),
    ),
    "elu": Activation(_elu, _elu_backward, _through_torch(_elu)),
    "silu": Activation(_silu, _silu_backward, _through_torch(_silu)),
    "gelu": Activation(_gelu, lambda g, x, y: _gelu_backward(g, x), _through_torch(_gelu)),
}
