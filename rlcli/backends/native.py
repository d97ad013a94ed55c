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
from rlcli.backends.native_state import MEMORY, begun, blank_states, unpacked
from rlcli.backends.process import prepare
from rlcli.backends.rows import metric_rows
from rlcli.backends.session import Array, Checkpoint, Failure, Initial, OnCollected, Policy, Row
from rlcli.catalog.assertions import message
from rlcli.collect.collector import Collector
from rlcli.collect.device import DeviceCollector
from rlcli.collect.environment_time import EnvironmentTime
from rlcli.collect.kernel import KernelCollector
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.interface import VectorEnv
from rlcli.envs.torch.base import TorchEnv
from rlcli.errors import NonFiniteError
from rlcli.extend import faults
from rlcli.learner import state as states
from rlcli.learner.declared import to_declared
from rlcli.learner.model import make_model
from rlcli.learner.state import TrainState
from rlcli.learner.table import algorithm
from rlcli.learner.update import Update, update


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
        blank = blank_states(configs, self._algorithm, self._model, self.spec)
        collectors = None
        if checkpoints is not None:
            trained, collectors = zip(
                *(unpacked(blank, self._model, saved) for saved in checkpoints), strict=True
            )
            blank = states.stack(trained)
        elif starts is not None:
            blank = states.stack(
                [begun(states.take(blank, run), self._model, start) for run, start in enumerate(starts)]
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
                acted = states.acted_by(before, self._collector.acting, self._collector.discounted)
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
        rows = metric_rows(configs, done, result, episodes, self._collector.states)
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
        broken = [assertion for assertion, passed in result.sound.items() if not bool(passed[row])]
        if broken and noted:
            error = NonFiniteError(message(number, noted))
        elif error is None and broken:
            error = NonFiniteError(message(number, broken))
            batch = {name: field[row].cpu() for name, field in result.batch.tensors().items()}
        return None if error is None else Failure(error, number, batch)
