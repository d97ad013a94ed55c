"""A trained policy as a model of Stable-Baselines3: its zip, and the VecNormalize that whitens for it.

SB3's files hold pickles, by SB3's own format. They are written here, by SB3's `save`; none is ever loaded.

Shapes: B observations.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize, VecTransposeImage
from torch import Tensor, nn

from rlcli.backends import sb3_mapping as mapping
from rlcli.backends.sb3 import ACTIVATIONS, OPTIMISERS
from rlcli.backends.sb3_random import seeded
from rlcli.backends.sb3_state import by_name
from rlcli.backends.session import Policy
from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.nets.module import ModuleNetwork
from rlcli.nets.observations import CLIP, FLOOR
from rlcli.nets.stacked.mlp import MLP

Array = npt.NDArray[Any]
Env = gymnasium.Env[Any, Any]
ZIP, STATISTICS = "policy.zip", "vecnormalize.pkl"


class Sb3Model(NamedTuple):
    """A model of SB3's, and the statistics it needs beside it."""

    model: OnPolicyAlgorithm
    statistics: VecNormalize | None

    @property
    def kind(self) -> str:
        """Name of its class."""
        return type(self.model).__name__

    def act(self, observations: Array) -> Array:
        """The most probable actions at observations [B, ...]."""
        if self.statistics is not None:
            observations = self.statistics.normalize_obs(observations)  # type: ignore[assignment]
        actions, _ = self.model.predict(observations, deterministic=True)
        return actions

    def save(self, folder: Path) -> None:
        """Writes policy.zip, and vecnormalize.pkl where the run whitens."""
        self.model.save(folder / ZIP)
        if self.statistics is not None:
            self.statistics.save(str(folder / STATISTICS))


def obstacle(config: RunConfig, spec: EnvSpec) -> str | None:
    """Why SB3 has no policy of this kind; None: it has."""
    network, observation, action = config.network, spec.observation, spec.action
    if network.name not in ("mlp", "nature_cnn"):
        return f"SB3 has no network like network={network.name}" + (
            ", and its on-policy algorithms no memory" if network.name in ("lstm", "gru") else ""
        )
    if observation.mask is not None:
        return "SB3's policies take no masks of actions"
    if observation.kind in ("dict", "tuple"):
        return f"SB3 joins the members of {observation.kind.capitalize()} observations in its own way"
    if network.critic != "v":
        return f"SB3's critic has values of states alone (network.critic={network.critic})"
    if network.squash != "none":
        return f"SB3's policies do not squash actions (network.squash={network.squash})"
    if action.kind == "box" and network.log_std != "free":
        return f"SB3's log deviations are free parameters (network.log_std={network.log_std})"
    if network.name == "nature_cnn" and not network.hidden:
        return "SB3's NatureCNN has a hidden layer behind its convolutions (network.hidden=[])"
    if not observation.width:
        return "SB3 takes no observations of size 0"
    starts = [*np.ravel(action.start), *(first for leaf in observation.leaves for first in leaf.start)]
    if any(starts):
        return "SB3's discrete spaces start at 0"
    if len(action.shape) > 1 and action.kind in ("multidiscrete", "multibinary"):
        return f"SB3 takes {action.kind} actions of one axis"
    if observation.kind == "multidiscrete" and len(observation.leaves[0].shape) > 1:
        return "SB3 takes MultiDiscrete observations of one axis"
    return None


def missing(config: RunConfig) -> str | None:
    """The package that the model's class needs and that is not installed."""
    absent = mapping.algorithm(config) == "TRPO" and importlib.util.find_spec("sb3_contrib") is None
    return "sb3-contrib" if absent else None


def as_sb3(config: RunConfig, spec: EnvSpec, policy: Policy, env: Env) -> Sb3Model:
    """The policy (R = 1) as a model; `env` is one environment of the run, for its spaces."""
    with seeded(0), torch.inference_mode(False):
        model = _model(config, spec, env)
    with torch.no_grad():
        _load(policy, config, model)
    return Sb3Model(model, _statistics(config, policy, env))


def arguments_known(config: RunConfig) -> bool:
    """Whether SB3 can honour every setting of the algorithm, so that the model has all hyperparameters.

    What trains with a network that SB3's backend refuses, or elsewhere than on the CPU, can be loaded.
    """
    apart = {"network.name", "network.shared", "compute.kernel", "device"}
    return all(fault.keys & apart for fault in mapping.refusals(config))


def _model(config: RunConfig, spec: EnvSpec, env: Env) -> OnPolicyAlgorithm:
    network = config.network
    pixels = network.name == "nature_cnn"
    hidden = list(network.hidden[1:] if pixels else network.hidden)
    policy_kwargs: dict[str, Any] = {
        "net_arch": {"pi": hidden, "vf": hidden},
        "activation_fn": nn.ReLU if pixels else ACTIVATIONS[network.activation],
    }
    if arguments_known(config):
        policy_kwargs["optimizer_class"] = OPTIMISERS[config.algo.optimiser]
        policy_kwargs["optimizer_kwargs"] = mapping.optimiser_arguments(config)
    if pixels:
        shared = {"share_features_extractor": network.shared}
        policy_kwargs |= {"features_extractor_kwargs": {"features_dim": network.hidden[0]}, **shared}
    make: Any = _class(config)  # SB3 takes no environment, but its annotations do not say so
    model: OnPolicyAlgorithm = make(
        "CnnPolicy" if pixels else "MlpPolicy", None, policy_kwargs=policy_kwargs, _init_setup_model=False,
        **_arguments(config, spec),
    )  # fmt: skip
    observed: Any = _bare(env.observation_space)
    if is_image_space(observed) and not is_image_space_channels_first(observed):
        observed = VecTransposeImage.transpose_space(observed)
    model.observation_space, model.action_space = observed, _bare(env.action_space)
    model.n_envs = config.env.num_envs
    model._setup_model()
    return model


def _arguments(config: RunConfig, spec: EnvSpec) -> dict[str, Any]:
    """Hyperparameters: all of them where SB3 can honour the config, else those of every algorithm."""
    if not arguments_known(config):
        return {"n_steps": config.algo.rollout_steps, "gamma": config.algo.gamma, "device": "cpu"}
    given = mapping.arguments(config, spec.action)
    schedules = {"learning_rate": config.algo.learning_rate_schedule, "clip_range": config.algo.clip_schedule}
    for name, kind in schedules.items():
        if name in given:  # numbers and SB3's own schedules: what is pickled needs no rlcli to be loaded
            start = given[name](1.0)
            given[name] = LinearSchedule(start, 0.0, 1.0) if kind == "linear" else start
    return given


def _class(config: RunConfig) -> type[OnPolicyAlgorithm]:
    """A2C and TRPO for what they are; PPO holds the policies of all others, which act alike."""
    name = mapping.algorithm(config)
    if name == "TRPO":
        from sb3_contrib import TRPO

        return TRPO
    return A2C if name == "A2C" else PPO


def _bare(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The same space, as a class of Gymnasium's alone."""
    match space:
        case spaces.Box():
            return spaces.Box(space.low, space.high, space.shape, space.dtype.type)
        case spaces.Discrete():
            return spaces.Discrete(int(space.n))
        case spaces.MultiDiscrete():
            return spaces.MultiDiscrete(space.nvec.tolist())
        case spaces.MultiBinary():
            return spaces.MultiBinary(space.n)
    raise AssertionError(space)


def _load(policy: Policy, config: RunConfig, model: OnPolicyAlgorithm) -> None:
    network, parameters = policy.model.network, policy.snapshot.parameters[0]
    own = dict(model.policy.named_parameters())
    if isinstance(network, MLP):
        given = _of_perceptrons(network, parameters)
    else:
        assert isinstance(network, ModuleNetwork), "refused by `obstacle`"
        given = _of_pixels(network, parameters, config.network.shared)
    assert own.keys() == given.keys(), sorted(own.keys() ^ given.keys())
    for name, parameter in own.items():
        parameter.copy_(given[name])


def _of_perceptrons(network: MLP, parameters: Tensor) -> dict[str, Tensor]:
    """By SB3's names; what is a shared trunk with us is in both of SB3's."""
    layout = network.layout
    if not layout.shared:
        return by_name(layout, parameters)
    parts = {name: part[0] for name, part in layout.unflatten(parameters.unsqueeze(0)).items()}
    found = {}
    for depth in range(len(layout.hidden)):
        for name in ("policy_net", "value_net"):
            layer = f"mlp_extractor.{name}.{2 * depth}"
            found[f"{layer}.weight"] = parts[f"trunk.{depth}.weight"][0].T
            found[f"{layer}.bias"] = parts[f"trunk.{depth}.bias"][0]
    return found | _heads(parts, turned=True)


def _heads(parts: dict[str, Tensor], *, turned: bool) -> dict[str, Tensor]:
    found = {}
    for head, name in (("policy", "action_net"), ("value", "value_net")):
        weight = parts[f"{head}.weight"]
        found[f"{name}.weight"] = weight.T if turned else weight
        found[f"{name}.bias"] = parts[f"{head}.bias"]
    free = parts["policy.free" if turned else "free"]
    return found | ({"log_std": free[0]} if free.numel() else {})


def _of_pixels(network: ModuleNetwork, parameters: Tensor, shared: bool) -> dict[str, Tensor]:
    """By SB3's names: convolutions and first hidden layer are its features extractor."""
    parts = network.named(parameters.unsqueeze(0))[0]
    found = _of_trunk(parts, "trunk", "", ("policy_net", "value_net") if shared else ("policy_net",))
    if not shared:
        found |= _of_trunk(parts, "critic.0", "vf_", ("value_net",))
        parts |= {f"value.{leaf}": parts[f"critic.1.{leaf}"] for leaf in ("weight", "bias")}
    return found | _heads(parts, turned=False)


def _of_trunk(parts: dict[str, Tensor], trunk: str, prefix: str, nets: tuple[str, ...]) -> dict[str, Tensor]:
    """One trunk of ours as an extractor of SB3's, and the layers behind it as those of its `nets`."""
    found = {}
    for key, value in parts.items():
        if not key.startswith(f"{trunk}."):
            continue
        group, _, layer, leaf = key.removeprefix(f"{trunk}.").split(".")
        if group == "images":
            found[f"{prefix}features_extractor.cnn.{layer}.{leaf}"] = value
        elif layer == "0":
            found[f"{prefix}features_extractor.linear.0.{leaf}"] = value
        else:
            found |= {f"mlp_extractor.{net}.{int(layer) - 2}.{leaf}": value for net in nets}
    return found


def _statistics(config: RunConfig, policy: Policy, env: Env) -> VecNormalize | None:
    """VecNormalize with the run's statistics, which are its formula: (x - mean) / sqrt(variance + 1e-8)."""
    if not config.env.normalize_observation:
        return None
    found = VecNormalize(
        DummyVecEnv([lambda: env]), training=False, norm_reward=False, clip_obs=CLIP, epsilon=FLOOR
    )
    moments = policy.snapshot.moments
    shape = env.observation_space.shape
    assert shape is not None
    running: Any = found.obs_rms
    running.mean = moments.mean[0].reshape(shape).numpy().copy()
    running.var = moments.variance[0].reshape(shape).numpy().copy()
    running.count = float(moments.seen[0])
    return found
