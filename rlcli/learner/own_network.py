"""A network of the user's own: a module behind `ModuleNetwork`, its results checked.

Shapes: B rows, O observation width, D policy outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import explained
from rlcli.errors import UserError
from rlcli.extend import faults, spaces
from rlcli.extend.tables import NETWORKS
from rlcli.nets.module import FREE, ModuleNetwork
from rlcli.nets.observations import Encoder

TRIED = 3
"""Rows with which a module is tried before training."""
TOLERANCE = 1e-3
"""Difference of two results that rounding may make, as a part of the largest number."""
TITLES = ("policy outputs", "values")
"""The two results of a module, for messages."""


def own_network(config: RunConfig, spec: EnvSpec, encoder: Encoder, outputs: int, free: int) -> OwnNetwork:
    """The network that `network.name` names, of a module that was registered."""
    name = config.network.name
    found, start = NETWORKS[name], f"network.{name}."
    keys = {
        key.removeprefix(start): copy.deepcopy(value)
        for key, value in config.own.items()
        if key.startswith(start)
    }
    make = partial(
        found.factory,
        spaces.observation_space(spec.observation),
        spaces.action_space(spec.action),
        outputs,
        **keys,
    )
    described = f"{found.place}: network {name!r}"
    return OwnNetwork(
        partial(_made, make, described),
        encoder,
        free,
        config.network.log_std_init,
        described=described,
        outputs=outputs,
    )


def check_own_network(network: OwnNetwork, *, with_critic: bool = True) -> None:
    """Calls a fresh module on a few rows; `with_critic`: values are trained, too.

    Raises:
        UserError: its results have the wrong shape or type, are not finite or have no gradient, or an
            observation has others when it is passed again, alone or in evaluation mode; or its initial
            weights are not those of a seed.
    """
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        module = _seeded(network)
        inputs = network.encoder.trial(TRIED)
        with torch.no_grad():
            together = _results(network, module, inputs)
            again = _results(network, module, inputs)
            each = zip(*(_results(network, module, row) for row in torch.split(inputs, 1)), strict=True)
            alone = tuple(map(torch.cat, each))
        if not all(map(torch.equal, together, again)):
            raise UserError(
                f"{network.described} gave other results when it was called again with the same "
                "observations; a network is a function of parameters and observations, without draws such as "
                "dropout."
            )
        if _differ(together, alone):
            raise UserError(
                f"{network.described} gave other results for an observation alone than among others: its "
                "outputs of one observation depend on the others in the batch, as with batch statistics; "
                "each row has to be computed by itself. LayerNorm does so."
            )
        _check_gradients(network, module, inputs, with_critic)
        module.eval()
        with torch.no_grad():
            if _differ(together, _results(network, module, inputs)):
                raise UserError(
                    f"{network.described} gave other results after module.eval(); a network is one function, "
                    "in training, evaluation and export."
                )


def _seeded(network: OwnNetwork) -> nn.Module:
    """A fresh module, whose initial weights are those of a seed."""
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(network.factory())
    if not all(map(torch.equal, *(one.parameters() for one in made))):
        raise UserError(
            f"{network.described} has other initial weights when it is made again; expected weights that "
            "torch's own generator draws, which a run seeds."
        )
    return made[0]


def _results(network: OwnNetwork, module: Callable[[Tensor], Any], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What a module gives for rows, checked by itself."""
    about, rows = network.described, len(inputs)
    before = inputs.clone()
    try:
        found = module(inputs)
        fault = wrong_result(found, rows, network.outputs) or _not_finite(found)
    except BaseException as error:
        width = f"{inputs.shape[1]} {'bytes' if inputs.dtype == torch.uint8 else 'numbers'}"
        amount = "1 observation" if rows == 1 else f"{rows} observations"
        raise UserError(f"{about} raised for {amount} of {width}: {explained(error)}") from error
    if fault is None and not torch.equal(inputs, before):
        fault = "changed the observations that it was called with; it should work on a copy"
    if fault is not None:
        raise UserError(f"{about} {fault}.")
    output, value = found
    return output, value


def _check_gradients(network: OwnNetwork, module: nn.Module, inputs: Tensor, with_critic: bool) -> None:
    """Raises `UserError` where results that are trained do not follow from the parameters."""
    about = network.described
    leaves = {name: one.detach().clone().requires_grad_() for name, one in module.named_parameters()}
    with torch.enable_grad():
        found = _results(network, lambda rows: functional_call(module, leaves, (rows,)), inputs)
        for part, title in zip(found, TITLES if with_critic else TITLES[:1], strict=False):
            try:
                slopes = _slopes(part, leaves.values())
            except BaseException as error:
                raise UserError(
                    f"{about} raised for the gradient of its {title}: {explained(error)}"
                ) from error
            if all(slope is None for slope in slopes):
                raise UserError(
                    f"{about} gave {title} without a gradient by any parameter, which training could not "
                    "change; compute them from the parameters in torch, without detach, no_grad, item or "
                    "numpy."
                )


def _slopes(part: Tensor, leaves: Collection[Tensor]) -> Sequence[Tensor | None]:
    """The gradient of a result by each parameter; None by those of which it is no function."""
    if not part.requires_grad:
        return [None] * len(leaves)
    return torch.autograd.grad(part.sum(), list(leaves), retain_graph=True, allow_unused=True)


def _differ(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether results are others by more than the rounding of single precision."""
    return any(
        bool((one - other).abs().max() > TOLERANCE * one.abs().max())
        for one, other in zip(some, others, strict=True)
    )


@dataclass(frozen=True)
class OwnNetwork(ModuleNetwork):
    """`ModuleNetwork` whose module may fail: NaN then stands in for its results, and the fault is noted."""

    described: str = ""
    """Place and name, for messages."""
    outputs: int = 0
    """D."""

    def _call(self, own: Mapping[str, Tensor], inputs: Tensor, *memory: Tensor | None) -> tuple[Tensor, ...]:
        rows = len(inputs)
        try:
            found: Any = super()._call(own, inputs, *memory)
            # Natural steps are computed in float64.
            fault = wrong_result(found, rows, self.outputs, own[FREE].dtype) or _not_finite(found)
        except BaseException as error:
            found, fault = None, f"raised {explained(error)}"
        if fault is None:
            output, value = found
            return output, value
        # Parameters that are not finite are not the module's doing.
        given = (*own.values(), inputs)
        if inputs.device.type != "meta" and all(bool(one.isfinite().all()) for one in given):
            faults.note(f"{self.described} {fault}")
        nothing = torch.stack([one.sum() for one in own.values()]).sum() * math.nan
        return nothing.expand(rows, self.outputs), nothing.expand(rows)


def wrong_result(found: Any, rows: int, outputs: int, precision: torch.dtype = torch.float32) -> str | None:
    """What is wrong with the type or shape of a module's result for B rows; None if nothing is."""
    kind = str(precision).removeprefix("torch.")
    expected = f"policy outputs of shape ({rows}, {outputs}) and values of shape ({rows},), {kind}"
    if not isinstance(found, tuple | list) or len(found) != 2:
        what = f"{len(found)} results" if isinstance(found, tuple | list) else f"one {type(found).__name__}"
        return f"gave {what} for {rows} observations, expected two: {expected}"
    shapes = ((rows, outputs), (rows,))
    for part, shape in zip(found, shapes, strict=True):
        if not isinstance(part, Tensor) or part.shape != shape or part.dtype is not precision:
            given = " and ".join(_described(one) for one in found)
            return f"gave {given} for {rows} observations, expected {expected}"
    return None


def _not_finite(found: tuple[Tensor, Tensor]) -> str | None:
    if found[0].is_meta:
        return None
    for part, title in zip(found, TITLES, strict=True):
        wrong = part.detach().isfinite().logical_not()
        if wrong.any():
            worst = part.detach()[wrong][0].item()
            return f"gave {title} that are not finite ({worst}), expected finite numbers"
    return None


def _described(part: Any) -> str:
    if isinstance(part, Tensor):
        return f"{tuple(part.shape)} {str(part.dtype).removeprefix('torch.')}"
    return type(part).__name__


def _made(factory: Callable[[], Any], about: str) -> nn.Module:
    """A module of the user's factory; what it may not be is a `UserError`."""
    try:
        module = factory()
    except BaseException as error:
        raise UserError(f"{about} cannot be made: {explained(error)}") from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{about} gave {type(module).__name__}, expected a torch.nn.Module.")
    buffers = [name for name, _ in module.named_buffers()]
    if buffers:
        raise UserError(
            f"{about} has buffers ({', '.join(buffers[:3])}), which no checkpoint keeps, such as the running "
            "statistics of BatchNorm; expected parameters alone. LayerNorm has none."
        )
    if not any(True for _ in module.parameters()):
        raise UserError(f"{about} has no parameters to train.")
    beside = [
        f"{name}.{attribute}".lstrip(".")
        for name, part in module.named_modules()
        for attribute, value in vars(part).items()
        if isinstance(value, Tensor)
    ]
    if beside:
        raise UserError(
            f"{about} keeps the tensor {beside[0]} beside its parameters, which no checkpoint has; compute "
            "it in forward, or make it a parameter."
        )
    wrong = [name for name, one in module.named_parameters() if one.dtype is not torch.float32]
    if wrong:
        raise UserError(f"{about}: the parameter {wrong[0]} is not float32.")
    return module
