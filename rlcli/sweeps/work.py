"""Training jobs of a sweep in this process: those that were not begun, and those that were cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlcli.backends.session import Row
from rlcli.config.schema import RunConfig
from rlcli.errors import EXIT_CRASH, RlcliError
from rlcli.runs.resume import resume_together
from rlcli.runs.stop import CODES
from rlcli.runs.train import Result, Verdict, train
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.sweeps.exact import exact_together
from rlcli.sweeps.judge import judge
from rlcli.sweeps.preflight import CHECKS
from rlcli.sweeps.sweep import NOBODY
from rlcli.text import described, message_of

OnRow = Callable[[str, Row], Verdict]
"""(name of the job, row of its last update) -> whether it goes on."""
OnEnd = Callable[[str, Result], None]
"""(name of the job, its result), as soon as it has ended."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Jobs:
    """Jobs of one shape; each trains in `directory`/name."""

    directory: Path
    names: Sequence[str]
    configs: Sequence[RunConfig]
    overrides: Sequence[Sequence[str]]
    trials: Sequence[int | None]
    """The trial whose seed each is; None where no sampler asked for it."""

    @property
    def dirs(self) -> list[Path]:
        """Their run directories."""
        return [self.directory / name for name in self.names]

    def only(self, positions: Sequence[int]) -> Jobs:
        """Some of them."""
        return Jobs(
            self.directory,
            [self.names[one] for one in positions],
            [self.configs[one] for one in positions],
            [self.overrides[one] for one in positions],
            [self.trials[one] for one in positions],
        )


def work(
    jobs: Jobs,
    *,
    on_row: OnRow = lambda name, row: Verdict.CONTINUE,
    on_end: OnEnd = lambda name, result: None,
    tell: Tell = lambda _: None,
    announced: Tell = lambda _: None,
) -> int | None:
    """Brings jobs to their end, together where their numbers stay those of lone runs.

    A job that cannot begin, or whose training breaks, is told as failed; the others are not told of it. After
    a signal, which `announced` hears of, the rest is left as it is. Its exit code, else None.
    """
    begun = [position for position, one in enumerate(jobs.dirs) if (one / MANIFEST).is_file()]
    fresh = [position for position in range(len(jobs.names)) if position not in begun]
    for positions in (fresh, begun):
        chosen = jobs.only(positions)
        for part in _parts(chosen.configs, tell):
            training = _Part(chosen.only(part), positions is begun, on_row, on_end, announced)
            code = training.to_the_end()
            if code is not None:
                return code
    return None


def _parts(configs: Sequence[RunConfig], tell: Tell) -> list[list[int]]:
    """All together, or one by one where that would change their numbers on this machine."""
    everyone = list(range(len(configs)))
    if len(configs) < 2 or exact_together(configs):
        return [everyone] if everyone else []
    tell(f"On this machine {len(configs)} runs together round otherwise than alone: they train one by one.")
    return [[position] for position in everyone]


class _Part:
    """Jobs that train together."""

    def __init__(self, jobs: Jobs, begun: bool, on_row: OnRow, on_end: OnEnd, announced: Tell) -> None:
        self._jobs, self._begun = jobs, begun
        self._on_row, self._on_end, self._announced = on_row, on_end, announced
        self._told: set[str] = set()

    def to_the_end(self) -> int | None:
        """Trains them; the exit code of a signal."""
        try:
            return self._train(self._jobs)
        except RlcliError as error:
            left = [name for name in self._jobs.names if name not in self._told]
            if self._begun and len(left) > 1:
                return self._each(left)
            self._fail(left, error.exit_code, message_of(error))
        except Exception as error:
            left = [name for name in self._jobs.names if name not in self._told]
            self._fail(left, EXIT_CRASH, described(error))
        return None

    def _train(self, jobs: Jobs) -> int | None:
        judged = judge(jobs.directory, jobs.names, jobs.configs, jobs.trials)

        def heard(run: int, row: Row) -> Verdict:
            verdict = self._on_row(jobs.names[run], row)
            if judged is not None and judged.ends(jobs.names[run], row):
                return Verdict.PRUNE
            return verdict

        def ended(run: int, result: Result) -> None:
            self._told.add(jobs.names[run])
            self._on_end(jobs.names[run], result)

        if self._begun:
            results = resume_together(
                jobs.dirs, checks=CHECKS, on_row=heard, on_end=ended, on_signal=self._announced, quiet=True
            )
        else:
            results = train(
                jobs.configs, jobs.dirs, overrides=jobs.overrides, on_row=heard, on_end=ended,
                on_signal=self._announced, quiet=True,
            )  # fmt: skip
        codes = [result.exit_code for result in results if result.exit_code in CODES.values()]
        return codes[0] if codes else None

    def _each(self, names: Sequence[str]) -> int | None:
        """Goes on with each by itself: one that cannot does not keep the others from it."""
        for name in names:
            alone = self._jobs.only([list(self._jobs.names).index(name)])
            code = _Part(alone, self._begun, self._on_row, self._on_end, self._announced).to_the_end()
            if code is not None:
                return code
        return None

    def _fail(self, names: Sequence[str], exit_code: int, message: str) -> None:
        for name in names:
            self._on_end(name, failed(self._jobs.directory / name, exit_code, message))


def failed(run_dir: Path, exit_code: int, message: str) -> Result:
    """The result of a job that has none of its own."""
    return Result(run_dir, NOBODY, "failed", 0, 0, None, exit_code, message)
