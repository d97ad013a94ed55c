"""A network of the user's own: a module behind `ModuleNetwork`, its results checked.

Shapes: B rows, O observation width, D policy outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.envs.user_code import located
from rlcli.errors import UserError
from rlcli.extend import faults, spaces
from rlcli.extend.tables import NETWORKS
from rlcli.nets.module import FREE, ModuleNetwork
from rlcli.nets.observations import Encoder


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


def check_own_network(network: OwnNetwork) -> None:
    """Calls a fresh module on a few rows.

    Raises:
        UserError: its results have the wrong shape or type, are not finite, or are others when it is called
            again; or its initial weights are not those of a seed.
    """
    about = network.described
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = network.factory()
        torch.manual_seed(0)
        if not all(map(torch.equal, module.parameters(), network.factory().parameters())):
            raise UserError(
                f"{about} has other initial weights when it is made again; expected weights that torch's "
                "own generator draws, which a run seeds."
            )
        for rows in (3, 1):
            inputs = network.encoder.trial(rows)
            width = f"{inputs.shape[1]} {'bytes' if inputs.dtype == torch.uint8 else 'numbers'}"
            try:
                found = module(inputs)
            except Exception as error:
                raise UserError(
                    f"{about} raised for {rows} observations of {width}: {located(error)}"
                ) from error
            fault = wrong_result(found, rows, network.outputs) or _not_finite(found)
            if fault is None and not all(map(torch.equal, found, module(inputs))):
                fault = (
                    "gave other results when it was called again with the same observations; a network is a "
                    "function of parameters and observations, without draws such as dropout"
                )
            if fault is not None:
                raise UserError(f"{about} {fault}.")


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
        except Exception as error:
            found, fault = None, f"raised {located(error)}"
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
    for part, title in zip(found, ("policy outputs", "values"), strict=True):
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
    except Exception as error:
        raise UserError(f"{about} cannot be made: {located(error)}") from error
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
