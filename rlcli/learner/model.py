"""From an environment's spec and a config to the model all runs of a cohort share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.config.schema import RunConfig
from rlcli.envs.spec import ActionSpec, EnvSpec, ObservationSpec
from rlcli.maths.distributions import CategoricalFamily, Family, GaussianFamily
from rlcli.maths.draws import generator
from rlcli.maths.factored import BernoulliFamily, MultiCategoricalFamily
from rlcli.nets.kinds import make_network
from rlcli.nets.observations import Encoder
from rlcli.nets.policy import Model


def make_model(config: RunConfig, spec: EnvSpec) -> Model:
    """The network, with its observation encoder, and the action family."""
    family = _family(spec.action)
    encoder = _encoder(config, spec.observation)
    return Model(make_network(config.network, encoder, family.output_width, family.free_width), family)


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
