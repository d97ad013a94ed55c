"""Recorded episodes as a dataset of Minari, the Farama Foundation's format for offline learning.

Observations and actions are as the environment has them. The log-probability of an action under the policy
that acted is `log_prob` in the infos of the observation it was taken at.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.spec import ActionSpec, EnvSpec, ObservationSpec
from rlcli.errors import StorageError

Array = npt.NDArray[Any]
PACKAGES = ("minari", "h5py")


class Recorded(NamedTuple):
    """Padded episodes: n of them, H steps of the longest."""

    observations: Array
    """[n, H + 1, ...]."""
    actions: Array
    """[n, H, ...], raw."""
    rewards: npt.NDArray[np.float64]
    """[n, H]."""
    log_probs: npt.NDArray[np.float64]
    """[n, H]."""
    lengths: npt.NDArray[np.int64]
    terminated: npt.NDArray[np.bool_]


def missing() -> str | None:
    """A package that writing needs and that is not installed."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name) is None), None)


def obstacle(spec: EnvSpec) -> str | None:
    """Why episodes of an environment cannot be written; None: they can."""
    if spec.observation.kind in ("box", "discrete") and spec.observation.mask is None:
        return None
    return (
        f"{spec.id} has {spec.observation.kind} observations, or masks, which rlcli records as vectors; a "
        "dataset needs observations as the environment gives them, Box or Discrete"
    )


def write_dataset(folder: Path, config: EnvConfig, spec: EnvSpec, recorded: Recorded, run: str) -> None:
    """Writes the dataset into a new folder, whole or not at all; its id is the folder's name.

    Raises:
        StorageError: it cannot be written.
    """
    import minari
    from minari.dataset.minari_storage import MinariStorage

    unfinished = folder.absolute().with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of environments whose newer versions exist
            unfinished.mkdir()
            storage = MinariStorage.new(
                unfinished / "data",
                observation_space=_observation_space(spec.observation),
                action_space=_action_space(spec.action),
                env_spec=_registered(config),
                data_format="hdf5",
                jpeg_encoding=False,
            )
            storage.update_metadata(
                {"dataset_id": folder.name, "algorithm_name": run, "minari_version": minari.__version__}
            )
            storage.update_episodes(_buffers(spec, recorded))
        unfinished.rename(folder)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _buffers(spec: EnvSpec, recorded: Recorded) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    start = spec.observation.start if spec.observation.kind == "discrete" else 0
    for number, length in enumerate(recorded.lengths.tolist()):
        ends = np.arange(length) == length - 1
        terminated = ends & recorded.terminated[number]
        yield EpisodeBuffer(
            id=number,
            observations=list(recorded.observations[number, : length + 1] + start),
            actions=list(spec.action.to_env(recorded.actions[None, number, :length])[0]),
            rewards=recorded.rewards[number, :length].tolist(),
            terminations=terminated.tolist(),
            truncations=(ends & ~terminated).tolist(),
            infos={"log_prob": [*recorded.log_probs[number, :length].tolist(), 0.0]},
        )


def _registered(config: EnvConfig) -> Any:
    """The environment as Gymnasium's registry has it, with the run's arguments; None where it has none."""
    with contextlib.suppress(gymnasium.error.Error, ImportError):
        found = gymnasium.spec(config.id)
        found.kwargs = {**found.kwargs, **config.kwargs}
        with contextlib.suppress(TypeError, ValueError):
            found.to_json()
            return found
    return None


def _observation_space(observation: ObservationSpec) -> spaces.Space[Any]:
    if observation.kind == "discrete":
        assert observation.n is not None
        return spaces.Discrete(observation.n, start=observation.start)
    low, high = (0, 255) if observation.dtype == np.uint8 else (-np.inf, np.inf)
    return spaces.Box(low, high, observation.shape, observation.dtype.type)


def _action_space(action: ActionSpec) -> spaces.Space[Any]:
    if action.kind == "discrete":
        assert action.n is not None
        return spaces.Discrete(action.n, start=int(action.start))
    if action.kind == "multidiscrete":
        sizes = np.array(action.sizes).reshape(action.shape)
        return spaces.MultiDiscrete(sizes, start=np.broadcast_to(action.start, action.shape))
    if action.kind == "multibinary":
        return spaces.MultiBinary(action.shape)
    low, high = (
        np.broadcast_to(bound, action.shape).astype(action.dtype) for bound in (action.low, action.high)
    )
    return spaces.Box(low, high, action.shape, action.dtype.type)
