"""Search of a sampler: the settings all trials share, and the space they are drawn from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rlcli.config.command import Command
from rlcli.config.compose import MOST_FAULTS, Composed, compose_job, with_tuned
from rlcli.config.faults import Check, texts
from rlcli.config.launchers import CHOICE, ONE_BY_ONE
from rlcli.config.schema.run import RunConfig
from rlcli.config.schema.sweep import SweepConfig
from rlcli.config.setting import Element, Setting
from rlcli.config.space import Dimension, dimensions
from rlcli.errors import UserError

TRIALS = 20
"""Default of sweep.trials."""
TOGETHER = 8
"""Default of sweep.parallel for a sampler that learns between trials."""
PROBES = 512
"""Maximum number of combinations composed before anything starts."""
POINTS = 1_000_000
"""Maximum number of points of a grid."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Space, settings and fixed overrides of a search; composes each trial."""

    base: Composed
    """The first combination that can be trained, with the settings of the sweep."""
    dimensions: tuple[Dimension, ...]
    fixed: tuple[Setting, ...]
    """Typed settings that are the same for every trial."""
    command: Command
    """The command that asks for it."""
    config_dir: str | None
    """As an absolute path: later trials are composed from it too, wherever an environment changes to."""
    checks: tuple[Check, ...]

    @property
    def config(self) -> RunConfig:
        """The config of `base`."""
        return self.base.config

    @property
    def settings(self) -> SweepConfig:
        """The settings of the sweep."""
        return self.config.sweep

    def settled(self) -> RunConfig:
        """The config of `base`, with how many trials there are where the settings leave it open."""
        sweep = dataclasses.replace(self.settings, trials=self.trials, parallel=self.parallel)
        return dataclasses.replace(self.config, sweep=sweep)

    @property
    def trials(self) -> int:
        """How many trials there are in all."""
        if self.settings.sampler != "grid":
            return self.settings.trials or TRIALS
        points = _points(self.dimensions)
        return min(self.settings.trials or points, points)

    @property
    def parallel(self) -> int:
        """How many trials are asked for at once."""
        blind = self.settings.sampler in ("random", "grid") and self.settings.pruner == "none"
        return self.settings.parallel or (self.trials if blind else TOGETHER)

    def seeds(self) -> range:
        """The seeds of each trial."""
        return range(self.config.seed, self.config.seed + self.settings.replicas)

    def compose(self, values: Mapping[str, str]) -> list[Composed]:
        """The jobs of a trial, one per seed; `values` are texts by key.

        Raises:
            UserError: this combination cannot be trained; everything that is wrong with it.
        """
        seeds = self.seeds()
        job, faults = self._composed(values, seeds[0], self.checks)
        if faults or job is None:
            raise UserError(*faults)
        varied = tuple(f"{key}={text}" for key, text in values.items())
        return [
            dataclasses.replace(
                job,
                config=dataclasses.replace(job.config, sweep=SweepConfig(), seed=seed),
                overrides=(*job.overrides[:-1], f"seed={seed}"),
                varied=(*varied, f"seed={seed}") if len(seeds) > 1 else varied,
            )
            for seed in seeds
        ]

    def shared_words(self) -> list[str]:
        """The settings common to all trials in the form Hydra takes, its own settings included."""
        return [one.hydra_word for one in (*self.fixed, *self.command.of_kind("hydra"))]

    def _settings(self, values: Mapping[str, str], seed: int | None) -> list[Setting]:
        chosen = [
            dataclasses.replace(
                one.setting, values=(one.element(values[one.key]),), sweep="single", interval=None
            )
            for one in self.dimensions
        ]
        fixed = [one for one in self.fixed if seed is None or one.key != "seed"]
        seeds = [] if seed is None else [Setting("seed", "value", (Element(str(seed), seed),))]
        return [*fixed, *chosen, *seeds]

    def _composed(
        self, values: Mapping[str, str], seed: int | None, checks: tuple[Check, ...]
    ) -> tuple[Composed | None, list[str]]:
        settings = self._settings(values, seed)
        trial = Command(settings=tuple(settings), config_dir=self.config_dir)
        chosen = {one.key: one.values[0] for one in settings}
        lines = [f"{one.key}={one.values[0].text}" for one in settings if one not in trial.of_sweep()]
        job, faults = compose_job(trial, chosen, tuple(lines), checks)
        return job, texts(faults)


def compose_search(command: Command, checks: Iterable[Check] = ()) -> Search | None:
    """The search of a multirun; None when no sampler is chosen.

    Every dimension's values are checked, and combinations of them composed until one can be trained.

    Raises:
        UserError: everything wrong with it.
    """
    sweep = _settings_of_sweep(command)
    if sweep is None or sweep.get("sampler", "none") == "none":
        return None
    space = sweep["space"] if isinstance(sweep["space"], dict) else {}
    searched, wrong = dimensions(command, space)
    faults = texts([*command.faults, *wrong])
    hydra = command.of_kind("hydra")
    if any(one.key.startswith(("hydra/sweeper", "hydra.sweeper")) for one in hydra):
        faults.append(f"sweep.sampler={sweep['sampler']} is a sweeper itself: leave hydra/sweeper out.")
    if not faults and not searched:
        faults.append(
            f"sweep.sampler={sweep['sampler']} has nothing to search: give a space, such as sweep=ppo "
            "(`rlcli list configs`), or values: 'algo.clip=interval(0.1,0.3)'."
        )
    if not faults and sweep["sampler"] == "grid":
        faults += _not_finite(searched)
    if faults:
        raise UserError(*faults[:MOST_FAULTS])
    names = {one.key for one in searched}
    fixed = tuple(one for one in command.of_kind("group", "value") if one.key not in names)
    nothing = Composed(RunConfig(), (), {})
    config_dir = command.config_dir
    if config_dir is not None:
        config_dir = str(Path(config_dir).expanduser().absolute())
    search = Search(nothing, tuple(searched), fixed, command, config_dir, tuple(checks))
    job = _first_sound(search)
    one_by_one = command.launching.name == ONE_BY_ONE
    if one_by_one and job.config.sweep.pruner != "none" and job.config.sweep.replicas > 1:
        raise UserError(
            f"sweep.pruner={job.config.sweep.pruner} compares a trial by all its seeds at once, which "
            f"{CHOICE}={ONE_BY_ONE} trains apart; leave one of them out."
        )
    return dataclasses.replace(search, base=job)


def _settings_of_sweep(command: Command) -> Mapping[str, object] | None:
    """The section `sweep` from the files and the command; None where it does not compose."""
    groups = tuple(f"{one.hydra_key}={one.values[0].text}" for one in command.of_kind("group"))
    try:
        base, _ = with_tuned(groups, command.config_dir)
        values = [(one.key, one.values[0]) for one in command.of_sweep() if one.kind == "value"]
        sweep = base.with_values(values)["sweep"]
    except UserError:
        return None
    return sweep if isinstance(sweep, dict) else None


def _not_finite(searched: Sequence[Dimension]) -> list[str]:
    faults = [
        f"sweep.sampler=grid takes values that can be counted; {one.key} has an interval: use choice() or "
        "range()."
        for one in searched
        if one.points() is None
    ]
    if not faults and _points(searched) > POINTS:
        faults.append(f"A grid of {_points(searched):,} points is too large.")
    return faults


def _points(searched: Sequence[Dimension]) -> int:
    count = 1
    for one in searched:
        count *= len(one.points() or ())
    return count


def _first_sound(search: Search) -> Composed:
    """The first combination that can be trained.

    Raises:
        UserError: none of those tried can; everything wrong with the first.
    """
    first: list[str] = []
    for values in itertools.islice(_probes(search.dimensions), PROBES):
        job, faults = search._composed(values, None, search.checks)
        if job is not None and not faults:
            return job
        first = first or faults
    raise UserError(*first[:MOST_FAULTS])


def _probes(searched: Sequence[Dimension]) -> Iterator[dict[str, str]]:
    """Combinations of representative values."""
    for values in itertools.product(*(one.probes() for one in searched)):
        yield {one.key: text for one, text in zip(searched, values, strict=True)}
