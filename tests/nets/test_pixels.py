"""Rows of images and numbers: their layout, what whitening leaves alone, and what reads them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from rlcli.config.schema.env import EnvConfig
from rlcli.config.schema.network import NetworkConfig
from rlcli.config.schema.run import RunConfig
from rlcli.envs.spaces import boundary
from rlcli.envs.spec import EnvSpec
from rlcli.errors import UserError
from rlcli.learner.model import make_model, readable
from rlcli.nets import cnn
from rlcli.nets.cnn import Gains, PixelTrunk
from rlcli.nets.kinds import impala_resnet, nature_cnn
from rlcli.nets.masked import FLOOR
from rlcli.nets.network import Heads
from rlcli.nets.observations import CLIP, Moments, no_moments
from rlcli.nets.pixels import Image, PixelEncoder

IMAGE = spaces.Box(0, 255, (36, 40, 3), np.uint8)
MIXED = spaces.Dict(
    {
        "speed": spaces.Box(-np.inf, np.inf, (2,), np.float64),
        "camera": IMAGE,
        "gear": spaces.Discrete(3, start=1),
        "map": spaces.Box(0, 255, (1, 36, 36), np.uint8),
    }
)


def spec(space: gymnasium.Space, precisely: bool = False, mask: str = "none") -> EnvSpec:
    observation, action = boundary("Probe-v0", space, spaces.Discrete(2), mask)
    return EnvSpec("Probe-v0", observation.precisely() if precisely else observation, action, None, None)


def config(network: str = "nature_cnn", whiten: bool = False, **keys) -> RunConfig:
    return RunConfig(
        env=EnvConfig(normalize_observation=whiten),
        network=NetworkConfig(name=network, **{"hidden": (16,), "shared": True} | keys),
    )


def sample(seed: int) -> dict:
    MIXED.seed(seed)
    return dict(MIXED.sample())


@pytest.mark.parametrize("precisely", [False, True])
def test_a_mixed_observation_comes_apart_as_it_went_in(precisely):
    found = spec(MIXED, precisely)
    rows = [sample(seed) for seed in range(3)]
    given = [np.array([row[key] for row in rows]) for key in MIXED]
    vector = found.observation.vectors(given)
    assert (vector.dtype, vector.shape) == (np.uint8, (3, *found.observation.shape))
    assert found.observation.measured == (False, False, False, True, True)
    encoder = readable(config(), found)
    assert isinstance(encoder, PixelEncoder)
    encoded = encoder.encode(torch.from_numpy(vector)[None], no_moments(1, encoder.width))
    assert encoded.dtype == torch.uint8
    (camera, map_), numbers = encoder.apart(encoded[0])
    np.testing.assert_array_equal(camera.permute(0, 2, 3, 1), np.array([row["camera"] for row in rows]))
    np.testing.assert_array_equal(map_, np.array([row["map"] for row in rows]))
    wanted = np.zeros((3, 5), np.float32)
    for row, one in zip(wanted, rows, strict=True):
        row[one["gear"] - 1] = 1.0
        row[3:] = one["speed"]
    np.testing.assert_array_equal(numbers, wanted)


def test_whitening_leaves_pixels_and_choices_alone():
    found = spec(MIXED, precisely=True)
    encoder = readable(config(whiten=True), found)
    row = sample(0) | {"speed": np.array([1e9 + 0.5, -3.0])}
    vector = torch.from_numpy(found.observation.vectors([np.array([row[key]]) for key in MIXED]))[None]
    assert encoder.rows(vector).dtype == torch.float64
    moments = Moments(
        torch.ones(1).double(), torch.tensor([[5.0, 5, 5, 1e9, 5]]).double(), torch.full((1, 5), 4.0).double()
    )
    (camera, _), numbers = encoder.apart(encoder.encode(vector, moments)[0])
    np.testing.assert_array_equal(camera[0].permute(1, 2, 0), row["camera"])
    assert numbers[0, :3].sum() == 1.0
    torch.testing.assert_close(numbers[0, 3:], torch.tensor([0.25, -4.0]))
    assert CLIP == 10.0


@pytest.mark.broken_by(
    "a mask lost where numbers are whitened",
    "nets/pixels.py",
    "mask = flat[..., flat.shape[-1] - self.mask :]",
    "mask = flat[..., : self.mask]",
    case="True",
)
@pytest.mark.broken_by(
    "a mask as numbers of a float beside images",
    "nets/pixels.py",
    "flat[..., self.pixels : flat.shape[-1] - self.mask]",
    "flat[..., self.pixels + self.mask :]",
    case="True",
)
@pytest.mark.parametrize("whiten", [True, False])
def test_a_mask_is_behind_images_and_numbers_and_only_policies_see_it(whiten):
    """With a mask, inputs are those without one and its bytes; outputs the same but for masked logits."""
    pairs = [(spec(MIXED, precisely=whiten, mask=mask), config(whiten=whiten)) for mask in ("none", "info")]
    plain, masked = (make_model(chosen, found).network for found, chosen in pairs)
    rows = [sample(seed) for seed in range(3)]
    parts = [np.array([row[key] for row in rows]) for key in MIXED]
    raw = [torch.from_numpy(found.observation.vectors(parts))[None] for found, _ in pairs]
    assert torch.equal(*raw)
    allowed = torch.tensor([[[1, 0], [0, 1], [1, 1]]], dtype=torch.uint8)
    moments = Moments(
        torch.ones(1).double(), torch.full((1, 5), 2.0).double(), torch.full((1, 5), 4.0).double()
    )
    wanted = plain.encoder.encode(raw[0], moments)
    inputs = masked.encoder.encode(torch.cat((raw[1], allowed), -1), moments)
    assert torch.equal(inputs, torch.cat((wanted, allowed), -1))
    parameters = plain.initial(torch.Generator().manual_seed(0))[None]
    heads, found = plain.heads(parameters, wanted), masked.heads(parameters, inputs)
    assert torch.equal(found.value, heads.value)
    assert torch.equal(found.output, heads.output.where(allowed != 0, FLOOR))
    entering = masked.entering(parameters, inputs, "critic")
    assert torch.equal(masked.linearise(parameters, entering, part="critic").heads.value, heads.value)
    by = Heads(torch.ones_like(heads.output), heads.free, torch.ones_like(heads.value))
    of_plain = by._replace(output=by.output * allowed)
    both = masked.linearise(parameters, inputs).vjp(by), plain.linearise(parameters, wanted).vjp(of_plain)
    torch.testing.assert_close(*both)


def test_numbers_beside_images_that_are_not_finite_are_seen():
    found = spec(MIXED).observation
    row = sample(0) | {"speed": np.array([np.nan, 0.0])}
    vector = found.vectors([np.array([row[key]]) for key in MIXED])
    assert np.isnan(found.real(vector)).any()


def plain_nature(trunk: PixelTrunk, images: torch.Tensor) -> torch.Tensor:
    """The same function, written out without batches, layouts or chunks of ours."""
    found = []
    for image in images:
        x = image.unsqueeze(0).double() / 255.0
        for layer in trunk.images[0]:
            if isinstance(layer, nn.Conv2d):
                x = nn.functional.conv2d(x, layer.weight.double(), layer.bias.double(), layer.stride)
            else:
                x = x.clamp(min=0.0)
        x = x.reshape(1, -1) @ trunk.hidden[0][0].weight.double().T + trunk.hidden[0][0].bias.double()
        found.append(x.clamp(min=0.0))
    return torch.cat(found)


@pytest.mark.broken_by(
    "pixels stay 0 to 255", "nets/convolution.py", "self.weight / WHITE", "self.weight", case="hwc"
)
@pytest.mark.broken_by(
    "rows and channels swapped", "nets/pixels.py", "image.movedim(-1, 1)", "image.transpose(1, 3)",
    case="hwc",
)  # fmt: skip
@pytest.mark.parametrize("shape", [(84, 84, 4), (4, 84, 84)], ids=["hwc", "chw"])
def test_nature_cnn_is_the_papers(shape):
    """Kernels 8, 4, 3; strides 4, 2, 1; 32, 64, 64 channels; 7 x 7 x 64 features; 512 units."""
    encoder = PixelEncoder("box", 0, normalize=False, images=(Image(shape),))
    torch.manual_seed(0)
    trunk = PixelTrunk(encoder, nature_cnn.convolutions, (512,), Gains())
    shapes = [tuple(one.shape) for name, one in trunk.named_parameters() if name.endswith("weight")]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136)]
    raw = torch.randint(0, 256, (19, *shape), dtype=torch.uint8)
    planes = raw.permute(0, 3, 1, 2) if shape[-1] == 4 else raw
    found = trunk.features(raw.flatten(1))
    assert trunk.width == found.shape[1] == 512
    torch.testing.assert_close(found.double(), plain_nature(trunk, planes), rtol=1e-4, atol=1e-5)


@pytest.mark.broken_by(
    "images are left as the environment has them", "nets/pixels.py", "planes(part).movedim(1, -1)",
    "planes(part)",
)  # fmt: skip
@pytest.mark.broken_by(
    "rows are read as the environment has them", "nets/pixels.py",
    "image.interleaved if self.interleave else", "",
)  # fmt: skip
@pytest.mark.parametrize("mask", ["none", "info"])
def test_images_are_the_same_with_the_channels_of_a_pixel_side_by_side(mask):
    """And what is behind them, and where it is."""
    plain = readable(config(), spec(MIXED, mask=mask))
    assert isinstance(plain, PixelEncoder)
    moved, moments = plain.interleaved(), no_moments(2, plain.width)
    raw = torch.randint(0, 256, (2, 3, plain.row_width + plain.mask), dtype=torch.uint8)
    raw[..., plain.pixels :] = 0
    raw[..., plain.pixels + 3] = 63
    given, laid = (encoder.encode(raw, moments) for encoder in (plain, moved))
    assert given.shape == laid.shape == raw.shape
    assert torch.equal(laid[..., plain.pixels :], given[..., plain.pixels :])
    for rows, others in zip(given, laid, strict=True):
        pairs = [
            encoder.apart(some[:, : plain.row_width]) for encoder, some in ((plain, rows), (moved, others))
        ]
        (images, numbers), (found, same) = pairs
        assert torch.equal(numbers, same)
        for image, other in zip(images, found, strict=True):
            assert torch.equal(image, other)
            assert other.stride(1) == 1, "the channels of a pixel lie side by side"


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kind", ["nature_cnn", "impala_resnet"])
def test_a_policy_acts_as_the_whole_network_does(kind, shared):
    """By modules of its own, run by run, of which the next parameters change nothing."""
    model = make_model(config(kind, shared=shared), spec(MIXED))
    network = model.network
    draws = [network.initial(torch.Generator().manual_seed(seed)) for seed in range(2)]
    parameters = torch.stack(draws)
    raw = torch.stack([network.encoder.trial(5) for _ in draws])
    moments = no_moments(2, network.encoder.width)
    inputs = network.encoder.encode(raw, moments)
    wanted = network.heads(parameters, inputs)
    acting = network.on_host(parameters)
    parameters.zero_()
    outputs, memory = acting.head(network.encoder.on_host(moments)(raw.numpy()), None)
    assert memory is None
    assert acting.free.shape == wanted.free.shape
    torch.testing.assert_close(torch.from_numpy(outputs), wanted.output, rtol=1e-5, atol=1e-7)
    alone = network.on_host(draws[1][None])
    assert np.array_equal(alone.head(inputs[1:].numpy(), None)[0], outputs[1:])


@pytest.mark.broken_by(
    "nothing is passed around", "nets/kinds/impala_resnet.py", "return found + x", "return found",
)  # fmt: skip
def test_impala_resnet_is_the_papers():
    """15 convolutions; with residual branches of zeros, sections are a convolution and a maximum each."""
    layers = impala_resnet.convolutions(4)
    convolutions = [one for one in layers.modules() if isinstance(one, nn.Conv2d)]
    assert [one.out_channels for one in convolutions] == [16] * 5 + [32] * 10
    for block in layers.modules():
        if isinstance(block, impala_resnet.Residual):
            nn.init.zeros_(block.second.weight)
            nn.init.zeros_(block.second.bias)
    x = images = torch.randint(0, 256, (2, 4, 21, 84), dtype=torch.uint8)
    for first in convolutions[::5]:
        x = nn.functional.max_pool2d(first(x), 3, 2, 1)
    torch.testing.assert_close(layers(images), x.relu())
    assert layers(images).shape == (2, 32, 3, 11)


@pytest.mark.broken_by(
    "initial weights are torch's", "nets/cnn.py", "nn.init.orthogonal_(layer.weight, gain)", "pass",
)  # fmt: skip
def test_initial_weights_are_orthogonal_with_their_gains():
    model = make_model(config(), spec(IMAGE))
    found = model.network._views(model.network.initial(torch.Generator().manual_seed(0)))
    for name, gain in (("trunk.images.0.0.weight", 2.0), ("policy.weight", 1e-4), ("value.weight", 1.0)):
        weight = found[name].flatten(1)
        torch.testing.assert_close(weight @ weight.T, gain * torch.eye(len(weight)), atol=1e-5, rtol=1e-4)
    assert all(not found[name].any() for name in found if name.endswith("bias"))


@pytest.mark.broken_by(
    "policies pass the critic's trunk too", "nets/cnn.py", "if apart and part == ACTOR:", "if False:"
)
def test_of_two_trunks_a_part_passes_its_own(monkeypatch):
    """With the outputs and derivatives that it has in the whole network."""
    passes = []

    def counted(layers, images):
        passes.append(layers)
        return convolved(layers, images)

    convolved = cnn._convolved
    monkeypatch.setattr(cnn, "_convolved", counted)
    network = make_model(config(shared=False), spec(IMAGE)).network
    parameters = network.initial(torch.Generator().manual_seed(0))[None]
    rows = network.encoder.trial(3)[None]
    heads, whole = network.heads(parameters, rows), network.linearise(parameters, rows)
    assert len(passes) == 4
    gradient = whole.vjp(Heads(torch.ones_like(heads.output), heads.free, torch.ones_like(heads.value)))
    for part in ("actor", "critic"):
        passes.clear()
        found, linear = (
            network.heads(parameters, rows, part=part),
            network.linearise(parameters, rows, part=part),
        )
        assert len(passes) == 2
        for own in (found, linear.heads):
            assert torch.equal(own.output, heads.output if part == "actor" else heads.output[..., :0])
            assert torch.equal(
                own.value, heads.value if part == "critic" else heads.value[..., None][..., :0]
            )
        by = Heads(torch.ones_like(found.output), found.free, torch.ones_like(found.value))
        assert torch.equal(linear.vjp(by), gradient[:, network.parts[part]])
    passes.clear()
    network.recorded(parameters, rows)
    assert len(passes) == 2


def test_two_trunks_have_parts_of_their_own():
    network = make_model(config(shared=False), spec(IMAGE)).network
    assert network.parts["actor"].stop == network.parts["critic"].start < network.parts["critic"].stop


REFUSED = [
    ("nature_cnn", spaces.Box(0, 255, (35, 84, 3), np.uint8), r"too small: the smallest are 36 x 36"),
    ("nature_cnn", spaces.Box(0, 255, (40, 40, 40), np.uint8), r"which axis .* has the channels"),
    ("nature_cnn", spaces.Box(0, 1, (84, 84, 3), np.float32), r"no image \(uint8"),
    ("nature_cnn", spaces.Dict({"b": spaces.Box(0, 255, (8, 8, 1), np.uint8)}), r"in 'b'\) are too"),
    ("impala_resnet", spaces.Box(0, 255, (8, 1, 3), np.uint8), r"too small: the smallest are 2 x 2"),
    ("mlp", IMAGE, r"images \(36 x 40 x 3 pixels, uint8\)"),
    ("mlp", MIXED, r"images \(36 x 40 x 3 pixels, uint8, in 'camera'; 1 x 36 x 36"),
]  # fmt: skip


@pytest.mark.parametrize(("network", "space", "message"), REFUSED)
def test_what_a_network_cannot_read_is_refused(network, space, message):
    with pytest.raises(UserError, match=message):
        readable(config(network), spec(space))


@pytest.mark.parametrize(
    ("chosen", "space", "refused", "hint"),
    [
        (config("mlp"), IMAGE, "network=mlp cannot read", "network=impala_resnet or network=nature_cnn"),
        (config("lstm"), IMAGE, "network=lstm network.before=mlp cannot read Probe-v0: its obs",
         "network.before=nature_cnn or network.before=impala_resnet"),
        (config("gru", before="nature_cnn"), spaces.Box(0, 255, (8, 8, 1), np.uint8), "are too small",
         "network.before=impala_resnet"),
        (config("gru", before="impala_resnet"), spaces.Box(0, 1, (3,)), "have no image",
         "network.before=mlp"),
        (config("nature_cnn"), spaces.Box(0, 1, (3,)), "have no image",
         "network=gru or network=lstm or network=mlp"),
    ],
)  # fmt: skip
def test_the_networks_that_can_are_named(chosen, space, refused, hint):
    with pytest.raises(UserError, match=refused) as error:
        readable(chosen, spec(space))
    assert error.value.hint == f"Choose {hint}."


def test_the_smallest_image_works():
    for kind, size in ((nature_cnn, 36), (impala_resnet, 2)):
        network = make_model(
            config(kind.__name__.rpartition(".")[2]), spec(spaces.Box(0, 255, (size, size, 1), np.uint8))
        ).network
        parameters = network.initial(torch.Generator().manual_seed(0))[None]
        assert network.heads(parameters, network.encoder.blank(3, "cpu")[None]).value.shape == (1, 3)


@pytest.mark.broken_by(
    "images in single precision alone", "nets/convolution.py",
    "images.to(weight.dtype), weight, self.bias",
    "images.float(), weight.float(), self.bias.float()",
)  # fmt: skip
def test_bytes_are_read_in_the_precision_of_the_parameters():
    """As natural steps need it, which are computed in float64."""
    network = make_model(config(), spec(MIXED)).network
    parameters, rows = network.initial(torch.Generator().manual_seed(0))[None], network.encoder.trial(3)[None]
    single, double = (network.linearise(row, rows).heads for row in (parameters, parameters.double()))
    assert double.output.dtype == double.value.dtype == torch.float64
    torch.testing.assert_close(double.output.float(), single.output, rtol=1e-4, atol=1e-5)
    assert (double.value != single.value).any()


def test_images_are_not_whitened():
    with pytest.raises(UserError, match=r"env\.normalize_observation=true has nothing to whiten"):
        readable(config(whiten=True), spec(IMAGE))


def test_a_mask_may_be_all_there_is_beside_an_image():
    encoder = readable(config(), spec(spaces.Box(0, 255, (3, 36, 40), np.uint8), mask="info")).interleaved()
    raw = torch.randint(0, 256, (1, 5, encoder.row_width + encoder.mask), dtype=torch.uint8)
    found = encoder.encode(raw, no_moments(1, 0))
    assert torch.equal(found[..., -encoder.mask :], raw[..., -encoder.mask :])
    [image], _ = encoder.apart(found[0, :, : encoder.row_width])
    assert torch.equal(image.flatten(1), raw[0, :, : encoder.row_width])
