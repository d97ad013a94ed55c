"""Acting in C: outputs to the last bit those of whole batches in C, choices those of the families."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlcli.kernels.acting import Acting, Choice, Whitening
from rlcli.kernels.library import available
from rlcli.maths.distributions import CategoricalFamily, GaussianFamily
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.actor import Actor
from rlcli.nets.kernel_actor import KernelActor, actor, covers
from rlcli.nets.network import ACTOR
from rlcli.nets.observations import Encoder, Moments
from rlcli.nets.policy import Model, Snapshot
from rlcli.nets.stacked.activations import ACTIVATIONS
from rlcli.nets.stacked.kernel import KernelMLP, describe
from rlcli.nets.stacked.layout import Initialisation, Layout
from rlcli.nets.stacked.mlp import MLP

FAMILIES = {
    "categorical": CategoricalFamily(5),
    "gaussian": GaussianFamily(3),
    "multicategorical": MultiCategoricalFamily((2, 1, 4)),
    "bernoulli": BernoulliFamily(3),
}
WIDTHS = [(4, (64, 64)), (1, ()), (17, (1, 33)), (3, (16,) * 8), (40, (100,))]


def case(family, inputs=6, hidden=(20, 9), runs=2, *, normalize=False, kind="box", activation="tanh"):
    """A model and a snapshot of random parameters and statistics."""
    family = FAMILIES[family]
    layout = Layout(inputs, hidden, family.output_width, family.free_width, activation)
    network = KernelMLP(layout, Encoder(kind, inputs, normalize), Initialisation(policy_gain=1.0))
    generator = torch.Generator().manual_seed(4)
    drawn = [network.initial(generator) for _ in range(runs)]
    parameters = torch.stack(drawn) + 0.1 * torch.randn(runs, layout.size, generator=generator)
    moments = Moments(
        torch.ones(runs).double(),
        torch.randn(runs, inputs, generator=generator).double(),
        torch.rand(runs, inputs, generator=generator).double() + 0.01,
    )
    return Model(network, family), Snapshot(parameters, moments)


def shown(runs, envs, inputs, dtype=np.float32):
    """Random observations."""
    return np.random.default_rng(runs + envs).normal(size=(runs, envs, inputs)).astype(dtype)


def noise_of(model, runs, envs):
    """Noise of the family."""
    return model.family.noise((runs, envs), torch.Generator().manual_seed(1)).numpy()


@pytest.mark.broken_by(
    "acting on the raw numbers where the update whitens them",
    "nets/kernel_actor.py",
    'if encoder.normalize and encoder.kind != "discrete":',
    "if not encoder.width:",
    case="3-True-tanh",
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("envs", [1, 3, 50])
def test_outputs_are_those_of_whole_batches_to_the_last_bit(envs, normalize, activation):
    for inputs, hidden in WIDTHS:
        model, snapshot = case("gaussian", inputs, hidden, normalize=normalize, activation=activation)
        observations = shown(2, envs, inputs)
        acted = KernelActor(model, snapshot)(observations)
        encoded = model.encode(snapshot, torch.from_numpy(observations))
        wanted = model.network.heads(snapshot.parameters, encoded, part=ACTOR).output
        assert torch.equal(torch.from_numpy(acted.outputs), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_actions_are_those_of_numpy(family):
    model, snapshot = case(family, normalize=True)
    fast, slow = KernelActor(model, snapshot), Actor(Model(_plain(model.network), model.family), snapshot)
    for envs in (1, 8, 100):
        observations = shown(2, envs, 6)
        for noise in (None, noise_of(model, 2, envs)):
            found, wanted = fast(observations, noise), slow(observations, noise)
            np.testing.assert_allclose(found.outputs, wanted.outputs, rtol=1e-4, atol=1e-5)
            assert found.actions.dtype == wanted.actions.dtype
            assert found.actions.shape == wanted.actions.shape
            if family == "gaussian":
                np.testing.assert_allclose(found.actions, wanted.actions, rtol=1e-4, atol=1e-5)
            else:
                chosen = model.family.act(found.outputs, np.zeros((2, 1, 0)), noise)
                assert (found.actions == chosen).all()


def _plain(network):
    return MLP(network.layout, network.encoder, network.initialisation)


@pytest.mark.parametrize("family", FAMILIES)
def test_bits_are_those_of_every_instruction_set_and_of_each_run_alone(family):
    model, snapshot = case(family, runs=5, activation="gelu")
    observations, noise = shown(5, 7, 6), noise_of(model, 5, 7)
    choice = Choice(KernelActor(model, snapshot)._acting.family, getattr(model.family, "sizes", ()))
    net = describe(model.network.layout, ACTOR)
    made = [Acting(net, choice, snapshot.parameters, None, isa)(observations, noise) for isa in available()]
    for row in range(5):
        alone = Acting(net, choice, snapshot.parameters[row : row + 1])
        acted = alone(observations[row : row + 1], noise[row : row + 1])
        for part, other in zip(acted, made[0], strict=True):
            assert part[0].tobytes() == other[row].tobytes()
    for acted in made:
        assert [part.tobytes() for part in acted] == [part.tobytes() for part in made[0]]


def test_ties_and_numbers_that_are_none_choose_as_numpy_does():
    model, snapshot = case("categorical")
    act = KernelActor(model, snapshot)
    outputs = act(shown(2, 4, 6)).outputs
    noise = -outputs
    noise[0, 1] = np.nan
    noise[0, 2, 3:] = np.nan
    noise[1, 0, 2] = np.inf
    noise[1, 1] = -np.inf
    found = act(shown(2, 4, 6), noise).actions
    assert (found == (outputs + noise).argmax(-1)).all()
    broken = Snapshot(snapshot.parameters * float("nan"), snapshot.moments)
    assert (KernelActor(model, broken)(shown(2, 4, 6)).actions == 0).all()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int64])
def test_observations_of_other_types_are_read_as_the_update_reads_them(dtype, normalize):
    model, snapshot = case("categorical", normalize=normalize)
    observations = (100 * np.abs(shown(2, 3, 6, np.float64))).astype(dtype)
    found = KernelActor(model, snapshot)(observations).outputs
    encoded = model.encode(snapshot, torch.from_numpy(observations))
    wanted = model.network.heads(snapshot.parameters, encoded, part=ACTOR).output
    assert torch.equal(torch.from_numpy(found), wanted)


def test_choices_are_one_hot_and_what_cannot_be_written_to_is_read():
    model, snapshot = case("categorical", kind="discrete")
    observations = np.arange(6).reshape(2, 3)
    found = KernelActor(model, snapshot)(observations).outputs
    encoded = model.encode(snapshot, torch.from_numpy(observations))
    wanted = model.network.heads(snapshot.parameters, encoded, part=ACTOR).output
    assert torch.equal(torch.from_numpy(found), wanted)
    model, snapshot = case("categorical")
    act, observations = KernelActor(model, snapshot), shown(2, 3, 6)
    wanted = act(observations).outputs
    observations.flags.writeable = False
    assert (act(observations).outputs == wanted).all()
    assert (act(np.asfortranarray(observations)).outputs == wanted).all()


def test_observations_of_no_width_are_acted_on():
    model, snapshot = case("categorical", 0)
    acted = KernelActor(model, snapshot)(shown(2, 3, 0), noise_of(model, 2, 3))
    assert acted.outputs.shape == (2, 3, 5)
    assert (acted.outputs == acted.outputs[:, :1]).all()


def test_c_acts_where_it_can():
    model, snapshot = case("categorical")
    assert type(actor(model, snapshot)) is KernelActor
    assert type(actor(Model(_plain(model.network), model.family), snapshot)) is Actor
    deep = Layout(4, (3,) * 9, 5, 0)
    assert not covers(Model(KernelMLP(deep, Encoder("box", 4, normalize=False)), CategoricalFamily(5)))
    double = Snapshot(snapshot.parameters.double(), snapshot.moments)
    assert type(actor(model, double)) is Actor


def test_arguments_that_do_not_fit_are_refused():
    model, snapshot = case("categorical")
    net = describe(model.network.layout, ACTOR)
    act = Acting(net, Choice("categorical"), snapshot.parameters)
    good, noise = shown(2, 3, 6), np.zeros((2, 3, 5), np.float32)
    act(good, noise)
    for observations, given in (
        (shown(2, 3, 5), noise),
        (shown(3, 3, 6), noise),
        (good.astype(np.int64), noise),
        (good, noise[:, :2]),
        (good, noise.astype(np.float64)),
    ):
        with pytest.raises(ValueError, match="must be"):
            act(observations, given)
    with pytest.raises(ValueError, match="parameters"):
        Acting(net, Choice("categorical"), snapshot.parameters[:, :50])
    with pytest.raises(ValueError, match="sizes"):
        Acting(net, Choice("categorical", (2, 2)), snapshot.parameters)
    with pytest.raises(ValueError, match="deviation"):
        Acting(net, Choice("gaussian"), snapshot.parameters)
    with pytest.raises(ValueError, match="mean"):
        Acting(
            net, Choice("categorical"), snapshot.parameters, Whitening(torch.zeros(2, 6), torch.ones(2, 6))
        )
