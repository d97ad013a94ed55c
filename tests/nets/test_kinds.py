"""Every kind of network is one module and one yaml, and makes what its name says."""

from __future__ import annotations

import sys
import types
from functools import partial
from pathlib import Path

import pytest
import torch

from rlcli.config.compose import compose
from rlcli.config.groups import files
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.network import kinds_of_network
from rlcli.errors import UserError
from rlcli.nets.kinds import make_network, obstacle, smallest
from rlcli.nets.memory import Memory
from rlcli.nets.module import ModuleNetwork
from rlcli.nets.network import ACTOR, ALL, CRITIC, parameter_count
from rlcli.nets.observations import Encoder
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP
from rlcli.store.admission import admit
from rlcli.store.checkpoint_file import largest_checkpoint
from rlcli.sweeps.cohorts import COPIES, footprint
from tests.nets.modules import equivalent
from tests.runs.tiny import tiny


def test_the_schema_knows_every_module() -> None:
    assert "mlp" in kinds_of_network()
    assert KEYS["network.name"].declaration.choices == kinds_of_network()


@pytest.mark.parametrize("kind", kinds_of_network())
def test_a_kind_has_a_yaml_that_chooses_it_and_makes_a_network(kind: str) -> None:
    assert kind in files("network")
    config = compose([f"network={kind}"]).config.network
    assert config.name == kind
    encoder = smallest(config)
    assert obstacle(config, encoder) is None
    network = make_network(config, encoder, outputs=2, free=2)
    assert {ALL, ACTOR, CRITIC} <= network.parts.keys()
    parameters = network.initial(torch.Generator().manual_seed(0)).unsqueeze(0)
    width = network.memory_width
    memory = Memory(torch.zeros(1, 5, width)) if width else None
    heads = network.heads(parameters, encoder.blank(5, "cpu").unsqueeze(0), memory)
    assert (heads.output.shape, heads.free.shape, heads.value.shape) == ((1, 5, 2), (1, 1, 2), (1, 5))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (8, 3)])
def test_a_network_tells_its_size_before_it_is_allocated(shared: bool, hidden: tuple[int, ...]) -> None:
    """The written-out network and a torch module of the same function have the same size."""
    layout = Layout(3, hidden, 2, 2, "tanh", shared)
    mlp = MLP(layout, Encoder("box", 3, normalize=False))
    module, _ = equivalent(mlp)
    initial = mlp.initial(torch.Generator().manual_seed(0))
    assert mlp.parts[ALL].stop == module.parts[ALL].stop == len(initial)
    assert parameter_count(module) == len(initial)
    assert parameter_count(mlp) == len(initial) + (0 if shared else layout.width + 1)
    assert mlp.units == sum(hidden) * (1 if shared else 2)
    assert mlp.units <= module.units <= mlp.units + 2 * 3 + 1, "the input of each trunk is kept, too"


class Large(torch.nn.Module):
    """A recurrent module with sizes that only itself knows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = torch.nn.GRU(3, width, batch_first=True)
        self.head = torch.nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs [B, D] and values [B]."""
        rows = self.head(self.cell(x.unsqueeze(1))[0].squeeze(1))
        return rows[:, :2], rows[:, 2]


def test_any_module_is_counted_without_a_case_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of memory, checkpoints and cohorts follow a new kind of network."""

    def kind(width: int) -> None:
        made = types.ModuleType("rlcli.nets.kinds.large")
        encoder = Encoder("box", 3, normalize=False)
        made.smallest = lambda _: encoder  # type: ignore[attr-defined]
        made.obstacle = lambda *_: None  # type: ignore[attr-defined]
        made.network = lambda *_: ModuleNetwork(partial(Large, width), encoder)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, made.__name__, made)

    config = tiny(env__id="Pendulum-v1", network__name="large")
    kind(8)
    small = footprint(config), largest_checkpoint(config)
    admit(config, Path("run"))
    kind(64)
    assert footprint(config) > small[0] + 4 * COPIES * config.batch_size * (64 - 8)
    assert largest_checkpoint(config) > small[1] + 4 * 3 * (64**2 - 8**2)
    kind(10**6)
    with pytest.raises(UserError, match="network=large of 3,000,0"):
        admit(config, Path("run"))
