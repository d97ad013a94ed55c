"""Values of the states that a rollout's steps led to.

Shapes: T time, R runs, N environments of one run, B = T N samples, E episodes that ended, P parameters.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rlcli.collect.rollout import Rollout
from rlcli.kernels.successors import Finals
from rlcli.learner.batch import by_run, by_time
from rlcli.nets.memory import Memory
from rlcli.nets.network import CRITIC
from rlcli.nets.observations import Moments
from rlcli.nets.policy import Model, Snapshot


class Successors(Protocol):
    """V of the true successors of every step."""

    def __call__(self, parameters: Tensor, values: Tensor) -> Tensor:
        """[T, R, N] under parameters [R, P], by which the rollout's own states have V [R, B]."""


def successors(
    model: Model,
    snapshot: Snapshot,
    rollout: Rollout,
    inputs: Tensor,
    memory: Memory | None,
    exact_rows: bool,
) -> Successors:
    """The cheapest of the following whose bits depend on nothing but the run.

    `inputs` [R, B, ...] are the encoded observations of the rollout, `memory` what is beside them.
    """
    if memory is not None:
        return FromMemory(model, snapshot, rollout, inputs, memory)
    if exact_rows:
        return RowByRow(model, snapshot, rollout)
    return (RunByRun if model.network.runs_apart else InOneBatch)(model, snapshot, rollout)


class InOneBatch:
    """All of them in a batch of their own, as a row's last bits may depend on where it stands."""

    def __init__(self, model: Model, snapshot: Snapshot, rollout: Rollout) -> None:
        self._model, self._steps = model, len(rollout.rewards)
        self._inputs = model.encode(snapshot, by_run(rollout.successors()))

    def __call__(self, parameters: Tensor, values: Tensor) -> Tensor:
        """See `Successors`."""
        return by_time(self._model.value(parameters, self._inputs), self._steps)


class RowByRow:
    """V of the next row where there is one: only last observations and finals are computed, rows in C."""

    def __init__(self, model: Model, snapshot: Snapshot, rollout: Rollout) -> None:
        self._model, last = model, rollout.observations[-1]
        steps, runs, envs = rollout.rewards.shape
        self._finals = Finals(steps, runs, envs, rollout.finals.places)
        self._inputs = model.encode(snapshot, self._finals.rows(last, rollout.finals.observations))

    def __call__(self, parameters: Tensor, values: Tensor) -> Tensor:
        """See `Successors`."""
        return self._finals.values(values, self._model.value(parameters, self._inputs))


class FromMemory:
    """V of the next row of an episode, and V of what follows its last row, by the state after that row.

    The latter are in a batch of the rollout's own shape, so that no bit depends on how many there are.
    """

    def __init__(
        self, model: Model, snapshot: Snapshot, rollout: Rollout, inputs: Tensor, memory: Memory
    ) -> None:
        """`inputs` [R, B, ...] are the encoded observations of the rollout, `memory` what is beside them."""
        self._model, self._steps = model, len(rollout.rewards)
        self._inputs, self._memory = inputs, memory
        self._following = model.encode(snapshot, by_run(rollout.successors()))
        self._last = rollout.terminated | rollout.truncated
        self._last[-1] = True

    def __call__(self, parameters: Tensor, values: Tensor) -> Tensor:
        """See `Successors`."""
        network = self._model.network
        after = network.heads(parameters, self._inputs, self._memory, part=CRITIC).memory
        assert after is not None, "a network with memory has a state after its rows"
        following = self._model.value(parameters, self._following, Memory(after))
        found = by_time(values, self._steps).roll(-1, 0)
        return torch.where(self._last, by_time(following, self._steps), found)


class RunByRun:
    """As `RowByRow`, one run after the other: none has rows beside its own."""

    def __init__(self, model: Model, snapshot: Snapshot, rollout: Rollout) -> None:
        self._model, self._steps = model, len(rollout.rewards)
        last, (places, finals) = rollout.observations[-1], rollout.finals
        self._envs, (self._time, self._run, self._env) = last.shape[1], places.unbind(1)
        self._inputs = []
        for run in range(len(last)):
            shown = torch.cat((last[run], finals[self._run == run])).unsqueeze(0)
            own = Moments(*(leaf[run : run + 1] for leaf in snapshot.moments))
            self._inputs.append(model.encode(Snapshot(snapshot.parameters[run : run + 1], own), shown))

    def __call__(self, parameters: Tensor, values: Tensor) -> Tensor:
        """See `Successors`."""
        found = by_time(values, self._steps).roll(-1, 0)
        for run, inputs in enumerate(self._inputs):
            others = self._model.value(parameters[run : run + 1], inputs)[0]
            mine = self._run == run
            found[-1, run] = others[: self._envs]
            found[self._time[mine], run, self._env[mine]] = others[self._envs :]
        return found
