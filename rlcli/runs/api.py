"""`rlcli.load(run).act(observation)`: a trained policy in other people's programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.config.schema import RunConfig
from rlcli.errors import UserError
from rlcli.maths.draws import generator
from rlcli.nets.actor import Actor
from rlcli.runs.checkpoint import Which
from rlcli.runs.directory import find_run, runs_root
from rlcli.runs.policy import Trained, read_policy


class LoadedRun:
    """The policy of a trained run, acting on observations as the environment gives them."""

    def __init__(self, run_dir: Path, trained: Trained, seed: int) -> None:
        self.dir = run_dir
        self._trained = trained
        self._act = Actor(*trained.policy)
        self._draws = generator(seed, "loaded_action")

    @property
    def config(self) -> RunConfig:
        """The run's resolved config."""
        return self._trained.config

    @property
    def update(self) -> int:
        """The update the weights are from."""
        return self._trained.update

    def act(self, observations: npt.ArrayLike, *, stochastic: bool = False) -> Any:
        """The action for one observation, or actions for a batch of them, ready for the environment.

        One discrete action is a numpy integer, everything else an array.

        Raises:
            UserError: these are no observations of the run's environment.
        """
        spec = self._trained.spec
        seen, batched = self._read(np.asarray(observations))
        family = self._trained.policy.model.family
        noise = family.noise((1, seen.shape[1]), self._draws).numpy() if stochastic else None
        actions, _ = self._act(seen, noise)
        taken = spec.action.to_env(actions.reshape(1, -1, *spec.action.shape))[0]
        if batched:
            return taken
        return taken[0] if spec.action.kind == "discrete" else np.asarray(taken[0])

    def _read(self, given: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], bool]:
        """Observations [1, B, ...] as the policy takes them, and whether a batch was given."""
        spec = self._trained.spec
        shape = spec.observation.shape
        batched = given.shape[1:] == shape and given.ndim > len(shape)
        if not batched and given.shape != shape:
            raise UserError(
                f"An observation of {spec.id} has shape {_shape(*shape)}, a batch of n "
                f"{_shape('n', *shape)}; this one has {_shape(*given.shape)}."
            )
        rows = (given if batched else given[None])[None]
        if spec.observation.n is not None:
            rows = rows - spec.observation.start
            if not np.isin(rows, np.arange(spec.observation.n)).all():
                low, high = spec.observation.start, spec.observation.start + spec.observation.n - 1
                raise UserError(f"An observation of {spec.id} is a whole number from {low} to {high}.")
        return np.ascontiguousarray(rows, dtype=spec.observation.dtype), batched


def _shape(*sizes: int | str) -> str:
    return f"({', '.join(map(str, sizes))})"


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
