"""Acting in torch, for networks without a policy in numpy; recurrent state from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from rlcli.collect.memory import forgotten
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.nets.actor import Actor
from rlcli.nets.memory import Memory
from rlcli.nets.module import ModuleNetwork
from rlcli.nets.network import ALL, Heads
from rlcli.nets.observations import Encoder, Moments, advance, no_moments
from rlcli.nets.policy import Model, Snapshot
from rlcli.nets.stacked.layout import Layout
from rlcli.nets.stacked.mlp import MLP
from tests.nets.modules import Separate, equivalent


@pytest.mark.broken_by(
    "acting in torch on raw observations",
    "nets/actor.py",
    "inputs = model.encode(snapshot, torch.from_numpy(observations).to(device))",
    "inputs = torch.from_numpy(observations).to(device)",
)
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("family", [CategoricalFamily(3), GaussianFamily(3)], ids=str)
def test_a_network_without_a_policy_in_numpy_acts_by_its_heads(family, noisy):
    encoder = Encoder("box", 4, normalize=True)
    network = ModuleNetwork(
        partial(Separate, Layout(4, (5,), 3, family.free_width)), encoder, family.free_width, log_std=-0.5
    )
    moments = advance(no_moments(2, 4), 3.0 + 2.0 * torch.randn(2, 50, 4))
    generator = torch.Generator().manual_seed(0)
    snapshot = Snapshot(torch.stack([network.initial(generator) for _ in range(2)]), moments)
    observations = 3.0 + torch.randn(2, 6, 4)
    noise = family.noise((2, 6), generator).numpy() if noisy else None
    with torch.inference_mode():
        assert network.on_host(snapshot.parameters) is None
        found = Actor(Model(network, family), snapshot)(observations.numpy(), noise)
        heads = network.heads(snapshot.parameters, encoder.encode(observations, moments))
    assert found.memory is None
    assert found.outputs.dtype == np.float32
    np.testing.assert_array_equal(found.outputs, heads.output.numpy())
    np.testing.assert_array_equal(found.actions, family.act(found.outputs, heads.free.numpy(), noise))


@pytest.mark.parametrize("shared", [False, True])
def test_a_module_acts_as_the_network_of_the_same_function(shared):
    written = MLP(Layout(4, (5, 3), 2, 2, "tanh", shared), Encoder("box", 4, normalize=True))
    module, places = equivalent(written)
    parameters = 0.7 * torch.randn(3, written.parts[ALL].stop)
    moments = advance(no_moments(3, 4), torch.randn(3, 50, 4))
    observations = torch.randn(3, 6, 4).numpy()
    in_numpy, in_torch = (
        Actor(Model(network, GaussianFamily(2)), Snapshot(at, moments))(observations)
        for network, at in ((written, parameters), (module, parameters[:, places]))
    )
    np.testing.assert_allclose(in_torch.outputs, in_numpy.outputs, rtol=1e-5, atol=1e-6)


@dataclass(frozen=True)
class Counting:
    """Outputs are observations, their weights' number of steps so far after them: [R, N, 1] of memory."""

    encoder: ClassVar[Encoder] = Encoder("box", 1, normalize=False)
    memory_width: ClassVar[int] = 1

    def heads(
        self, parameters: Tensor, inputs: Tensor, memory: Memory | None = None, *, part: str = ALL
    ) -> Heads:
        assert memory is not None
        free = parameters[:, None, :0]
        after = memory.state + parameters[:, None]
        return Heads(torch.cat((inputs, after), -1), free, inputs.new_empty(*inputs.shape[:2], 0), after)

    def on_host(self, parameters: Tensor) -> None:
        return


@pytest.mark.broken_by(
    "recurrent state that never reaches the network",
    "nets/actor.py",
    "before = None if memory is None else torch.from_numpy(memory).to(device)",
    "before = None if memory is None else torch.zeros(memory.shape)",
)
@pytest.mark.broken_by(
    "recurrent state that outlives its episode",
    "collect/memory.py",
    "np.where(where[..., None], np.float32(0.0), memory)",
    "memory",
)
def test_recurrent_state_passes_through_the_actor_and_ends_with_its_episode():
    """Of 2 runs x 3 environments, one episode of which ends at the second step."""
    parameters = torch.tensor([[1.0], [10.0]])
    moments: Moments = no_moments(2, 1)
    act = Actor(Model(Counting(), CategoricalFamily(2)), Snapshot(parameters, moments))
    memory = np.zeros((2, 3, 1), np.float32)
    observations = np.full((2, 3, 1), 2.5, np.float32)
    ended = np.zeros((2, 3), bool)
    counts = []
    for step in range(3):
        acted = act(observations, None, memory)
        assert acted.memory is not None
        assert acted.memory.dtype == np.float32
        np.testing.assert_array_equal(acted.outputs[..., 1:], acted.memory)
        np.testing.assert_array_equal(acted.outputs[..., :1], observations)
        np.testing.assert_array_equal(acted.actions, (acted.memory[..., 0] > 2.5).astype(int))
        counts.append(acted.memory[..., 0].tolist())
        ended[1, 2] = step == 1
        memory = forgotten(acted.memory, ended)
    assert counts == [[[1, 1, 1], [10, 10, 10]], [[2, 2, 2], [20, 20, 20]], [[3, 3, 3], [30, 30, 10]]]
    assert forgotten(None, ended) is None
