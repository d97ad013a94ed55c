"""Training jobs of a sweep in this process: those that were not begun, and those that were cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rlcli.backends.session import Row
from rlcli.config.schema import RunConfig
from rlcli.errors import EXIT_CRASH, EXIT_SIGINT, EXIT_SIGTERM, RlcliError
from rlcli.runs.manifest import FILE as MANIFEST
from rlcli.runs.resume import resume_together
from rlcli.runs.train import Result, Verdict, train
from rlcli.sweeps.exact import exact_together
from rlcli.sweeps.preflight import CHECKS
from rlcli.sweeps.sweep import NOBODY

OnRow = Callable[[str, Row], Verdict]
"""(name of the job, row of its last update) -> whether it goes on."""
Tell = Callable[[str], None]
SIGNALS = (EXIT_SIGINT, EXIT_SIGTERM)


def work(
    directory: Path,
    names: Sequence[str],
    configs: Sequence[RunConfig],
    overrides: Sequence[Sequence[str]],
    *,
    on_row: OnRow = lambda name, row: Verdict.CONTINUE,
    tell: Tell = lambda _: None,
    announced: Tell = lambda _: None,
) -> list[Result]:
    """Brings jobs of one shape to their end, together where their numbers stay those of lone runs.

    Each trains in `directory`/name. A job that cannot begin, or whose training breaks, is told as failed; the
    others are not told of it. After a signal, which `announced` hears of, the rest is left as it is: fewer
    results than jobs.
    """
    begun = [position for position, name in enumerate(names) if (directory / name / MANIFEST).is_file()]
    fresh = [position for position in range(len(names)) if position not in begun]
    results: list[Result] = []
    for positions in (fresh, begun):
        for part in _parts([configs[position] for position in positions], tell):
            if any(result.exit_code in SIGNALS for result in results):
                return results
            chosen = [positions[index] for index in part]
            results += _train(
                directory, [names[one] for one in chosen], [configs[one] for one in chosen],
                [overrides[one] for one in chosen], positions is begun, on_row, announced,
            )  # fmt: skip
    return results


def _parts(configs: Sequence[RunConfig], tell: Tell) -> list[list[int]]:
    """All together, or one by one where that would change their numbers on this machine."""
    everyone = list(range(len(configs)))
    if len(configs) < 2 or exact_together(configs):
        return [everyone] if everyone else []
    tell(f"On this machine {len(configs)} runs together round otherwise than alone: they train one by one.")
    return [[position] for position in everyone]


def _train(
    directory: Path,
    names: Sequence[str],
    configs: Sequence[RunConfig],
    overrides: Sequence[Sequence[str]],
    begun: bool,
    on_row: OnRow,
    announced: Tell,
) -> list[Result]:
    dirs = [directory / name for name in names]

    def heard(run: int, row: Row) -> Verdict:
        return on_row(names[run], row)

    try:
        if begun:
            return resume_together(dirs, checks=CHECKS, on_row=heard, announced=announced, quiet=True)
        return train(configs, dirs, overrides=overrides, on_row=heard, announced=announced, quiet=True)
    except RlcliError as error:
        if begun and len(names) > 1:  # one that cannot go on does not keep the others from it
            results: list[Result] = []
            for name, config, words in zip(names, configs, overrides, strict=True):
                if not any(result.exit_code in SIGNALS for result in results):
                    results += _train(directory, [name], [config], [words], begun, on_row, announced)
            return results
        return [failed(one, error.exit_code, str(error)) for one in dirs]
    except Exception as error:
        return [failed(one, EXIT_CRASH, f"{type(error).__name__}: {error}") for one in dirs]


def failed(run_dir: Path, exit_code: int, message: str) -> Result:
    """The result of a job that has none of its own."""
    return Result(run_dir, NOBODY, "failed", 0, 0, None, exit_code, message)
