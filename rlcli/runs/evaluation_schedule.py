"""Schedule of a run's evaluations: `eval.every`, or where that is null, what the first evaluation decides.

With eval.every=null a run is evaluated every tenth of its steps, unless one evaluation could take more than a
twentieth of its training time. The first evaluation that is due is the trial: it is timed, and given up once
it takes too long. The decision depends on time, so manifest.json records it, and a run that is resumed or
reproduced follows the record. Training does not depend on evaluations: parameters are the same either way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rlcli.collect.evaluation import lanes
from rlcli.config.schema.run import RunConfig
from rlcli.loggers.progress import duration
from rlcli.runs.cadence import AT_THE_END_ONLY
from rlcli.runs.early_stopping import by_evaluations

SHARE = 0.05
"""Maximum share of a run's training time that one evaluation may take, to be made by default."""
FEWEST = 10
"""Updates of a run below which a tenth of it is less than one update."""


@dataclass(frozen=True)
class Decision:
    """Whether a run with eval.every=null is evaluated before its end."""

    reason: str | None = None
    """Why it is not; None if it is."""


@dataclass(frozen=True)
class EvaluationSchedule:
    """When a run is evaluated before its end."""

    every: int
    """Interval in env steps; 0: never."""
    undecided: bool = False
    """Whether the first evaluation still has to decide."""

    @classmethod
    def of(cls, config: RunConfig, recorded: int | None = None) -> EvaluationSchedule:
        """The schedule of a run; `recorded` is the interval in its manifest, None if nothing was decided.

        Early stopping by evaluations needs them whatever they cost.
        """
        if config.eval.every is not None:
            return cls(config.eval.every)
        if by_evaluations(config.stop_at):
            return cls(recorded or config.tenth)
        if recorded is not None:
            return cls(recorded)
        if config.updates < FEWEST or config.eval.episodes == 0:
            return cls(0)
        return cls(config.tenth, undecided=True)

    def decided(self, decision: Decision) -> EvaluationSchedule:
        """The schedule after the decision."""
        return EvaluationSchedule(self.every if decision.reason is None else 0)


class Trial:
    """Times the steps of an evaluation, and decides whether a run can afford such evaluations."""

    def __init__(
        self,
        config: RunConfig,
        limit: int | None,
        training: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`limit`: steps after which the environment ends an episode; `training`: seconds of all updates."""
        self._config, self._limit, self._training = config, limit, training
        self._clock, self._begun = clock, clock()
        self._seconds, self._steps = 0.0, -1

    def step(self) -> bool:
        """Is called before each step of the environments and after the last; whether too long already."""
        if self._steps < 0:
            self._begun = self._clock()
        self._steps += 1
        self._seconds = self._clock() - self._begun
        return self._seconds > SHARE * self._training

    @property
    def decision(self) -> Decision:
        """The decision after the evaluation was made or given up."""
        longest = longest_evaluation(self._config, self._limit, self._seconds / max(1, self._steps))
        return decision(self._config, max(self._seconds, longest or 0.0), self._training)


def longest_evaluation(config: RunConfig, limit: int | None, per_step: float) -> float | None:
    """Seconds of an evaluation whose episodes all last to the environment's limit; None where it has none.

    `per_step`: seconds of one step of the environments side by side.
    """
    if limit is None:
        return None
    one_after_another = math.ceil(config.eval.episodes / lanes(config.eval.episodes))
    return one_after_another * min(limit, config.eval.max_steps) * per_step


def decision(config: RunConfig, seconds: float, training: float) -> Decision:
    """Whether evaluations of up to so many seconds are made by default in a run of `training` seconds."""
    if seconds <= SHARE * training:
        return Decision()
    share = seconds / max(training, 1e-9)
    return Decision(
        f"{AT_THE_END_ONLY}: one evaluation could take {share:.0%} of the training time (about "
        f"{duration(max(1.0, training))}), and the default allows {SHARE:.0%}. To evaluate during training "
        f"anyway: eval.every={config.tenth}."
    )
