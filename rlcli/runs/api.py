"""`rlcli.load(run).act(observation)`: a trained policy in other people's programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rlcli.config.schema import RunConfig
from rlcli.errors import UserError
from rlcli.maths.draws import generator
from rlcli.runs.checkpoint import Which
from rlcli.runs.directory import find_run, runs_root
from rlcli.runs.policy import Trained, read_policy


class LoadedRun:
    """The policy of a trained run, acting on observations as the environment gives them."""

    def __init__(self, run_dir: Path, trained: Trained, seed: int) -> None:
        self.dir = run_dir
        self._trained = trained
        self._head = trained.policy.model.actor(trained.policy.snapshot)
        self._draws = generator(seed, "loaded_action")

    @property
    def config(self) -> RunConfig:
        """The run's resolved config."""
        return self._trained.config

    @property
    def update(self) -> int:
        """The update the weights are from."""
        return self._trained.update

    @torch.no_grad()
    def act(self, observations: npt.ArrayLike, *, stochastic: bool = False) -> npt.NDArray[Any]:
        """The action for one observation, or actions for a batch of them, ready for the environment.

        Raises:
            UserError: the shape is neither that of an observation nor of a batch.
        """
        spec = self._trained.spec
        given = np.asarray(observations)
        batched = given.ndim == len(spec.observation.shape) + 1
        if not batched and given.ndim != len(spec.observation.shape) or (
            given.shape[given.ndim - len(spec.observation.shape) :] != spec.observation.shape
        ):
            raise UserError(
                f"An observation of {spec.id} has shape {spec.observation.shape}, a batch of n "
                f"{('n', *spec.observation.shape)}; this one has {given.shape}."
            )
        rows = (given if batched else given[None]) - spec.observation.start
        seen = torch.from_numpy(np.ascontiguousarray(rows[None], dtype=spec.observation.dtype))
        model, snapshot = self._trained.policy
        if stochastic:
            noise = model.family.noise((1, len(rows)), self._draws)
            actions, _ = self._head(seen, noise)
        else:
            actions = model.greedy(snapshot, seen)
        raw = actions.numpy()
        sent = spec.action.to_env(raw.reshape(*raw.shape[:2], *spec.action.shape))[0]
        return np.asarray(sent if batched else sent[0])


def load(
    run: str | Path = "last", *, checkpoint: Which = "last", runs_dir: str | None = None, seed: int = 0
) -> LoadedRun:
    """The policy of a run: a path, the beginning of its id, its name, or 'last'.

    `seed` sets the draws of `act(..., stochastic=True)`.

    Raises:
        UserError: there is no such run or checkpoint.
        StorageError: its files are damaged.
    """
    found = find_run(str(run), runs_root(runs_dir))
    return LoadedRun(found, read_policy(found, checkpoint), seed)
