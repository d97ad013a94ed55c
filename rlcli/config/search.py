"""What a command line with a sampler asks for: settings all trials share, and the space they come from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rlcli.config.compose import MOST_FAULTS, Composed, compose_job, with_tuned
from rlcli.config.faults import Check
from rlcli.config.overrides import Read, Setting, read, texts
from rlcli.config.schema import RunConfig, SweepConfig
from rlcli.config.space import Dimension, dimensions
from rlcli.errors import UserError

TRIALS = 20
"""Where sweep.trials does not say."""
TOGETHER = 8
"""Trials asked for at once where sweep.parallel does not say and a sampler learns between them."""
PROBES = 512
"""Combinations that are composed before anything starts."""
POINTS = 1_000_000
"""The most points of a grid."""


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched, and how; composes each trial."""

    base: Composed
    """The first combination that can be trained, with the settings of the sweep."""
    dimensions: tuple[Dimension, ...]
    fixed: tuple[Setting, ...]
    """What was typed and is the same for every trial."""
    hydra: tuple[Setting, ...]
    """Settings of Hydra's own."""
    config_dir: str | None
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
        """How many are asked for in all."""
        if self.settings.sampler != "grid":
            return self.settings.trials or TRIALS
        points = _points(self.dimensions)
        return min(self.settings.trials or points, points)

    @property
    def parallel(self) -> int:
        """How many are asked for at once."""
        blind = self.settings.sampler in ("random", "grid") and self.settings.pruner == "none"
        return self.settings.parallel or (self.trials if blind else TOGETHER)

    def seeds(self) -> range:
        """The seeds of each trial."""
        return range(self.config.seed, self.config.seed + self.settings.replicas)

    def compose(self, values: Mapping[str, str]) -> list[Composed]:
        """A trial, a job for each seed; `values` are texts by key.

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

    def words(self, values: Mapping[str, str], seed: int) -> list[str]:
        """What Hydra composes to the same."""
        return [f"{one.hydra_key}={one.values[0]}" for one in self._settings(values, seed)]

    def shared_words(self) -> list[str]:
        """What all trials have in common, in the form Hydra takes, its own settings included."""
        return [f"{one.hydra_key}={one.values[0]}" for one in (*self.fixed, *self.hydra)]

    def _settings(self, values: Mapping[str, str], seed: int | None) -> list[Setting]:
        chosen = [
            dataclasses.replace(one.setting, values=(values[one.key],), sweep="single", interval=None)
            for one in self.dimensions
        ]
        fixed = [one for one in self.fixed if seed is None or one.key != "seed"]
        seeds = [] if seed is None else [Setting("seed", "value", (str(seed),))]
        return [*fixed, *chosen, *seeds]

    def _composed(
        self, values: Mapping[str, str], seed: int | None, checks: tuple[Check, ...]
    ) -> tuple[Composed | None, list[str]]:
        settings = Read(tuple(self._settings(values, seed)), ())
        chosen = {one.key: one.values[0] for one in settings.settings}
        lines = [one.lines()[0] for one in settings.settings if one not in settings.of_sweep()]
        job, faults = compose_job(settings, chosen, tuple(lines), self.config_dir, checks)
        return job, texts(faults)


def compose_search(
    overrides: Sequence[str], *, config_dir: str | None = None, checks: Iterable[Check] = ()
) -> Search | None:
    """What is searched for; None when no sampler is chosen.

    Every dimension's values are checked, and combinations of them composed until one can be trained.

    Raises:
        UserError: everything wrong with it.
    """
    found = read(overrides, multirun=True, config_dir=config_dir)
    sweep = _settings_of_sweep(found, config_dir)
    if sweep is None or sweep.get("sampler", "none") == "none":
        return None
    space = sweep["space"] if isinstance(sweep["space"], dict) else {}
    searched, wrong = dimensions(found, space, config_dir)
    faults = texts([*found.faults, *wrong])
    if any(one.key.startswith(("hydra/sweeper", "hydra.sweeper")) for one in found.of_kind("hydra")):
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
    fixed = tuple(one for one in found.of_kind("group", "value") if one.key not in names)
    hydra = tuple(found.of_kind("hydra"))
    nothing = Composed(RunConfig(), (), {})
    if config_dir is not None:  # later trials are composed from it too, wherever an environment has gone
        config_dir = str(Path(config_dir).expanduser().absolute())
    search = Search(nothing, tuple(searched), fixed, hydra, config_dir, tuple(checks))
    job = _first_sound(search)
    alone = any(one.key == "hydra/launcher" and one.values == ("basic",) for one in hydra)
    if alone and job.config.sweep.pruner != "none" and job.config.sweep.replicas > 1:
        raise UserError(
            f"sweep.pruner={job.config.sweep.pruner} judges a trial by all its seeds at once, which "
            "hydra/launcher=basic trains apart; leave one of them out."
        )
    return dataclasses.replace(search, base=job)


def _settings_of_sweep(found: Read, config_dir: str | None) -> Mapping[str, object] | None:
    """The section `sweep` as the files and what was typed have it; None where it cannot be told."""
    groups = tuple(f"{one.hydra_key}={one.values[0]}" for one in found.of_kind("group"))
    try:
        base, _ = with_tuned(groups, config_dir)
        lines = [f"{one.hydra_key}={one.values[0]}" for one in found.of_sweep() if one.kind == "value"]
        sweep = base.with_values(lines)["sweep"]
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
        UserError: none of those tried can: what is wrong with the first.
    """
    first: list[str] = []
    for values in itertools.islice(_probes(search.dimensions), PROBES):
        job, faults = search._composed(values, None, search.checks)
        if job is not None and not faults:
            return job
        first = first or faults
    raise UserError(*first[:MOST_FAULTS])


def _probes(searched: Sequence[Dimension]) -> Iterator[dict[str, str]]:
    """Combinations of values that stand for all."""
    for values in itertools.product(*(one.probes() for one in searched)):
        yield {one.key: text for one, text in zip(searched, values, strict=True)}
