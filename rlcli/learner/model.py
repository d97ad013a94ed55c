"""From an environment's spec and a config to the model all runs of a cohort share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.config.schema import NetworkConfig, RunConfig
from rlcli.envs.spec import ActionSpec, EnvSpec, ObservationSpec
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.draws import generator
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.layout import Initialisation
from rlcli.nets.mlp import MLP
from rlcli.nets.observations import Encoder
from rlcli.nets.policy import Model


def make_model(config: RunConfig, spec: EnvSpec) -> Model:
    """The network, the action family and the observation encoder."""
    family = _family(spec.action)
    network = config.network
    encoder = _encoder(config, spec.observation)
    mlp = MLP(
        encoder.width,
        network.hidden,
        family.output_width,
        family.free_width,
        network.activation,
        network.shared,
    )
    return Model(mlp, family, encoder)


def initial_parameters(configs: Sequence[RunConfig], model: Model) -> Tensor:
    """Fresh parameters [R, P]: each run's drawn by itself from its seed."""
    return torch.stack(
        [
            model.network.initial(_initialisation(config.network), generator(config.seed, "initialisation"))
            for config in configs
        ]
    )


def initial_auxiliary_head(configs: Sequence[RunConfig], model: Model) -> Tensor:
    """Fresh parameters [R, H + 1] of an auxiliary value head, drawn as those of V's head are."""
    heads = model.network.heads
    draws = [
        heads.initial(_initialisation(config.network), generator(config.seed, "auxiliary_head"))
        for config in configs
    ]
    return torch.stack(draws)[:, -(heads.inputs + 1) :].contiguous()


def _initialisation(network: NetworkConfig) -> Initialisation:
    return Initialisation(
        network.initialisation == "orthogonal",
        network.hidden_gain,
        network.policy_gain,
        network.value_gain,
        network.log_std_init,
    )


def _encoder(config: RunConfig, observation: ObservationSpec) -> Encoder:
    measured = observation.measured
    return Encoder(
        observation.kind,
        observation.width,
        normalize=config.env.normalize_observation and any(measured),
        measured=None if all(measured) else measured,
    )


def _family(action: ActionSpec) -> Family:
    match action.kind:
        case "discrete":
            return CategoricalFamily(action.width)
        case "multidiscrete":
            return MultiCategoricalFamily(action.sizes)
        case "multibinary":
            return BernoulliFamily(action.width)
        case "box":
            return GaussianFamily(action.width)
