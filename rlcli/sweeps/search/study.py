"""Study of a search: its trials, kept by Optuna in the sweep's study.log.

A trial is asked for in memory and recorded whole, as one line, once it is known whether it can be trained; so
a kill leaves a trial recorded or not, never in part. What is asked for depends only on the settings, the
number of the trial and the trials before it (`sampler.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rlcli.config.search import Search
from rlcli.config.space import Dimension, Value
from rlcli.errors import StorageError
from rlcli.sweeps.search.journal import Journal
from rlcli.sweeps.search.objectives import Objective
from rlcli.sweeps.search.sampler import (
    Combination,
    combination,
    distribution,
    pruning_rule,
    sampler,
    untried_combination,
)

FILE = "study.log"
NAME = "sweep"
"""Name of the study in the file; Optuna's hyperband divides trials by it."""
REASON, STOP = "reason", "stop"
"""User attributes of a trial: why it failed; the env steps after which all its seeds end."""
STATES = {
    TrialState.RUNNING: "running", TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}  # fmt: skip
ATTEMPTS = 20
"""Maximum draws of a sampler for a combination that was not tried yet."""
ENDED = {word: state for state, word in STATES.items() if word != "running"}

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A trial and its state."""

    number: int
    status: str
    """running, finished, pruned or failed."""
    params: Mapping[str, Value]
    values: tuple[float, ...] | None
    """Of a finished trial one per objective; of a pruned one its last figure."""
    reason: str | None
    stop: int | None
    """The env steps after which all its seeds end early; None unless it is pruned."""
    compared: int
    """The last step at which the pruner compared it; 0: never."""
    repeats: int | None = None
    """The first trial with the same parameters; None if it is the first itself."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """Parameters that a sampler proposed, not recorded yet."""

    number: int
    params: Mapping[str, Value]
    notes: Mapping[str, Any]
    """The sampler's own attributes of the trial."""


class Study:
    """The trials of a sweep as its file has them."""

    def __init__(self, path: Path, storage: JournalStorage) -> None:
        self._path, self._storage = path, storage
        self._draft: optuna.Study | None = None
        """The trials in memory, with those asked for since values were last recorded."""
        self._study = optuna.load_study(study_name=NAME, storage=storage, sampler=RandomSampler())
        self._first: dict[Combination, int] = {}
        """Combinations among the first `_known` trials, each with its first trial."""
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
        with _optuna_errors(path):
            study = cls(path, JournalStorage(Journal(path)))
            if study._study.directions != _directions(wanted):
                raise ValueError("its objectives are others")
            for trial in study._study.get_trials(deepcopy=False):
                _check(trial, len(wanted))
            return study

    def trials(self) -> list[Trial]:
        """All trials in order."""
        with _optuna_errors(self._path):
            return list(_numbered(self._study.get_trials(deepcopy=False)))

    @property
    def count(self) -> int:
        """The number of trials."""
        with _optuna_errors(self._path):
            return len(self._study.get_trials(deepcopy=False))

    def check_space(self, searched: Sequence[Dimension]) -> None:
        """Raises `StorageError` unless every trial is of this search space."""
        space = {one.key: distribution(one) for one in searched}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.distributions != space:
                raise StorageError(f"{self._path} is damaged: trial {trial.number} is of another space.")

    def ask(self, search: Search) -> Proposal | None:
        """The next trial's parameters; None if every combination has been tried.

        Of finitely many combinations none is proposed twice: a sampler that proposes a repeat is asked again
        with another seed, and after `ATTEMPTS` an untried combination is drawn. NSGA-II keeps its repeats: it
        breeds from generations that may hold one twice.
        """
        with _optuna_errors(self._path):
            number, tried = self.count, self._tried()
            combinations = math.prod(one.count or math.inf for one in search.dimensions)
            if len(tried) >= combinations:
                return None
            avoids = math.isfinite(combinations) and search.settings.sampler != "nsgaii"
            for attempt in range(ATTEMPTS if avoids else 1):
                proposal = self._draw(search, number, attempt)
                if not avoids or combination(proposal.params) not in tried:
                    return proposal
                self._draft = None  # it has the trial that is not used
            return Proposal(number, untried_combination(search, number, tried, int(combinations)), {})

    def _draw(self, search: Search, number: int, attempt: int) -> Proposal:
        """The sampler's proposal, seeded for the trial and the attempt."""
        # NSGA-II notes its parents in the draft, which the file would not have.
        if self._draft is None or search.settings.sampler == "nsgaii":
            self._memory = InMemoryStorage()
            self._draft = optuna.create_study(
                study_name=NAME, storage=self._memory, directions=self._study.directions,
                pruner=pruning_rule(search.config),
            )  # fmt: skip
            self._draft.add_trials(self._study.get_trials(deepcopy=False))
        self._draft.sampler = sampler(search, number, attempt)
        self._draft.ask({one.key: distribution(one) for one in search.dimensions})
        asked = self._draft.get_trials(deepcopy=False)[number]
        return Proposal(number, asked.params, asked.system_attrs)

    def _tried(self) -> Mapping[Combination, int]:
        """Combinations that were tried, each with its first trial."""
        for one in self._study.get_trials(deepcopy=False)[self._known :]:
            self._first.setdefault(combination(one.params), one.number)
            self._known += 1
        return self._first

    def repeats(self, proposal: Proposal) -> int | None:
        """The earlier trial that a recorded proposal repeats, if it does."""
        with _optuna_errors(self._path):
            first = self._tried()[combination(proposal.params)]
            return None if first == proposal.number else first

    def record(self, proposal: Proposal, search: Search, refused: str | None = None) -> None:
        """Records a proposal as a running trial, or as a failed one with the reason it was `refused` for."""
        with _optuna_errors(self._path):
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING if refused is None else TrialState.FAIL,
                    params=dict(proposal.params),
                    distributions={one.key: distribution(one) for one in search.dimensions},
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
        """Records how a trial ended; `values` are those of a finished one."""
        with _optuna_errors(self._path):
            self._draft = None
            if reason is not None:
                self._storage.set_trial_user_attr(self._id(number), REASON, reason)
            self._study.tell(number, values, state=ENDED[status])

    def reopened(self, numbers: Sequence[int]) -> Study:
        """The study with failed trials as running ones again, in a new file that replaces the earlier one."""
        with _optuna_errors(self._path):
            earlier = self._study.get_trials(deepcopy=True)
            replacement = self._path.with_name(FILE + ".again")
            storage = JournalStorage(Journal.create(replacement))
            study = optuna.create_study(
                study_name=NAME, storage=storage,
                directions=self._study.directions,
            )  # fmt: skip
            study.add_trials([_reopened(one) if one.number in numbers else one for one in earlier])
            replacement.replace(self._path)
            return Study(self._path, JournalStorage(Journal(self._path)))

    def should_prune(self, number: int, step: int, value: float, rule: BasePruner) -> bool:
        """Records a trial's figure at a step; whether the rule ends the trial early."""
        with _optuna_errors(self._path):
            self._storage.set_trial_intermediate_value(self._id(number), step, value)
            return rule.prune(self._study, self._storage.get_trial(self._id(number)))

    def stop_after(self, number: int, steps: int) -> None:
        """Records that a trial's seeds end at their first update after so many env steps."""
        with _optuna_errors(self._path):
            self._storage.set_trial_user_attr(self._id(number), STOP, steps)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)


def _numbered(found: Sequence[FrozenTrial]) -> Iterator[Trial]:
    """Trials in order, each with the earlier one that it repeats."""
    first: dict[Combination, int] = {}
    for one in found:
        before = first.setdefault(combination(one.params), one.number)
        yield dataclasses.replace(_trial(one), repeats=None if before == one.number else before)


def _directions(wanted: Sequence[Objective]) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if one.higher else StudyDirection.MINIMIZE for one in wanted]


def _check(trial: FrozenTrial, objectives: int) -> None:
    """Raises `ValueError` for a trial that rlcli did not record."""
    valid = trial.state in STATES and all(
        distribution._contains(distribution.to_internal_repr(trial.params[key]))
        for key, distribution in trial.distributions.items()
    )
    numbers = [*(trial.values or ()), *trial.intermediate_values.values()]
    valid = valid and all(type(one) in (int, float) and math.isfinite(one) for one in numbers)
    if trial.state == TrialState.COMPLETE:
        valid = valid and len(trial.values or ()) == objectives
    notes = trial.user_attrs
    valid = valid and isinstance(notes.get(REASON, ""), str) and type(notes.get(STOP, 0)) is int
    if not valid:
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
def _optuna_errors(path: Path) -> Iterator[None]:
    """Turns whatever Optuna raises about a damaged file into one `StorageError`."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise StorageError(f"{path} is damaged, or Optuna cannot resume it: {reason[:200]}.") from error
