"""Loop of a search: ask the sampler for trials, train them, tell it their values, until all have ended.

Trials come in batches of sweep.parallel, numbered in order: all of a batch are asked for before any of them
trains, and all values are told before the next batch. A trial is written to study.log, then its jobs' configs
to their folders, then the jobs to sweep.json, before they train; its values to study.log once they have
ended. So the files that a kill leaves determine what comes next, the same as without the kill.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlcli.backends.kernel import AUTO, TORCH, check_present, decided, with_kernel
from rlcli.config.command import key_of
from rlcli.config.compose import Composed
from rlcli.config.faults import Check, Fault
from rlcli.config.launchers import HERE, Launching
from rlcli.config.overrides import parse_command
from rlcli.config.schema.run import RunConfig
from rlcli.config.search import Search, compose_search
from rlcli.config.serialise import flatten
from rlcli.config.space import Value
from rlcli.envs import registry
from rlcli.errors import UserError
from rlcli.loggers.progress import figure
from rlcli.store.admission import admit, admitted
from rlcli.store.directory import new_sweep_dir
from rlcli.sweeps.launchers.table import opened
from rlcli.sweeps.multirun import allow_imports, left_over, locked
from rlcli.sweeps.names import rounded, trial_name
from rlcli.sweeps.preflight import checks
from rlcli.sweeps.run import root_of
from rlcli.sweeps.search.objectives import BASE, best, objectives, read_settings, write_settings
from rlcli.sweeps.status import outcome
from rlcli.sweeps.sweep import OVER, Job, Sweep, now
from rlcli.sweeps.training import Training

if TYPE_CHECKING:
    from rlcli.sweeps.search.study import Study


def run_search(search: Search, *, quiet: bool = False) -> Sweep:
    """Runs a new search: a sampler proposes trials, and the launcher that was chosen trains their jobs."""
    from rlcli.sweeps.search.study import Study

    wanted, command = objectives(search.settings), search.command
    search = _with_base(search, decided(search.config, registry.describe(search.config.env)))
    with opened(command.launching) as launcher:
        directory = new_sweep_dir(search.config, root_of(search.base))
        with locked(directory):
            write_settings(directory, search.settled())
            study = Study.begin(directory, wanted)
            sweep = Sweep(
                directory, command.typed, [], started=now(), searches=True, config_dir=search.config_dir
            )  # fmt: skip
            sweep.record()
            with Training(sweep, [], quiet, launcher) as training:
                trials = Trials(sweep, search, study, training)
                while batch := trials.batch():
                    training.train(batch)
    return sweep


def resume_search(
    directory: Path,
    *,
    launching: Launching = HERE,
    imports: Sequence[str] = (),
    retry: bool = False,
    config_dir: str | None = None,
    trials: int | None = None,
    quiet: bool = False,
) -> Sweep:
    """Resumes an earlier search: interrupted trials are trained to their end, the remaining ones asked for.

    With `retry`, failed jobs are tried again, and their trials count with the new result. `config_dir` is the
    config folder that the search was started with: a folder is read only if it is given again. `trials` is
    the new total number of trials.

    Raises:
        UserError: as `resume_sweep`; or its settings do not compose to what they were.
        StorageError: the sweep, its settings or its study are damaged.
    """
    from rlcli.sweeps.search.study import Study

    with locked(directory):
        sweep = Sweep.read(directory)
        settings = read_settings(directory)
        settings = admitted(settings, directory, imports)
        check_present(directory, settings)
        study = Study.open(directory, objectives(settings.sweep))
        if trials is not None:
            settings = _extended(settings, trials, len(study.trials()))
        search = _composed_again(sweep, settings, config_dir, imports, launching)
        study.check_space(search.dimensions)
        left = left_over(sweep, retry, imports, launching)
        allow_imports(imports)
        write_settings(directory, search.settled())
        study = _reopened(study, left)
        with opened(launching) as launcher, Training(sweep, left, quiet, launcher) as training:
            remaining = Trials(sweep, search, study, training)
            remaining.tell()
            training.train([*left, *remaining.begun()])
            while batch := remaining.batch():
                training.train(batch)
    return sweep


class Trials:
    """The trials of a search in progress: tells the study values of ended ones and asks for new ones."""

    def __init__(self, sweep: Sweep, search: Search, study: Study, training: Training) -> None:
        self._sweep, self._search, self._study, self._training = sweep, search, study, training
        self._wanted = objectives(search.settings)
        base, jobs = search.config, search.settings.replicas
        self._steps = base.updates * base.batch_size
        training.expect((search.trials - study.count) * jobs, self._steps)

    def batch(self) -> list[Job]:
        """The jobs of the next batch of trials, configs frozen; none at the end or after a signal."""
        self.tell()
        while self._sweep.stopped is None and (asked := self._study.count) < self._search.trials:
            jobs = self._ask(self._batch_end(asked))
            if jobs:
                return jobs
        return []

    def _batch_end(self, asked: int) -> int:
        """The number of trials at the end of the batch that starts or continues after `asked` trials."""
        parallel = self._search.parallel
        return min(self._search.trials, (asked // parallel + 1) * parallel)

    def begun(self) -> list[Job]:
        """The jobs of trials that were asked for and have none yet, and of those missing in their batch."""
        have = {job.trial for job in self._sweep.jobs}
        missing = [one for one in self._study.trials() if one.status == "running" and one.number not in have]
        jobs = []
        for trial in missing:
            jobs += self._freeze(trial.number, self._compose(trial.params))
        self._record(jobs)
        asked, parallel = self._study.count, self._search.parallel
        return [*jobs, *self._ask(self._batch_end(asked))] if asked % parallel else jobs

    def tell(self) -> None:
        """Reports the values of every trial whose jobs have ended to the study."""
        ended = 0
        for trial in self._study.trials():
            jobs = [job for job in self._sweep.jobs if job.trial == trial.number]
            if trial.status == "running" and jobs and all(job.status in OVER for job in jobs):
                status, values, reason = outcome(self._sweep, jobs, self._wanted)
                self._study.tell(trial.number, status, values, reason)
                ended += 1
        if ended:
            self._training.message(self.progress())

    def progress(self) -> str:
        """The number of ended trials and the best so far, in one line."""
        trials = self._study.trials()
        over = sum(trial.status != "running" for trial in trials)
        line = f"{over} of {self._search.trials} trials"
        finished = [one for one in trials if one.values is not None and one.status == "finished"]
        front = [finished[place] for place in best([one.values or () for one in finished], self._wanted)]
        if len(self._wanted) > 1:
            return f"{line}: {len(front)} on the Pareto front" if front else line
        if not front:
            return line
        params = ", ".join(f"{key}={text}" for key, text in self._texts(front[0].params, short=True).items())
        return f"{line}: best {figure((front[0].values or (0.0,))[0])}, trial {front[0].number} ({params})"

    def _ask(self, up_to: int) -> list[Job]:
        """Asks for trials until there are so many; returns their jobs."""
        jobs: list[Job] = []
        while self._study.count < up_to:
            proposal = self._study.ask(self._search)
            if proposal is None:
                self._end()
                break
            try:
                composed = self._compose(proposal.params)
            except UserError as error:
                self._study.record(proposal, self._search, refused=" ".join(error.faults))
                params = self._texts(proposal.params, short=True)
                tried = ", ".join(f"{key}={text}" for key, text in params.items())
                self._training.message(
                    f"trial {proposal.number} ({tried}) cannot be trained: {error.faults[0]}"
                )
                self._training.expect(-self._search.settings.replicas, self._steps)
                continue
            self._study.record(proposal, self._search)
            if (earlier := self._study.repeats(proposal)) is not None:
                self._training.message(
                    f"trial {proposal.number} repeats trial {earlier}: the same parameters"
                )
            jobs += self._freeze(proposal.number, composed)
        self._record(jobs)
        return jobs

    def _end(self) -> None:
        """Ends the search early: every combination has been tried."""
        count, left = self._study.count, self._search.trials - self._study.count
        self._training.message(
            f"Every combination has been tried: the search ends after {count} trials, {left} fewer."
        )
        self._training.expect(-left * self._search.settings.replicas, self._steps)
        settings = dataclasses.replace(self._search.settings, trials=count)
        self._search = _with_base(self._search, dataclasses.replace(self._search.config, sweep=settings))
        write_settings(self._sweep.dir, self._search.settled())

    def _record(self, jobs: Sequence[Job]) -> None:
        self._sweep.record()
        self._training.add(jobs)

    def _compose(self, params: Mapping[str, Value]) -> list[Composed]:
        return self._search.compose(self._texts(params))

    def _freeze(self, number: int, composed: Sequence[Composed]) -> list[Job]:
        names = [trial_name(number, one.varied) for one in composed]
        return self._sweep.add(names, [self._of_search(one) for one in composed], number)

    def _of_search(self, one: Composed) -> Composed:
        """A job of a search that began with torch, with torch: values of its trials stay comparable."""
        if (one.config.compute.kernel, self._search.config.compute.kernel) != (AUTO, TORCH):
            return one
        return dataclasses.replace(one, config=with_kernel(one.config, TORCH))

    def _texts(self, params: Mapping[str, Value], short: bool = False) -> dict[str, str]:
        """Parameter values as typed on the command line; with `short` rounded for reading."""
        texts = {one.key: one.text(params[one.key]) for one in self._search.dimensions}
        return {key: rounded(text) for key, text in texts.items()} if short else texts


def _with_base(search: Search, config: RunConfig) -> Search:
    """The search with another config of its base."""
    return dataclasses.replace(search, base=dataclasses.replace(search.base, config=config))


def _extended(settings: RunConfig, trials: int, asked: int) -> RunConfig:
    """The settings with another number of trials."""
    if trials < asked:
        raise UserError(f"sweep.trials={trials}: {asked} have been asked for already; give no fewer.")
    return dataclasses.replace(settings, sweep=dataclasses.replace(settings.sweep, trials=trials))


def _composed_again(
    sweep: Sweep, settings: RunConfig, config_dir: str | None, imports: Sequence[str], launching: Launching
) -> Search:
    """The search of an earlier sweep, composed again from the overrides it was started with.

    Raises:
        UserError: its config folder must be given again, or its settings have changed.
    """
    if sweep.config_dir is not None and config_dir is None:
        raise UserError(
            f"This sweep was started with --config-dir {sweep.config_dir}; give it again: no folder is "
            "read just because a sweep names it."
        )
    own = ("hydra.", "hydra/")  # settings of Hydra's, and the launcher, are not taken from a directory
    typed = [text for text in sweep.overrides if not key_of(text).startswith(own)]
    command = parse_command(typed, multirun=True, config_dir=config_dir)
    first = [_admitted(sweep.dir, imports, launching)]
    search = compose_search(dataclasses.replace(command, launching=launching), first)
    if search is not None:  # the number of trials may have changed since
        kept = dataclasses.replace(
            search.settings, trials=settings.sweep.trials, parallel=settings.sweep.parallel
        )  # fmt: skip
        config = dataclasses.replace(search.config, sweep=kept, imports=settings.imports)
        if config.compute.kernel == AUTO:
            config = with_kernel(config, settings.compute.kernel)
        search = _with_base(search, config)
        before = flatten(settings)
        differing = [key for key, value in flatten(config).items() if value != before.get(key)]
        if not differing:
            return search
    where = ", ".join(differing[:8]) if search is not None else "sweep.sampler"
    raise UserError(
        f"{sweep.dir}: the settings it was started with are different now, in {where}; its remaining trials "
        "would not be comparable.",
        hint=f"{sweep.dir / BASE} has the earlier ones: restore the config files, or start a new sweep.",
    )


def _reopened(study: Study, left: Sequence[Job]) -> Study:
    """The study, in which trials of failed jobs that are tried again are running ones."""
    failed = [job for job in left if job.status == "failed"]
    for job in failed:
        job.status = "waiting"
    again = {job.trial for job in failed}
    numbers = [one.number for one in study.trials() if one.status == "failed" and one.number in again]
    return study.reopened(numbers) if numbers else study


def _admitted(directory: Path, imports: Sequence[str], launching: Launching) -> Check:
    """The check of a config read from a directory: whether it is admitted comes before all others."""

    def check(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
        try:
            admit(config, directory, imports)
        except UserError as error:
            yield from (Fault(text) for text in error.faults)
            return
        for one in checks(elsewhere=launching.elsewhere):
            yield from one(config, provenance)

    return check
