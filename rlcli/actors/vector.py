"""Vector of environments that actors step in lock step: the same numbers as in one process, to the last bit.

An environment depends on its reset seeds and actions alone, which come from the process that learns. So who
steps it changes nothing: not the number of actors, nor the loss of one, whose environments another restores.

Shapes: R runs, N environments of one run, n of them in one actor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rlcli.actors.journal import Journal
from rlcli.actors.packets import ActorError, Gone
from rlcli.actors.part import LEARNT, OUTCOMES, Hung, Part
from rlcli.actors.processes import ForkServer
from rlcli.config.schema.run import RunConfig
from rlcli.envs.failures import Failures, clear_rows, keep_rows
from rlcli.envs.interface import Array, Learnt, Step, Taught
from rlcli.envs.spec import EnvSpec
from rlcli.streams import say


class ActorVectorEnv:
    """R x N environments in `collect.actors` processes.

    Where an actor ends, another takes its place, and its environments are restored by replay of their
    actions; a run fails where that is not possible, or an actor does not answer within `collect.timeout`.
    """

    def __init__(self, config: RunConfig, spec: EnvSpec, num_runs: int) -> None:
        """Starts the actors; `config` is that of all runs, `spec` describes its environment.

        Raises:
            ActorError: environments cannot be made, in the words of the error.
        """
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = config.env.num_envs
        self.failures: Failures = {}
        self._restarts = 0
        self._timeout = config.collect.timeout
        self._current = np.zeros((num_runs, self.num_envs, *spec.observation.shape), spec.observation.dtype)
        self._server = ForkServer(config)
        self._parts: list[Part] = []
        self._journals: list[Journal] = []
        try:
            for first, count in shares(self.num_envs, config.collect.actors):
                self._parts.append(Part(self._server, spec, num_runs, first, count, self._timeout))
                self._journals.append(Journal(num_runs, count, config.env.replay_limit))
            for part in self._parts:
                part.made()
            self._gather_failures()
            if len(self.failures) == num_runs:
                raise self.failures[0]
        except BaseException as error:
            self.close()
            if isinstance(error, Gone | Hung):
                raise ActorError("An actor ended, or hung, while it made its environments.") from error
            raise

    @property
    def actors(self) -> list[int]:
        """Process ids of the actors."""
        return [part.actor.process for part in self._parts]

    def take_restarts(self) -> int:
        """The number of actors that were replaced since the last call of this."""
        taken, self._restarts = self._restarts, 0
        return taken

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts an episode where `mask [R, N]`; returns the current observations of all."""
        current = self._current.copy()
        concerned = [number for number, part in enumerate(self._parts) if mask[:, part.places].any()]
        self._exchange(concerned, lambda part: part.ask_reset(seeds[:, part.places], mask[:, part.places]))
        for number in concerned:
            part = self._parts[number]
            self._journals[number].reset(seeds[:, part.places], mask[:, part.places])
            current[:, part.places] = part["observations"]
        clear_rows(self.failures, current)
        self._current = current
        return current

    def step(self, actions: Array) -> Step:
        """Steps every environment of every run that has not failed."""
        everywhere = range(len(self._parts))
        taught = self._exchange(everywhere, lambda part: part.ask_step(actions[:, part.places]))
        observations = np.empty_like(self._current)
        shape = (self.num_runs, self.num_envs)
        rewards, learnt_rewards = np.empty(shape), np.empty(shape)
        terminated, truncated, learnt_terminated = (np.empty(shape, np.bool_) for _ in range(3))
        step, learnt = (
            Step(observations, rewards, terminated, truncated),
            Learnt(learnt_rewards, learnt_terminated),
        )
        names = ("observations", *OUTCOMES, *(LEARNT if taught else ()))
        for part, journal in zip(self._parts, self._journals, strict=True):
            journal.step(actions[:, part.places])
            for whole, name in zip((*step, *learnt), names, strict=False):
                whole[:, part.places] = part[name]
        clear_rows(self.failures, *step, *learnt)
        self._current = observations
        return Taught.of(step, learnt) if taught else step

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order; the environments of the others are closed."""
        self._exchange(range(len(self._parts)), lambda part: part.ask_select(rows))
        for part, journal in zip(self._parts, self._journals, strict=True):
            part.selected(rows)
            journal.select(list(rows))
        self._current = self._current[list(rows)]
        self.failures = keep_rows(self.failures, rows)
        self.num_runs = len(rows)

    def close(self) -> None:
        """Ends the actors."""
        for part in self._parts:
            part.close()
        self._server.close()

    def _exchange(self, numbers: Sequence[int], ask: Callable[[Part], None]) -> bool:
        """Asks these actors, waits for all of them; whether steps are learnt otherwise than they happened."""
        if len(self.failures) == self.num_runs:
            return False
        for number in numbers:
            with contextlib.suppress(Gone):  # noticed again where the answer is due
                ask(self._parts[number])
        taught = False
        for number in numbers:
            try:
                taught |= self._parts[number].answer()
            except Gone:
                taught |= self._replaced(number, ask)
            except Hung:
                self._lose(number, f"did not answer within collect.timeout={self._timeout:g} s")
            except ActorError as error:
                self._fail_all(error)
        self._gather_failures()
        return taught

    def _replaced(self, number: int, ask: Callable[[Part], None]) -> bool:
        """Replaces an actor that has ended, and asks the other the same; all runs fail where that fails."""
        part = self._parts[number]
        process = part.actor.process
        lost = f"(process {process}) {part.end()}"
        try:
            part.restart()
            why = self._journals[number].restore(part, self._current[:, part.places])
            if why is None:
                ask(part)
                taught = part.answer()
                self._restarts += 1
                say(f"Warning: actor {number + 1} {lost}; another took its place, and nothing is lost.")
                return taught
        except (Gone, Hung):
            why = f"the one that took its place {part.end()} at the same step"
        except ActorError as error:
            why = str(error)
        self._lose(number, f"{lost}, and its environments cannot be restored: {why}")
        return False

    def _lose(self, number: int, what: str) -> None:
        """All runs fail, because an actor is lost."""
        self._fail_all(ActorError(f"Actor {number + 1} {what.removesuffix('.')}."))

    def _fail_all(self, error: ActorError) -> None:
        for run in range(self.num_runs):
            self.failures.setdefault(run, error)

    def _gather_failures(self) -> None:
        for part in self._parts:
            self.failures = part.failures | self.failures


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """First number and number of the environments of each part, as even as can be."""
    sizes = [count // parts + (part < count % parts) for part in range(parts)]
    return [(sum(sizes[:part]), size) for part, size in enumerate(sizes)]
