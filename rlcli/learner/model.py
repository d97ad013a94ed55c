"""Construction of the model that all runs of a cohort share, from a config and an environment's spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rlcli.config.schema.network import BEFORE, RECURRENT, NetworkConfig, kinds_of_network
from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import ActionSpec, EnvSpec, ObservationSpec
from rlcli.errors import UserError
from rlcli.extend.tables import NETWORKS
from rlcli.learner.algorithm import Algorithm
from rlcli.learner.own_network import own_network
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.draws import generator
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.maths.gaussians import SquashedFamily, StateGaussianFamily
from rlcli.nets.critic import ACTION_VALUES, STATE_VALUES
from rlcli.nets.kinds import make_network, obstacle
from rlcli.nets.masked import MaskedNetwork
from rlcli.nets.network import ACTOR, CRITIC, Network
from rlcli.nets.observations import Encoder
from rlcli.nets.pixels import Image, PixelEncoder
from rlcli.nets.policy import Model
from rlcli.nets.stacked.mlp import MLP


def make_model(config: RunConfig, spec: EnvSpec, *, in_c: bool = False) -> Model:
    """The network, with its observation encoder, and the action family; `in_c`: with passes in C."""
    family = _family(config.network, spec.action)
    encoder = readable(config, spec)
    widths = family.output_width, family.free_width
    network: Network
    if config.network.name in NETWORKS:
        network = own_network(config, spec, encoder, *widths)
    else:
        network = make_network(config.network, encoder, *widths)
    if encoder.mask:
        network = MaskedNetwork(network)
    critic = ACTION_VALUES if config.network.critic == "q" else STATE_VALUES
    return Model(_in_c(network) if in_c else network, family, critic)


def _in_c(network: Network) -> Network:
    """The same network with passes in C."""
    from rlcli.nets.kernel_encoder import KernelEncoder
    from rlcli.nets.stacked.kernel import KernelMLP

    assert isinstance(network, MLP), "chosen for networks that C takes"
    encoder = KernelEncoder(**vars(network.encoder))
    return KernelMLP(network.layout, encoder, network.initialisation)


def readable(config: RunConfig, spec: EnvSpec) -> Encoder:
    """The encoder of an environment's observations, which the config's network can read.

    Raises:
        UserError: it cannot, with the networks that can.
    """
    name, encoder = config.network.name, _encoder(config, spec.observation)
    reason = None if name in NETWORKS else obstacle(config.network, encoder)
    if reason is not None:
        able = _able(config.network, encoder)
        hint = f"Choose {' or '.join(able)}." if able else None
        before = f" network.before={config.network.before}" if name in RECURRENT else ""
        raise UserError(f"network={name}{before} cannot read {spec.id}: {reason}.", hint=hint)
    if config.env.normalize_observation and spec.observation.images and not spec.observation.measured:
        raise UserError(
            f"env.normalize_observation=true has nothing to whiten in {spec.id}: its observations are "
            "images, whose pixels the network divides by 255; set env.normalize_observation=false."
        )
    return encoder


def _able(config: NetworkConfig, encoder: Encoder) -> list[str]:
    """The settings with which observations can be read: another `network.before` where there is one."""
    befores = BEFORE if config.name in RECURRENT else ()
    with_it = [
        f"network.before={before}"
        for before in befores
        if obstacle(replace(config, before=before), encoder) is None
    ]
    others = kinds_of_network()
    return with_it or [
        f"network={name}" for name in others if obstacle(NetworkConfig(name=name), encoder) is None
    ]


def check_network(network: Network, algorithm: Algorithm, name: str) -> None:
    """Raises `UserError` where a step rule needs parts that the network `name` does not have."""
    if algorithm.has_phases and network.auxiliary is None:
        raise UserError(
            f"network={name} has no auxiliary value head, which this algorithm trains; choose another algo."
        )
    actor, critic = network.parts[ACTOR], network.parts[CRITIC]
    if algorithm.moves_apart and critic.start < actor.stop and actor.start < critic.stop:
        raise UserError(
            f"network={name} has no parameters of the critic's own, which the algorithm moves apart from the "
            "actor's; choose algo.step_rule=sgd."
        )


def initial_parameters(configs: Sequence[RunConfig], model: Model) -> Tensor:
    """Fresh parameters [R, P]: each run's drawn by itself from its seed."""
    return torch.stack(
        [model.network.initial(generator(config.seed, "initialisation")) for config in configs]
    )


def initial_auxiliary_head(configs: Sequence[RunConfig], model: Model) -> Tensor:
    """Fresh parameters [R, H + 1] of an auxiliary value head, drawn as those of V's head are."""
    return torch.stack(
        [model.network.initial_auxiliary(generator(config.seed, "auxiliary_head")) for config in configs]
    )


def _encoder(config: RunConfig, observation: ObservationSpec) -> Encoder:
    measured = observation.measured
    if observation.images:
        return _pixel_encoder(config, observation)
    return Encoder(
        observation.kind,
        observation.width,
        normalize=config.env.normalize_observation and any(measured),
        measured=None if all(measured) else measured,
        mask=observation.mask_width,
    )


def _pixel_encoder(config: RunConfig, observation: ObservationSpec) -> PixelEncoder:
    measured = observation.measured
    numbers = torch.float64 if observation.numbers == np.float64 else torch.float32
    images = [
        Image((first, second, third), "" if image.key is None else str(image.key))
        for image in observation.images
        for first, second, third in [image.shape]
    ]
    return PixelEncoder(
        observation.kind,
        len(measured),
        normalize=config.env.normalize_observation and any(measured),
        measured=None if all(measured) else measured,
        mask=observation.mask_width,
        images=tuple(images),
        numbers=numbers,
    )


def _family(config: NetworkConfig, action: ActionSpec) -> Family:
    match action.kind:
        case "discrete":
            return CategoricalFamily(action.width)
        case "multidiscrete":
            return MultiCategoricalFamily(action.sizes)
        case "multibinary":
            return BernoulliFamily(action.width)
        case "box":
            return _gaussian_family(config, action)


def _gaussian_family(config: NetworkConfig, action: ActionSpec) -> Family:
    state = config.log_std == "state"
    base = StateGaussianFamily(action.width, config.log_std_init) if state else GaussianFamily(action.width)
    return SquashedFamily(base, action.log_scale) if config.squash == "tanh" else base
