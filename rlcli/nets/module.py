"""Any `torch.nn.Module` as a network: one functional call per run, derivatives by automatic differentiation.

The reference that written-out passes are tested against, and how a new network is right from its first day.

Shapes: R runs, B rows, D policy outputs, F free policy parameters, P parameters of one run, Q those of a
part, N sequences, M numbers of recurrent memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rlcli.nets.memory import Memory
from rlcli.nets.network import ACTOR, ALL, CRITIC, Heads, Network, OnHost, Recorded
from rlcli.nets.observations import Encoder

ROWS = 2
"""Rows that are passed to count what one needs."""
HOST = "cpu"
FREE = "free"
"""Name of the free policy parameters, which are the network's and not the module's."""


@dataclass(frozen=True)
class ModuleNetwork:
    """A module whose `forward` takes encoded observations [B, ...] and gives outputs [B, D] and values [B].

    Parameters of a submodule named `critic` are the critic's, all others the actor's, and the two may share
    none; without such a submodule the parts share everything. A module has neither buffers that change nor
    draws (no batch statistics, no dropout): it is a function of its parameters and inputs.

    With a `memory_width` it also takes the states [N, M] that sequences start with and the rows [B] that
    begin an episode (or None), as in `Memory`, and also gives states [B, M], as `Heads.memory` has them.
    """

    factory: Callable[[], nn.Module]
    encoder: Encoder
    free: int = 0
    """F."""
    log_std: float = 0.0
    """What free parameters start at."""
    memory_width: int = 0
    """M."""
    runs_apart: ClassVar[bool] = True

    @cached_property
    def parts(self) -> Mapping[str, slice]:
        """Blocks of the flat buffer: the actor's with the free parameters at its end, then the critic's."""
        size = sum(math.prod(shape) for shape in self._shapes.values())
        critic = sum(
            math.prod(shape) for name, shape in self._shapes.items() if name.startswith(f"{CRITIC}.")
        )
        if not critic:
            return dict.fromkeys((ALL, ACTOR, CRITIC), slice(0, size))
        return {ALL: slice(0, size), ACTOR: slice(0, size - critic), CRITIC: slice(size - critic, size)}

    @property
    def order(self) -> None:
        """Parameters are declared as they lie."""
        return None

    @cached_property
    def units(self) -> int:
        """What automatic differentiation keeps of one row, counted on rows of zeros.

        Not on the meta device: torch then loads its compiler, and with it libraries that may not bear others.
        """
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            return kept.setdefault(tensor.untyped_storage()._cdata, tensor)

        parameters = zeros(self._module)
        own = {parameter.untyped_storage()._cdata for parameter in parameters.values()}
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            memory = (torch.zeros(ROWS, self.memory_width), None) if self.memory_width else ()
            functional_call(self._module, parameters, (self.encoder.blank(ROWS, HOST), *memory))
        return sum(tensor.numel() for storage, tensor in kept.items() if storage not in own) // ROWS

    @property
    def auxiliary(self) -> Network | None:
        """None: a module has no second value head."""
        return None

    def initial(self, generator: torch.Generator) -> Tensor:
        """The module's own initial parameters, from a seed that the generator draws."""
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.manual_seed(seed)
            found: dict[str, Tensor] = dict(self.factory().named_parameters())
        found[FREE] = torch.full((1, self.free), self.log_std)
        return torch.cat([found[name].detach().flatten() for name in self._shapes])

    def initial_auxiliary(self, generator: torch.Generator) -> Tensor:
        """There is no auxiliary head."""
        raise NotImplementedError("A network of a module has no auxiliary value head.")

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = ALL
    ) -> Heads:
        """Outputs at inputs [R, B, ...], one call per run."""
        with torch.no_grad():
            return _of_part(self._stacked(self.named(parameters), inputs, memory, part), part)

    def both(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Heads:
        """Outputs of policy and value at inputs [R, B, ...], by the same calls."""
        return self.heads(parameters, inputs, memory)

    def recorded(self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None) -> Recorded:
        """The graph of a lone run is kept; those of several would take as many times its memory.

        All are made, as a module may round otherwise where no graph is made.
        """
        found = []
        for run in self.blocks(inputs):
            own = None if memory is None else memory.of(run)
            graph = Graph(self, parameters[run], inputs[run], own, ACTOR)
            found.append(graph.both[:3])
        if len(found) == 1:
            return Recorded(graph.both, graph)
        return Recorded(Heads(*(torch.cat(each) for each in zip(*found, strict=True))), None)

    def linearise(
        self,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None = None,
        *,
        part: str = ALL,
        repeatedly: bool = False,
    ) -> Graph:
        """Outputs at inputs [R, B, ...] with a graph to the parameters of the part."""
        return Graph(self, parameters, inputs, memory, part, alone=True)

    def entering(self, parameters: Tensor, inputs: Tensor, part: str) -> Tensor:
        """Inputs: no features are kept."""
        return inputs

    def blocks(self, inputs: Tensor) -> list[slice]:
        """One run at a time."""
        return [slice(run, run + 1) for run in range(len(inputs))]

    def on_host(self, parameters: Tensor) -> OnHost | None:
        """None: a module acts in torch."""
        return None

    @cached_property
    def _module(self) -> nn.Module:
        with torch.device("meta"), torch.inference_mode(False):
            return self.factory()

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one run's parameters, as they lie."""
        shapes = {name: tuple(parameter.shape) for name, parameter in self._module.named_parameters()}
        actor = {name: shape for name, shape in shapes.items() if not name.startswith(f"{CRITIC}.")}
        return {
            **actor,
            FREE: (1, self.free),
            **{name: shape for name, shape in shapes.items() if name not in actor},
        }

    def _stacked(
        self,
        parameters: Sequence[Mapping[str, Tensor]],
        inputs: Tensor,
        memory: Memory | None,
        part: str = ALL,
    ) -> Heads:
        """The heads of all runs, from each run's parameters by name; at least those of a part."""
        runs = zip(parameters, self._arguments(inputs, memory), strict=True)
        found = zip(*(self._call_for(part, own, *arguments) for own, arguments in runs), strict=True)
        outputs, values, *after = (torch.stack(each) for each in found)
        return Heads(outputs, torch.stack([own[FREE] for own in parameters]), values, *after)

    def _arguments(self, inputs: Tensor, memory: Memory | None) -> Iterator[tuple[Any, ...]]:
        """What the module is called with, run by run."""
        if not self.memory_width:
            return zip(inputs, strict=True)
        assert memory is not None, "a network with memory needs its state"
        begins = [None] * len(inputs) if memory.begins is None else memory.begins
        return zip(inputs, memory.state, begins, strict=True)

    def _call_for(
        self, part: str, own: Mapping[str, Tensor], inputs: Tensor, *memory: Tensor | None
    ) -> tuple[Tensor, ...]:
        """As `_call`; numbers that the part does not determine may be any."""
        return self._call(own, inputs, *memory)

    def _call(self, own: Mapping[str, Tensor], inputs: Tensor, *memory: Tensor | None) -> tuple[Tensor, ...]:
        """Outputs, values and states after rows, if there are any."""
        of_module = {name: value for name, value in own.items() if name != FREE}
        heads: tuple[Tensor, ...] = functional_call(self._module, of_module, (inputs, *memory))
        return heads

    def _of(self, part: str) -> list[str]:
        """Names of a part's parameters, as they lie."""
        ends = list(accumulate(math.prod(shape) for shape in self._shapes.values()))
        block = self.parts[part]
        return [name for name, end in zip(self._shapes, ends, strict=True) if block.start < end <= block.stop]

    def named(self, parameters: Tensor) -> list[dict[str, Tensor]]:
        """Parameters [R, P], run by run and by name."""
        return [self._views(row) for row in parameters]

    def _views(self, row: Tensor) -> dict[str, Tensor]:
        """One run's parameters [P] by name."""
        chunks = torch.split(row, [math.prod(shape) for shape in self._shapes.values()])
        named = zip(self._shapes.items(), chunks, strict=True)
        return {name: chunk.view(shape) for (name, shape), chunk in named}


class Graph:
    """A network's heads with a graph to the parameters of a part.

    The parameters that move are leaves of the graph, each a view of one copy of the flat buffer.
    """

    def __init__(
        self,
        network: ModuleNetwork,
        parameters: Tensor,
        inputs: Tensor,
        memory: Memory | None,
        part: str,
        *,
        alone: bool = False,
    ) -> None:
        self._part, self._runs = part, len(parameters)
        with torch.inference_mode(False), torch.enable_grad():
            named, moving = network.named(parameters.clone()), network._of(part)
            self._moving = [own[name].requires_grad_() for own in named for name in moving]
            memory = None if memory is None else memory.map(torch.clone, torch.clone)
            # No derivative reads bytes: what is computed of them is no copy of theirs.
            entering = inputs if inputs.dtype is torch.uint8 else inputs.clone()
            self._heads = network._stacked(named, entering, memory, part if alone else ALL)
        self.both = Heads(*(head.detach() for head in self._heads[:3]))
        """Outputs of the policy and values, whatever the part; of one `alone` what it determines."""
        self.heads = _of_part(self.both, part)
        self._transposed: tuple[list[Tensor], list[Tensor]] | None = None

    def vjp(self, by: Heads) -> Tensor:
        """By reverse mode."""
        with torch.inference_mode(False):
            pairs = zip(self._heads[:3], by[:3], strict=True)
            pulled = self._pull(*((head, slope.clone()) for head, slope in pairs if slope.numel()))
            return torch.cat([one.flatten() for one in pulled]).view(self._runs, -1)

    def jvp(self, tangent: Tensor) -> Heads:
        """By reverse mode twice: vjp is linear in `by`, and jvp its transpose."""
        with torch.inference_mode(False), torch.enable_grad():
            if self._transposed is None:
                duals = [torch.zeros_like(head).requires_grad_() for head in self._heads[:3]]
                pulled = self._pull(*zip(self._heads[:3], duals, strict=True), create_graph=True)
                self._transposed = duals, pulled
            duals, pulled = self._transposed
            along = tangent.clone()
            directions = torch.split(along.flatten(), [one.numel() for one in self._moving])
            pairs = [
                (one, own.view_as(one))
                for one, own in zip(pulled, directions, strict=True)
                if one.requires_grad
            ]
            moved: Sequence[Tensor | None] = [None] * len(duals)
            if pairs:
                gradients, by = zip(*pairs, strict=True)
                moved = torch.autograd.grad(gradients, duals, by, retain_graph=True, allow_unused=True)
        found = [
            torch.zeros_like(dual) if one is None else one for one, dual in zip(moved, duals, strict=True)
        ]
        return _of_part(Heads(*(one.detach() for one in found)), self._part)

    def _pull(self, *pairs: tuple[Tensor, Tensor], create_graph: bool = False) -> list[Tensor]:
        """The gradient from those with respect to heads; 0 where a parameter determines none of them."""
        moving = [(head, slope) for head, slope in pairs if head.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(self._moving)
        if moving:
            heads, slopes = zip(*moving, strict=True)
            found = torch.autograd.grad(
                heads, self._moving, slopes, retain_graph=True, create_graph=create_graph, allow_unused=True
            )
        return [
            torch.zeros_like(own) if one is None else one
            for one, own in zip(found, self._moving, strict=True)
        ]


def _of_part(heads: Heads, part: str) -> Heads:
    """Without what the part does not determine."""
    empty = heads.value.new_empty(*heads.value.shape, 0)
    if part == ACTOR:
        return heads._replace(value=empty)
    if part == CRITIC:
        return heads._replace(output=empty, free=heads.free[..., :0])
    return heads


def zeros(module: nn.Module) -> dict[str, Tensor]:
    """Parameters of a module's shapes that are 0, to be differentiated by."""
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    return {name: torch.zeros(shape, device=HOST, requires_grad=True) for name, shape in shapes.items()}
