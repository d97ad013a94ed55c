"""Python interface to trained policies: `rlcli.load(run).act(observation)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.config.schema import RunConfig
from rlcli.envs.members import Member
from rlcli.errors import UserError
from rlcli.maths.draws import generator
from rlcli.nets.actor import Actor
from rlcli.runs.policy import Trained, read_policy
from rlcli.store.checkpoints import Which
from rlcli.store.directory import find_run, runs_root


class LoadedRun:
    """The policy of a trained run; acts on observations as the environment returns them."""

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
        """The update after which the weights were saved."""
        return self._trained.update

    def act(self, observations: Any, *, stochastic: bool = False) -> Any:
        """The action for one observation, or actions for a batch of them, in the environment's format.

        In a batch of n, every array has n as its first axis; of a Dict or Tuple every member, as in
        Gymnasium's vector environments. One discrete action is a numpy integer, everything else an array.

        Raises:
            UserError: these are not observations of the run's environment.
        """
        spec = self._trained.spec
        inputs, batched = self._read(observations)
        family = self._trained.policy.model.family
        noise = family.noise((1, inputs.shape[1]), self._draws).numpy() if stochastic else None
        chosen = self._act(inputs, noise).actions
        actions = spec.action.to_env(chosen.reshape(1, -1, *spec.action.shape))[0]
        if batched:
            return actions
        return actions[0] if spec.action.kind == "discrete" else np.asarray(actions[0])

    def _read(self, given: Any) -> tuple[npt.NDArray[Any], bool]:
        """Observations [1, B, ...] in the policy's format, and whether a batch was given."""
        space = self._trained.spec.observation
        parts, batched = self._parts(given)
        if space.members:
            try:
                return space.vectors(parts)[None], batched
            except ValueError as error:
                raise UserError(f"{self._trained.spec.id}: {error}") from error
        [rows] = parts
        if space.n is not None:
            rows = rows - space.start
            if not np.isin(rows, np.arange(space.n)).all():
                low, high = space.start, space.start + space.n - 1
                raise UserError(
                    f"An observation of {self._trained.spec.id} is a whole number from {low} to {high}."
                )
        return np.ascontiguousarray(rows[None], dtype=space.dtype), batched

    def _parts(self, given: Any) -> tuple[list[npt.NDArray[Any]], bool]:
        """Each member's values [B, *its shape], and whether a batch was given."""
        space = self._trained.spec.observation
        members = space.members or (Member(None, space.kind, space.shape),)
        an_observation = f"An observation of {self._trained.spec.id}"
        try:
            parts = [np.asarray(member.of(given)) for member in members]
        except (KeyError, IndexError, TypeError) as error:
            names = ", ".join(str(member.key) for member in members)
            raise UserError(f"{an_observation} is a {space.kind} of {names}; this one is not.") from error
        batched = parts[0].ndim > len(members[0].shape)
        for member, part in zip(members, parts, strict=True):
            leading = parts[0].shape[:1] if batched else ()
            if part.shape != (*leading, *member.shape):
                whose = an_observation if member.key is None else f"{an_observation}: its {member.key!r}"
                raise UserError(
                    f"{whose} has shape {_shape(*member.shape)}, a batch of n "
                    f"{_shape('n', *member.shape)}; this one has {_shape(*part.shape)}."
                )
        return (parts if batched else [part[None] for part in parts]), batched


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
