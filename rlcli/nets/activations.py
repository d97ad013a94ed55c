"""Non-linearities of hidden layers, each with its derivative as torch's own kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_aten = torch.ops.aten
_functional = torch.nn.functional


class Activation(NamedTuple):
    """A function and its gradient: backward(dL/dy, x, y) = dL/dx; both may overwrite their first argument."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh_, lambda g, x, y: _aten.tanh_backward.grad_input(g, y, grad_input=g)),
    "relu": Activation(
        torch.relu_, lambda g, x, y: _aten.threshold_backward.grad_input(g, y, 0, grad_input=g)
    ),
    "elu": Activation(_functional.elu, lambda g, x, y: _aten.elu_backward(g, 1.0, 1.0, 1.0, False, x)),
    "silu": Activation(_functional.silu, lambda g, x, y: _aten.silu_backward(g, x)),
    "gelu": Activation(_functional.gelu, lambda g, x, y: _aten.gelu_backward(g, x)),
}
