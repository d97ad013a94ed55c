"""The trials of a sweep: Optuna's study in the sweep's directory, its samplers and its pruners.

A trial is asked for in memory and recorded whole, by one line, once it is known what becomes of it; so a kill
leaves it there or not, never in part. What is asked for depends on the settings, the number of the trial and
the trials before it alone: each draw has a sampler of its own, seeded for its number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlcli.config.schema import RunConfig
from rlcli.config.search import Search
from rlcli.config.space import Dimension, Value
from rlcli.errors import StorageError
from rlcli.sweeps.journal import Journal
from rlcli.sweeps.objectives import Objective

FILE = "study.log"
NAME = "sweep"
"""Of the study in the file; Optuna's hyperband divides trials by it."""
REASON, STOP = "reason", "stop"
"""What is noted of a trial: why it failed; the env steps after which all its seeds end."""
STATES = {
    TrialState.RUNNING: "running", TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}  # fmt: skip
ATTEMPTS = 20
"""Times that a sampler is asked for a combination that was not tried yet."""
Identity = tuple[tuple[str, Value], ...]
"""The parameters of a trial, by which two are the same."""
ENDED = {word: state for state, word in STATES.items() if word != "running"}

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial as it stands."""

    number: int
    status: str
    """running, finished, pruned or failed."""
    params: Mapping[str, Value]
    values: tuple[float, ...] | None
    """One for each objective, of a finished trial; of a pruned one its last figure."""
    reason: str | None
    stop: int | None
    """The env steps after which all its seeds end early; None while nothing says they do."""
    judged: int
    """The last step at which it was judged; 0: never."""
    repeats: int | None = None
    """The first trial with the same parameters, where it is not the first itself."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A trial that was asked for and is not recorded yet."""

    number: int
    params: Mapping[str, Value]
    notes: Mapping[str, Any]
    """What the sampler will want to know of it."""


class Study:
    """The trials of a sweep, as its file has them."""

    def __init__(self, path: Path, storage: JournalStorage) -> None:
        self._path, self._storage = path, storage
        self._draft: optuna.Study | None = None
        """The trials in memory, with those asked for since the last was told."""
        self._study = optuna.load_study(study_name=NAME, storage=storage, sampler=RandomSampler())
        self._first: dict[Identity, int] = {}
        """Combinations that were tried, each with its first trial; of the first `_known` trials."""
        self._known = 0

    @classmethod
    def begin(cls, directory: Path, wanted: Sequence[Objective]) -> Study:
        """A new study without trials.

        Raises:
            StorageError: its file cannot be written.
        """
        path = directory / FILE
        storage = JournalStorage(Journal.create(path))
        optuna.create_study(study_name=NAME, storage=storage, directions=_directions(wanted))
        return cls(path, storage)

    @classmethod
    def open(cls, directory: Path, wanted: Sequence[Objective]) -> Study:
        """An earlier study.

        Raises:
            StorageError: its file is missing, damaged, or of another sweep.
        """
        path = directory / FILE
        with _damage_told(path):
            study = cls(path, JournalStorage(Journal(path)))
            if study._study.directions != _directions(wanted):
                raise ValueError("its objectives are others")
            for trial in study._study.get_trials(deepcopy=False):
                _check(trial, len(wanted))
            return study

    def trials(self) -> list[Trial]:
        """All of them, in order."""
        with _damage_told(self._path):
            return list(_numbered(self._study.get_trials(deepcopy=False)))

    @property
    def count(self) -> int:
        """How many there are."""
        with _damage_told(self._path):
            return len(self._study.get_trials(deepcopy=False))

    def fits(self, searched: Sequence[Dimension]) -> None:
        """Raises `StorageError` unless every trial is of this space."""
        space = {one.key: _distribution(one) for one in searched}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.distributions != space:
                raise StorageError(f"{self._path} is damaged: trial {trial.number} is of another space.")

    def ask(self, search: Search) -> Proposal | None:
        """What is to be tried next; None where every combination there is has been tried.

        Where combinations can be counted, none is proposed twice: a sampler that proposes one that was tried
        is asked again with another seed, and after `ATTEMPTS` an untried one is drawn. NSGA-II keeps its
        repeats: it breeds from generations that may hold one twice.
        """
        with _damage_told(self._path):
            number, tried = self.count, self._tried()
            combinations = math.prod(one.count or math.inf for one in search.dimensions)
            if len(tried) >= combinations:
                return None
            avoids = math.isfinite(combinations) and search.settings.sampler != "nsgaii"
            for attempt in range(ATTEMPTS if avoids else 1):
                proposal = self._draw(search, number, attempt)
                if not avoids or _identity(proposal.params) not in tried:
                    return proposal
                self._draft = None  # it has the trial that is not to be
            return Proposal(number, _untried(search, number, tried, int(combinations)), {})

    def _draw(self, search: Search, number: int, attempt: int) -> Proposal:
        """What the sampler proposes, seeded for the trial and the attempt."""
        # NSGA-II keeps a note of its parents in the draft, which the file would not have.
        if self._draft is None or search.settings.sampler == "nsgaii":
            self._memory = InMemoryStorage()
            self._draft = optuna.create_study(
                study_name=NAME, storage=self._memory, directions=self._study.directions,
                pruner=pruner(search.config),
            )  # fmt: skip
            self._draft.add_trials(self._study.get_trials(deepcopy=False))
        self._draft.sampler = _sampler(search, number, attempt)
        self._draft.ask({one.key: _distribution(one) for one in search.dimensions})
        asked = self._draft.get_trials(deepcopy=False)[number]
        return Proposal(number, asked.params, asked.system_attrs)

    def _tried(self) -> Mapping[Identity, int]:
        """What was tried, with its first trial."""
        for one in self._study.get_trials(deepcopy=False)[self._known :]:
            self._first.setdefault(_identity(one.params), one.number)
            self._known += 1
        return self._first

    def repeats(self, proposal: Proposal) -> int | None:
        """The trial that a recorded proposal repeats, if it does."""
        with _damage_told(self._path):
            first = self._tried()[_identity(proposal.params)]
            return None if first == proposal.number else first

    def record(self, proposal: Proposal, search: Search, refused: str | None = None) -> None:
        """Writes a proposal down as running, or as failed where it was `refused`."""
        with _damage_told(self._path):
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING if refused is None else TrialState.FAIL,
                    params=dict(proposal.params),
                    distributions={one.key: _distribution(one) for one in search.dimensions},
                    system_attrs=dict(proposal.notes),
                    user_attrs={} if refused is None else {REASON: refused},
                )
            )
            if self._draft is not None and refused is not None:
                identity = self._memory.get_trial_id_from_study_id_trial_number(
                    self._draft._study_id, proposal.number
                )
                self._memory.set_trial_state_values(identity, TrialState.FAIL)

    def tell(
        self, number: int, status: str, values: Sequence[float] | None = None, reason: str | None = None
    ) -> None:
        """Writes down how a trial ended; `values` are those of a finished one."""
        with _damage_told(self._path):
            self._draft = None
            if reason is not None:
                self._storage.set_trial_user_attr(self._id(number), REASON, reason)
            self._study.tell(number, values, state=ENDED[status])

    def reopened(self, numbers: Sequence[int]) -> Study:
        """The study with failed trials as running ones again: in a new file, which replaces the earlier."""
        with _damage_told(self._path):
            earlier = self._study.get_trials(deepcopy=True)
            beside = self._path.with_name(FILE + ".again")
            storage = JournalStorage(Journal.create(beside))
            study = optuna.create_study(
                study_name=NAME, storage=storage,
                directions=self._study.directions,
            )  # fmt: skip
            study.add_trials([_reopened(one) if one.number in numbers else one for one in earlier])
            beside.replace(self._path)
            return Study(self._path, JournalStorage(Journal(self._path)))

    def judge(self, number: int, step: int, value: float, rule: BasePruner) -> bool:
        """Reports a trial's figure at a step, and asks the rule whether the trial is to end early."""
        with _damage_told(self._path):
            self._storage.set_trial_intermediate_value(self._id(number), step, value)
            return rule.prune(self._study, self._storage.get_trial(self._id(number)))

    def stop_after(self, number: int, steps: int) -> None:
        """Writes down that a trial's seeds end at their first update after so many env steps."""
        with _damage_told(self._path):
            self._storage.set_trial_user_attr(self._id(number), STOP, steps)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)


def pruner(config: RunConfig) -> BasePruner:
    """The rule by which a sweep of these settings ends trials early."""
    sweep = config.sweep
    first = max(sweep.prune_every, sweep.prune_warmup)
    if sweep.pruner == "median":
        return MedianPruner(n_startup_trials=sweep.prune_startup, n_warmup_steps=sweep.prune_warmup)
    if sweep.pruner == "halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=sweep.prune_factor)
    if sweep.pruner == "hyperband":
        return HyperbandPruner(
            min_resource=first, max_resource=max(first, config.total_steps),
            reduction_factor=sweep.prune_factor,
        )  # fmt: skip
    return NopPruner()


def _sampler(search: Search, number: int, attempt: int) -> BaseSampler:
    """The sampler that chooses one trial, at so many attempts before."""
    kind = search.settings.sampler
    # The order of a grid's points is drawn once for all.
    draw = "grid" if kind == "grid" else f"{number}:{attempt}" if attempt else str(number)
    seed = _seed(search, draw)
    if kind == "tpe":
        return TPESampler(seed=seed, constant_liar=search.parallel > 1)
    if kind == "nsgaii":
        return NSGAIISampler(seed=seed, population_size=max(2, search.parallel))
    if kind == "grid":
        return GridSampler({one.key: list(one.points() or ()) for one in search.dimensions}, seed=seed)
    return RandomSampler(seed=seed)


def _seed(search: Search, draw: str) -> int:
    digest = hashlib.sha256(f"{search.settings.sampler_seed}:{draw}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def _identity(params: Mapping[str, Value]) -> Identity:
    return tuple(sorted(params.items()))


def _untried(search: Search, number: int, tried: Container[Identity], combinations: int) -> dict[str, Value]:
    """A combination that was not tried, the next one after a place that is drawn for the trial."""
    first = random.Random(_seed(search, f"{number}:untried")).randrange(combinations)  # noqa: S311
    for step in range(combinations):  # more than were tried
        place, params = (first + step) % combinations, {}
        for one in search.dimensions:
            place, own = divmod(place, one.count or 1)
            params[one.key] = one.at(own)
        if _identity(params) not in tried:
            return params
    raise AssertionError("every combination has been tried")


def _numbered(found: Sequence[FrozenTrial]) -> Iterator[Trial]:
    """Trials in order, each with the first one of its parameters."""
    first: dict[Identity, int] = {}
    for one in found:
        before = first.setdefault(_identity(one.params), one.number)
        yield dataclasses.replace(_trial(one), repeats=None if before == one.number else before)


def _distribution(one: Dimension) -> BaseDistribution:
    if one.kind == "choice":
        return CategoricalDistribution(one.setting.texts)
    if one.kind == "whole":
        return IntDistribution(int(one.low), int(one.high), log=one.log, step=one.step)
    return FloatDistribution(one.low, one.high, log=one.log)


def _directions(wanted: Sequence[Objective]) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if one.higher else StudyDirection.MINIMIZE for one in wanted]


def _check(trial: FrozenTrial, objectives: int) -> None:
    """Raises `ValueError` when a trial is none that was recorded here."""
    sound = trial.state in STATES and all(
        distribution._contains(distribution.to_internal_repr(trial.params[key]))
        for key, distribution in trial.distributions.items()
    )
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    sound = sound and all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
    if trial.state == TrialState.COMPLETE:
        sound = sound and len(trial.values or ()) == objectives
    notes = trial.user_attrs
    sound = sound and isinstance(notes.get(REASON, ""), str) and type(notes.get(STOP, 0)) is int
    if not sound:
        raise ValueError(f"trial {trial.number} makes no sense")


def _trial(found: FrozenTrial) -> Trial:
    values = None if found.values is None else tuple(found.values)
    notes = found.user_attrs
    return Trial(
        found.number, STATES[found.state], found.params, values, notes.get(REASON), notes.get(STOP),
        max(found.intermediate_values, default=0),
    )  # fmt: skip


def _reopened(trial: FrozenTrial) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions,
        system_attrs=trial.system_attrs, intermediate_values=trial.intermediate_values,
    )  # fmt: skip


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Whatever Optuna says of a file that is none of its own is one message."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        said = str(error) or type(error).__name__
        raise StorageError(f"{path} is damaged, or Optuna cannot go on with it: {said[:200]}.") from error
