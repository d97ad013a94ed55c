"""Python interface to trained runs: `rlcli.load(run)` for actions and metrics, `rlcli.evaluate(run)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.catalog import METRICS
from rlcli.config.schema import RunConfig
from rlcli.envs.members import Member
from rlcli.errors import UserError, unknown
from rlcli.maths.draws import generator
from rlcli.nets.actor import Actor
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.policy import Trained, read_policy
from rlcli.store.checkpoints import Which
from rlcli.store.directory import find_run, runs_root
from rlcli.store.rows import read_rows


class LoadedRun:
    """A trained run: its policy, which acts on observations of its environment, its config and metrics."""

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

    def metrics(self, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one per update: `[{"update": 1, "env_steps": 1024, ...}, ...]`.

        `columns` selects metrics by name. A row lacks a metric that was not measured at its update, such as
        `eval/return_mean` where there was no evaluation. `pandas.DataFrame(run.metrics())` makes a table.

        Raises:
            UserError: there is no metric of that name.
            StorageError: the file cannot be read.
        """
        rows = list(read_rows(self.dir))
        if columns is None:
            return rows
        known = dict.fromkeys([*METRICS, *(name for row in rows for name in row)])
        names = [columns] if isinstance(columns, str) else list(columns)
        faults = [unknown("metric", name, list(known)) for name in names if name not in known]
        if faults:
            raise UserError(*faults, hint="All metrics: rlcli explain")
        return [{name: row[name] for name in names if name in row} for row in rows]

    def act(
        self, observations: Any, state: Any = None, *, action_mask: Any = None, stochastic: bool = False
    ) -> Any:
        """The action for one observation, or actions for a batch of them, in the environment's format.

        In a batch of n, every array has n as its first axis; of a Dict or Tuple every member, as in
        Gymnasium's vector environments. One discrete action is a numpy integer, everything else an array.
        `action_mask` is info["action_mask"] of a run with env.action_mask=info; other masks are in
        observations.

        A policy with memory (network=lstm, gru) gives `(action, state)`, to be given to the next call. None,
        and rows of zeros in a batch, stand for the start of an episode.

        Raises:
            UserError: these are not observations or masks of the run's environment, or no state of its
                policy.
        """
        spec = self._trained.spec
        inputs, batched = self._read(observations)
        inputs = self._with_masks(inputs, observations, action_mask, batched)
        memory = self._remembered(state, inputs.shape[1], batched=batched)
        family = self._trained.policy.model.family
        noise = family.noise((1, inputs.shape[1]), self._draws).numpy() if stochastic else None
        chosen = self._act(inputs, noise, memory)
        actions = spec.action.to_env(chosen.actions.reshape(1, -1, *spec.action.shape))[0]
        if not batched:
            actions = actions[0] if spec.action.kind == "discrete" else np.asarray(actions[0])
        if chosen.memory is None:
            return actions
        return actions, chosen.memory[0] if batched else chosen.memory[0, 0]

    def _remembered(self, given: Any, count: int, *, batched: bool) -> npt.NDArray[np.float32] | None:
        """Recurrent state [1, B, M]; None for a policy without memory."""
        width = self._trained.policy.model.network.memory_width
        name = self._trained.config.network.name
        if not width:
            if given is not None:
                raise UserError(f"The policy of {self.dir} has no memory (network={name}): give no state.")
            return None
        shape = (count, width) if batched else (width,)
        if given is None:
            return np.zeros((1, count, width), np.float32)
        try:
            state = np.asarray(given)
        except ValueError:  # rows of several lengths
            state = np.empty(0, object)
        if state.shape != shape or state.dtype.kind != "f" or not np.isfinite(state).all():
            raise UserError(
                f"The state of network={name} is what `act` gave, {_shape(*shape)} finite numbers here; this "
                f"one has {_shape(*state.shape)} of type {state.dtype}."
            )
        return np.ascontiguousarray(state.reshape(1, count, width), np.float32)

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

    def _with_masks(
        self, inputs: npt.NDArray[Any], observations: Any, given: Any, batched: bool
    ) -> npt.NDArray[Any]:
        """Observations [1, B, ...] with the columns of their masks, where the run has masks."""
        mask, env_id = self._trained.spec.observation.mask, self._trained.spec.id
        if (given is not None) != (mask is not None and mask.member is None):
            setting = f"env.action_mask={self._trained.config.env.action_mask}"
            raise UserError(
                f"This run of {env_id} has {setting}: act takes no action_mask."
                if given is not None
                else f"This run of {env_id} has {setting}: act needs action_mask=info['action_mask']."
            )
        if mask is None:
            return inputs
        if mask.member is not None:
            if mask.member not in observations:
                raise UserError(f"An observation of {env_id} has a mask {mask.member!r}; this one has none.")
            given = observations[mask.member]
        try:
            rows = list(given) if batched else [given]
            if len(rows) != inputs.shape[1]:
                raise ValueError(f"there are {len(rows)} masks for {inputs.shape[1]} observations")
            columns = np.array([mask.columns(row) for row in rows], inputs.dtype)
        except (TypeError, ValueError) as error:
            raise UserError(f"{env_id}: {error}.") from error
        return np.concatenate((inputs, columns.reshape(1, len(rows), mask.width)), -1)

    def _parts(self, given: Any) -> tuple[list[npt.NDArray[Any]], bool]:
        """Each member's values [B, *its shape], and whether a batch was given."""
        space = self._trained.spec.observation
        members = space.leaves
        an_observation = f"An observation of {self._trained.spec.id}"
        try:
            parts = [np.asarray(member.of(given)) for member in members]
        except (KeyError, IndexError, TypeError) as error:
            names = ", ".join(str(member.key) for member in members)
            raise UserError(f"{an_observation} is a {space.kind} of {names}; this one is not.") from error
        except ValueError as error:
            raise UserError(f"{an_observation} is an array of numbers; this one is not: {error}.") from error
        batched = parts[0].ndim > len(members[0].shape)
        for member, part in zip(members, parts, strict=True):
            leading = parts[0].shape[:1] if batched else ()
            whose = an_observation if member.key is None else f"{an_observation}: its {member.key!r}"
            if part.shape != (*leading, *member.shape):
                raise UserError(
                    f"{whose} has shape {_shape(*member.shape)}, a batch of n "
                    f"{_shape('n', *member.shape)}; this one has {_shape(*part.shape)}."
                )
            fault = _wrong_numbers(member, part)
            if fault is not None:
                raise UserError(f"{whose} consists of {fault}.")
        return (parts if batched else [part[None] for part in parts]), batched


def _wrong_numbers(member: Member, values: npt.NDArray[Any]) -> str | None:
    """What numbers a member consists of, and the value that is none; None if all are.

    A cast to whole numbers would make the pixels 0 of an image whose values are between 0 and 1.
    """
    if values.dtype.kind not in "fiub":
        return f"numbers; this one is of type {values.dtype}"
    whole = member.kind == "box" and member.declared.kind in "iub"
    with np.errstate(invalid="ignore"):
        sound = values.astype(member.declared) == values if whole else np.isfinite(values)
    if sound.all():
        return None
    what = f"{member.declared} numbers" if whole else "finite numbers"
    return f"{what}; this one has the value {values[~sound].flat[0]}"


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


def evaluate(
    run: str | Path = "last",
    *,
    episodes: int = 100,
    max_steps: int | None = None,
    stochastic: bool = False,
    checkpoint: Which = "last",
    seed: int | None = None,
    runs_dir: str | None = None,
) -> dict[str, Any]:
    """Play episodes with a trained policy as `rlcli eval` would; its figures: return_mean, return_std, ...

    `run` is a path, the beginning of an id, a name, or 'last'. An environment that is registered by a module
    of your own needs that module imported first.

    Raises:
        UserError: there is no such run or checkpoint, or no episode to play.
        StorageError: its files are damaged.
        RlcliError: the environment failed.
    """
    found = find_run(str(run), runs_root(runs_dir))
    return evaluate_run(
        found, episodes=episodes, max_steps=max_steps, stochastic=stochastic, checkpoint=checkpoint, seed=seed
    )
