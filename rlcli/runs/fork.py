"""Forks: new runs that begin with the parameters of a checkpoint of another run, their parent.

The optimiser's state, the statistics of observations and rewards and the adapted beta are taken too, where
the settings they belong to are the parent's. Everything else begins anew: episodes, schedules, counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from rlcli.backends.session import Checkpoint
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.values import display
from rlcli.envs import registry
from rlcli.envs.spec import EnvSpec
from rlcli.errors import StorageError, UserError
from rlcli.store.admission import admitted
from rlcli.store.checkpoint_file import largest_checkpoint
from rlcli.store.checkpoints import Checkpoints, Which
from rlcli.store.config_file import read_config
from rlcli.store.directory import summary
from rlcli.store.parent import Parent
from rlcli.store.start_file import Beginning, digest_of
from rlcli.text import as_typed

PARAMETERS = "train.policy.parameters"
NEAREST = 3
"""Kept checkpoints that are named where the one asked for is not kept."""


@dataclass(frozen=True)
class Source:
    """A parent, with the checkpoint that is taken from."""

    dir: Path
    id: str
    status: str
    overrides: tuple[str, ...]
    config: RunConfig
    spec: EnvSpec
    checkpoint: Checkpoint


class Part(NamedTuple):
    """A part of the state that a fork may take, and the settings on which that depends."""

    name: str
    prefixes: tuple[str, ...]
    """Of its tensors' names."""
    same: tuple[str, ...]
    """Keys that must be the parent's."""
    needs: Mapping[str, Any] = {}
    """Keys with the values without which there is no such part."""


OPTIMISER = "optimiser"
PARTS = (
    Part(
        OPTIMISER,
        ("train.optimiser.", "train.phases.value.", "train.phases.auxiliary.", "train.phases.head"),
        ("algo.optimiser", "algo.step_rule"),
    ),
    Part(
        "observation statistics",
        ("train.policy.moments.",),
        (),
        {"env.normalize_observation": True},
    ),
    Part(
        "reward scale",
        ("train.reward_moments.",),
        ("env.id", "env.kwargs", "algo.gamma"),
        {"env.normalize_reward": True},
    ),
    Part(
        "beta",
        ("train.coefficient",),
        ("algo.penalty", "algo.beta"),
        {"algo.beta_schedule": "adaptive"},
    ),
)


def read_source(run_dir: Path, at: Which = "last", imports: Sequence[str] = ()) -> Source:
    """Reads a run to be forked and imports its modules; `imports` as in `admit`. Nothing of it is changed.

    Raises:
        UserError: it has no such checkpoint, or its config is not admitted.
        StorageError: its files are damaged.
    """
    about = summary(run_dir)
    config = admitted(read_config(run_dir), run_dir, imports)
    checkpoints = Checkpoints(run_dir, largest=partial(largest_checkpoint, config))
    kept = checkpoints.updates
    if not kept:
        raise UserError(
            f"{run_dir} has no checkpoint to fork from: it is {about['status']}, and has none.",
            hint=f"Train it further first: rlcli resume {as_typed(run_dir)}",
        )
    if isinstance(at, int) and at not in kept:
        near = sorted(sorted(kept, key=lambda update: abs(update - at))[:NEAREST])
        raise UserError(
            f"--at {at}: {run_dir} has no checkpoint of update {at}. Nearest kept: "
            f"{', '.join(map(str, near))}."
        )
    checkpoint = checkpoints.load(at)
    if PARAMETERS not in checkpoint.tensors:
        raise StorageError(f"{run_dir}: its checkpoint {checkpoint.update} has no parameters.")
    spec = registry.describe(config.env)
    return Source(run_dir, about["id"], about["status"], tuple(about["overrides"]), config, spec, checkpoint)


def spaces_fit(source: Source, config: RunConfig) -> Iterator[str]:
    """Why the parent's network does not fit a fork's environment, one sentence for each space."""
    spec = registry.describe(config.env)
    for name in ("observation", "action"):
        theirs, ours = _described(getattr(source.spec, name)), _described(getattr(spec, name))
        if theirs != ours:
            yield (
                f"{config.env.id} has the {name} space {ours}, {source.id} was trained on that of "
                f"{source.spec.id}, {theirs}: a fork needs an environment of the same spaces."
            )


def beginning(source: Source, config: RunConfig, *, fresh_optimiser: bool = False) -> tuple[Beginning, str]:
    """What a fork of this config begins from, and a sentence on what is taken and what begins anew.

    With `fresh_optimiser` the optimiser begins anew although the parent's would fit.
    """
    tensors, carried, notes = {PARAMETERS: source.checkpoint.tensors[PARAMETERS]}, ["parameters"], []
    before, now = flatten(source.config), flatten(config)
    anew = ["episodes", "schedules", *(["kept rollouts"] if config.algo.reuse > 1 else [])]
    for part in PARTS:
        here, there = (all(flat[key] == value for key, value in part.needs.items()) for flat in (now, before))
        differing = [key for key in part.same if before[key] != now[key]]
        if part.name == OPTIMISER and fresh_optimiser:
            anew.append(f"{OPTIMISER} (--fresh-optimiser)")
        elif here and there and not differing:
            tensors |= _of(part, source.checkpoint.tensors)
            carried.append(part.name)
        elif here:
            missing = [key for key, value in part.needs.items() if before[key] != value]
            anew.append(f"{part.name} ({'; '.join(_changes(before, now, [*differing, *missing]))})")
        elif there and part.name == "observation statistics":
            notes.append(
                "Its policy was trained on whitened observations, and now reads raw ones: "
                "env.normalize_observation=true keeps them."
            )
    parent = Parent(source.id, str(source.dir), source.checkpoint.update, digest_of(tensors), tuple(carried))
    unfinished = "" if source.status == "finished" else f", which is {source.status},"
    text = (
        f"Fork of {source.id}{unfinished} at update {source.checkpoint.update:,}: takes its "
        f"{_and(carried)}; starts with new {_and(anew)}."
    )
    return Beginning(tensors, parent), " ".join([text, *notes])


def _of(part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(part.prefixes)}


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [f"{key} {display(before[key])} -> {display(now[key])}" for key in keys]


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _described(space: Any) -> str:
    """A space as text: kind, shape and choices of each element."""
    parts = [str(space.kind), f"of shape ({', '.join(map(str, space.shape))})"]
    if space.n is not None:
        parts.append(f"with {space.n} choices")
    if getattr(space, "sizes", ()):
        parts.append(f"with {', '.join(map(str, space.sizes))} choices")
    for member in getattr(space, "members", ()):
        parts.append(f"{member.key}: {member.kind} {member.shape} {member.sizes}")
    return " ".join(parts)
