"""Every kind of network is one module and one yaml, and makes what its name says."""

from __future__ import annotations

import pytest
import torch

from rlcli.config.compose import compose
from rlcli.config.groups import files
from rlcli.config.schema import KEYS, kinds_of_network
from rlcli.nets.kinds import make_network
from rlcli.nets.network import ACTOR, ALL, CRITIC
from rlcli.nets.observations import Encoder


def test_the_schema_knows_every_module() -> None:
    assert "mlp" in kinds_of_network()
    assert KEYS["network.name"].declaration.choices == kinds_of_network()


@pytest.mark.parametrize("kind", kinds_of_network())
def test_a_kind_has_a_yaml_that_chooses_it_and_makes_a_network(kind: str) -> None:
    assert kind in files("network")
    config = compose([f"network={kind}"]).config.network
    assert config.name == kind
    network = make_network(config, Encoder("box", 3, normalize=False), outputs=2, free=2)
    assert {ALL, ACTOR, CRITIC} <= network.parts.keys()
    parameters = network.initial(torch.Generator().manual_seed(0)).unsqueeze(0)
    heads = network.heads(parameters, torch.randn(1, 5, 3))
    assert (heads.output.shape, heads.free.shape, heads.value.shape) == ((1, 5, 2), (1, 1, 2), (1, 5))
