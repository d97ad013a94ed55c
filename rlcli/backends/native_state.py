"""States that runs of the native backend begin from: fresh, of a checkpoint, of another run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlcli.backends import kernel
from rlcli.backends.session import Checkpoint, Initial, Policy
from rlcli.collect.state import CollectorState
from rlcli.config.alerts import reduces_rate
from rlcli.config.schema.run import RunConfig
from rlcli.envs.spec import EnvSpec
from rlcli.errors import StorageError
from rlcli.kernels import library
from rlcli.learner import state as states
from rlcli.learner.algorithm import Algorithm
from rlcli.learner.declared import from_declared, to_declared
from rlcli.learner.kept import blank as blank_kept
from rlcli.learner.model import check_network, initial_parameters, make_model
from rlcli.learner.ppg import initial_phases
from rlcli.learner.state import TrainState, no_phases
from rlcli.learner.table import algorithm
from rlcli.nets.policy import Model, Snapshot

REMEMBERED, WIDENED = "phases.observations", (torch.float32, torch.float64)
"""An earlier rlcli kept fewer digits of observations that are whitened."""
MEMORY = "memory"
RAW_ACTIONS = (torch.int64, torch.float32)
"""Types that actions are kept in."""


def blank_states(configs: Sequence[RunConfig], row: Algorithm, model: Model, spec: EnvSpec) -> TrainState:
    """The states before the first update."""
    config = configs[0]
    check_network(model.network, row, config.network.name)
    phases = no_phases(len(configs))
    if row.has_phases:
        phases = initial_phases(configs, model, spec.observation, row.optimiser)
    return states.fresh(
        initial_parameters(configs, model),
        model.network.encoder.width,
        config.env.num_envs,
        config.lag,
        phases,
        blank_kept(config, len(configs), model, spec),
        row.optimiser.initial_second,
        adapts_rate=row.adapts_rate or reduces_rate(config.alerts),
    )


def unpacked(blank: TrainState, model: Model, checkpoint: Checkpoint) -> tuple[TrainState, CollectorState]:
    """One run's saved tensors as states; `blank` has the expected names and shapes."""
    expected = states.named_leaves(states.take(blank, 0))
    trained = {}
    for name, leaf in expected.items():
        saved = checkpoint.tensors.get(f"train.{name}")
        if saved is None and not leaf.numel():
            saved = leaf  # of a row that does not use it, by an rlcli that had none
        if name == REMEMBERED and saved is not None and (saved.dtype, leaf.dtype) == WIDENED:
            saved = saved.double()
        trained[name] = _fitting(name, saved, leaf)
    fields = {}
    num_envs = expected["discounted"].shape[0]
    for name, saved in _collected(checkpoint, num_envs, model.network.memory_width).items():
        fields[name] = saved.numpy()
    state: TrainState = from_declared(states.with_leaves(states.take(blank, 0), trained), model.network)
    return state, CollectorState(**fields)


def begun(blank: TrainState, model: Model, start: Initial | None) -> TrainState:
    """One run's state before its first update, `blank`, with the tensors of `start` in their places.

    The policies of a queue are those it begins with.

    Raises:
        StorageError: a tensor has no place, or does not fit it.
    """
    if start is None:
        return blank
    declared = to_declared(blank, model.network)
    leaves = states.named_leaves(declared, "train.")
    unknown = [name for name in start if name not in leaves]
    if unknown:
        raise StorageError(f"A run does not begin from {', '.join(unknown)}.")
    fitting = {name: _fitting(name, saved, leaves[name]) for name, saved in start.items()}
    state: TrainState = from_declared(states.with_leaves(declared, leaves | fitting, "train."), model.network)
    queue = states.map_leaves(lambda old, new: new.expand(old.shape).clone(), state.queue, state.policy)
    return state._replace(queue=queue)


def policy_in(config: RunConfig, spec: EnvSpec, checkpoint: Checkpoint) -> Policy:
    """The policy in a checkpoint of a run of this config."""
    # Without a library torch and numpy stand in: actions alone are asked for, no bits.
    in_c = config.compute.kernel == kernel.C and library.problem() is None
    model = make_model(config, spec, in_c=in_c)
    trained, _ = unpacked(blank_states([config], algorithm(config), model, spec), model, checkpoint)
    snapshot: Snapshot = states.stack([trained]).policy
    return Policy(model, snapshot)


def _fitting(name: str, saved: Tensor | None, leaf: Tensor) -> Tensor:
    """A saved tensor that has the place of `leaf`.

    Raises:
        StorageError: it is missing, of another shape or type, or not finite.
    """
    if saved is None or saved.shape != leaf.shape or saved.dtype != leaf.dtype:
        found = "missing" if saved is None else f"{tuple(saved.shape)} {saved.dtype}"
        raise StorageError(
            f"The checkpoint does not fit this run's config: {name} is {found}, "
            f"expected {tuple(leaf.shape)} {leaf.dtype}."
        )
    if saved.is_floating_point() and not bool(saved.isfinite().all()):
        raise StorageError(f"The checkpoint is not one of rlcli: {name} has values that are not finite.")
    return saved


def _collected(checkpoint: Checkpoint, num_envs: int, memory_width: int) -> dict[str, Tensor]:
    """The saved tensors of a collector of N environments; memory of no width is not saved.

    Raises:
        StorageError: one is missing or of another shape or type.
    """
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("episodes", "lengths", "returns"), (num_envs,))
    shapes[MEMORY] = (num_envs, memory_width)
    types = {
        "episodes": torch.int64,
        "lengths": torch.int64,
        "returns": torch.float64,
        "recent": torch.float64,
        MEMORY: torch.float32,
    }
    found = {}
    for name in CollectorState._fields:
        saved = checkpoint.tensors.get(f"collector.{name}")
        if name == MEMORY and not memory_width:
            saved = torch.zeros(num_envs, 0)
        if saved is None:
            raise StorageError(f"The checkpoint lacks the collector's {name}.")
        fits = saved.dtype is types.get(name, saved.dtype) and saved.shape == shapes.get(name, saved.shape)
        if name == "recent":
            fits = fits and saved.ndim == 1
        if name == "history":
            fits = saved.dtype in RAW_ACTIONS and saved.ndim >= 2 and saved.shape[1] == num_envs
        if not fits:
            raise StorageError(
                f"The checkpoint does not fit this run's config: the collector's {name} is "
                f"{tuple(saved.shape)} {saved.dtype}."
            )
        found[name] = saved
    return found
