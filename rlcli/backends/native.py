"""The native backend: a session of R runs as one program.

Shapes: R runs still in training; `_order[r]` is the run that row r of every tensor belongs to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rlcli.actors.free import FreeCollector
from rlcli.actors.packets import ActorError
from rlcli.actors.vector import ActorVectorEnv
from rlcli.backends import kernel
from rlcli.backends.kernel import decided
from rlcli.backends.process import prepare
from rlcli.backends.session import Array, Checkpoint, Failure, Initial, OnCollected, Policy, Row
from rlcli.collect.device import DeviceCollector
from rlcli.collect.environment_time import EnvironmentTime
from rlcli.collect.kernel import KernelCollector
from rlcli.collect.rollout import Collector, Episodes
from rlcli.collect.state import CollectorState
from rlcli.config.alerts import reduces_rate
from rlcli.config.schema import RunConfig
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.envs.spec import EnvSpec
from rlcli.envs.torch.base import TorchEnv
from rlcli.errors import NonFiniteError, StorageError
from rlcli.extend import faults
from rlcli.kernels import library
from rlcli.learner import state as states
from rlcli.learner.algorithm import Algorithm
from rlcli.learner.declared import from_declared, to_declared
from rlcli.learner.kept import blank as blank_kept
from rlcli.learner.model import check_network, initial_parameters, make_model
from rlcli.learner.ppg import initial_phases
from rlcli.learner.state import TrainState, no_phases
from rlcli.learner.table import algorithm
from rlcli.learner.update import Update, update
from rlcli.nets.policy import Model, Snapshot

REMEMBERED, WIDENED = "phases.observations", (torch.float32, torch.float64)
"""An earlier rlcli kept fewer digits of observations that are whitened."""
MEMORY = "memory"
RAW_ACTIONS = (torch.int64, torch.float32)
"""Types that actions are kept in."""


class NativeSession:
    """A cohort: configs that agree on all but cohort keys, trained as one program."""

    _collector: Collector | FreeCollector
    _collectors: type[Collector] | None = None
    """The collector's class; None: chosen by where the environments are, host or device."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        checkpoints: Sequence[Checkpoint] | None = None,
        starts: Sequence[Initial | None] | None = None,
    ) -> None:
        """`starts`, without `checkpoints`: what each run begins from; None begins afresh."""
        prepare(configs[0].compute.threads)
        self.spec = registry.describe(configs[0].env, configs[0].network.squash)
        configs = [decided(one, self.spec) for one in configs]
        config = configs[0]
        self._configs = configs
        self._order = list(range(len(configs)))
        in_c = config.compute.kernel == kernel.C
        self._model = make_model(config, self.spec, in_c=in_c)
        self._algorithm = algorithm(config, in_c=in_c)
        blank = _blank(configs, self._algorithm, self._model, self.spec)
        collectors = None
        if checkpoints is not None:
            trained, collectors = zip(
                *(_unpack(blank, self._model, saved) for saved in checkpoints), strict=True
            )
            blank = states.stack(trained)
        elif starts is not None:
            blank = states.stack(
                [_begun(states.take(blank, run), self._model, start) for run, start in enumerate(starts)]
            )
        self._hosted: tuple[TrainState, dict[str, Array]] | None = None
        self._state: TrainState = states.map_leaves(lambda leaf: leaf.to(config.device), blank)
        squash = config.network.squash
        if config.collect.is_free:
            self._collector = FreeCollector(
                self._model,
                self.spec,
                config,
                self._state.policy,
                int(self._state.update[0]),
                None if collectors is None else collectors[0],
                in_c=in_c,
            )
            self._environment_time = None
            return
        env: VectorEnv
        if config.collect.mode == "process":
            env = ActorVectorEnv(config, self.spec, len(configs))
        else:
            env = registry.make(config.env, len(configs), device=config.device, squash=squash, training=True)
        inline = KernelCollector if in_c else Collector
        collector = self._collectors or (DeviceCollector if isinstance(env, TorchEnv) else inline)
        try:
            self._collector = collector(
                self._model,
                env,
                [one.seed for one in configs],
                config.algo.rollout_steps,
                config.env.replay_limit,
                config.device,
                collectors,
                whole_episodes=config.collect.whole_episodes,
            )
        except BaseException:
            env.close()
            raise
        # Its first episodes, begun by the collector, are no part of an update.
        self._environment_time = EnvironmentTime(env) if any(one.profile for one in configs) else None

    @property
    def runs(self) -> Sequence[int]:
        """Runs still in training."""
        return tuple(self._order)

    def listen(self, on_collected: OnCollected) -> None:
        """See `Session`."""
        self._collector.listen(lambda steps: on_collected(tuple(self._order), steps))

    def update(self) -> dict[int, Row | Failure]:
        """Collect, learn, measure; one copy from device to host."""
        configs = [self._configs[run] for run in self._order]
        before, collected_before = self._state, self._collector.states
        faults.take()
        started = time.perf_counter()
        done = before.update.tolist()
        acted, figures = before, dict[str, float]()
        if isinstance(self._collector, FreeCollector):
            try:
                rollout, episodes, figures = self._collector.collect(before.policy, done)
                acted = states.acted_by(before, self._collector.acting)
            except ActorError as error:
                return {run: Failure(error, done[r] + 1) for r, run in enumerate(self._order)}
        else:
            rollout, episodes = self._collector.collect(states.behaviour(before), done)
        collected = time.perf_counter()
        try:
            result = update(self._algorithm, configs, self._collector.seeds, self._model, acted, rollout)
        except Exception:
            self._collector.states = collected_before
            raise
        rows = _rows(configs, done, result, episodes, self._collector.states)
        seconds = result.seconds | {"time/collect": collected - started}
        if self._environment_time is not None:
            seconds["time/environment"] = self._environment_time.take()
        seconds |= figures
        if figures:
            rows[0]["update/lag"] = figures["actors/lag"]
        if isinstance(self._collector.env, ActorVectorEnv):
            seconds["actors/restarts"] = self._collector.env.take_restarts()
        noted = faults.take()
        good = torch.ones(len(rows), dtype=torch.bool)
        outcome: dict[int, Row | Failure] = {}
        for r, run in enumerate(self._order):
            failed = self._failure(r, result, done[r] + 1, noted)
            if failed is None:
                rows[r] |= seconds
                outcome[run] = rows[r]
            else:
                good[r] = False
                outcome[run] = failed
        self._state = (
            result.state if good.all() else states.where(good.to(configs[0].device), result.state, before)
        )
        if not good.all():
            self._collector.states = [
                new if ok else old
                for ok, new, old in zip(good.tolist(), self._collector.states, collected_before, strict=True)
            ]
        return outcome

    def policy(self, run: int) -> Policy:
        """The run's current policy."""
        row = torch.tensor([self._order.index(run)], device=self._state.update.device)
        snapshot = states.map_leaves(lambda leaf: leaf.index_select(0, row), self._state.policy)
        return Policy(self._model, snapshot)

    def state(self, run: int) -> Checkpoint:
        """TrainState and CollectorState of one run as named tensors."""
        tensors = {name: torch.from_numpy(view.copy()) for name, view in self.views(run).items()}
        return Checkpoint(tensors, int(tensors["train.update"]))

    def views(self, run: int) -> dict[str, Array]:
        """The tensors of `state`, which the next update may change."""
        row = self._order.index(run)
        found = {name: array[row, ...] for name, array in self._on_host().items()}
        for name, array in self._collector.states[row]._asdict().items():
            if name != MEMORY or array.size:
                found[f"collector.{name}"] = np.ascontiguousarray(array)
        return found

    def _on_host(self) -> dict[str, Array]:
        """The arrays of the present state, [R, ...], by their names in a checkpoint."""
        if self._hosted is None or self._hosted[0] is not self._state:
            leaves = states.named_leaves(to_declared(self._state, self._model.network), "train.")
            on_host = self._state.update.device.type == "cpu"
            arrays = {name: (leaf if on_host else leaf.cpu()).numpy() for name, leaf in leaves.items()}
            self._hosted = self._state, arrays
        return self._hosted[1]

    def scale_rate(self, run: int, factor: float) -> None:
        """See `Session`."""
        rate = self._state.rate.clone()
        rate[self._order.index(run)] *= factor
        self._state = self._state._replace(rate=rate)

    def restarted(self, run: int) -> int:
        """Environments whose episode could not be restored and was given up for the next."""
        return int(self._collector.given_up[self._order.index(run)].sum())

    def drop(self, run: int) -> None:
        """Shrinks every tensor by the run's row."""
        rows = [row for row, kept in enumerate(self._order) if kept != run]
        self._order = [self._order[row] for row in rows]
        if rows:
            self._state = states.select(self._state, rows)
            self._collector.select(rows)

    def close(self) -> None:
        """Releases the environments."""
        self._collector.env.close()

    def _failure(self, row: int, result: Update, number: int, noted: Sequence[str]) -> Failure | None:
        """Why a run failed an update; `noted` is what functions of the user's own did wrong in it."""
        error: Exception | None = self._collector.env.failures.get(row)
        batch: dict[str, Tensor] = {}
        broken = [message for message, passed in result.sound.items() if not bool(passed[row])]
        if broken and noted:
            error = NonFiniteError(f"Update {number}: " + "; ".join(noted) + ".")
        elif error is None and broken:
            error = NonFiniteError(f"Update {number}: " + "; ".join(broken) + ".")
            batch = {name: field[row].cpu() for name, field in result.batch.tensors().items()}
        return None if error is None else Failure(error, number, batch)


def policy_in(config: RunConfig, spec: EnvSpec, checkpoint: Checkpoint) -> Policy:
    """The policy in a checkpoint of a run of this config."""
    # Without a library torch and numpy stand in: actions alone are asked for, no bits.
    in_c = config.compute.kernel == kernel.C and library.problem() is None
    model = make_model(config, spec, in_c=in_c)
    trained, _ = _unpack(_blank([config], algorithm(config), model, spec), model, checkpoint)
    snapshot: Snapshot = states.stack([trained]).policy
    return Policy(model, snapshot)


def _blank(configs: Sequence[RunConfig], row: Algorithm, model: Model, spec: EnvSpec) -> TrainState:
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


def _unpack(blank: TrainState, model: Model, checkpoint: Checkpoint) -> tuple[TrainState, CollectorState]:
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


def _begun(blank: TrainState, model: Model, start: Initial | None) -> TrainState:
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


def _rows(
    configs: Sequence[RunConfig],
    done: Sequence[int],
    result: Update,
    episodes: Sequence[Episodes],
    collectors: Sequence[CollectorState],
) -> list[Row]:
    """Every run's metrics: all figures in one table, copied to the host once; undefined ones left out."""
    per_epoch = [(name, value) for name, values in result.epochs.items() for value in values]
    table = torch.stack([*result.figures.values(), *(value for _, value in per_epoch)]).cpu().numpy()
    rows: list[Row] = []
    for r, config in enumerate(configs):
        row: Row = {"update": done[r] + 1, "env_steps": (done[r] + 1) * config.batch_size}
        row |= _episode_figures(episodes[r], collectors[r])
        values = table[:, r].tolist()
        figures = zip(result.figures, values[: len(result.figures)], strict=True)
        row |= {name: value for name, value in figures if value == value}
        for (name, _), value in zip(per_epoch, values[len(result.figures) :], strict=True):
            if value == value:
                row.setdefault(name, []).append(value)
        rows.append(row)
    return rows


def _episode_figures(ended: Episodes, collector: CollectorState) -> Row:
    figures: Row = {"train/episodes": len(ended.returns)}
    if ended.returns:
        figures["train/return_mean"] = _mean(ended.returns)
        figures["train/length_mean"] = _mean(ended.lengths)
    if len(collector.recent):
        figures["train/return_100"] = _mean(collector.recent)
    return figures


def _mean(values: Sequence[float] | Array) -> float:
    """As `np.mean`, which takes several times as long on a few numbers."""
    return float(np.add.reduce(np.asarray(values, np.float64))) / len(values)
