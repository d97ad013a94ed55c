"""Launchers of a sweep's jobs and their settings: `hydra/launcher=NAME hydra.launcher.x=y`.

Declared as the keys of a run are, so that Hydra's nodes, the checks, `rlcli list launchers` and completion
read one declaration. What a launcher does is in rlcli/sweeps/launchers/.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlcli.config.declaration import key
from rlcli.config.faults import Fault
from rlcli.config.schema.keys import Key, walk
from rlcli.config.setting import Setting
from rlcli.config.values import RejectedValue, convert
from rlcli.errors import unknown

CHOICE = "hydra/launcher"
SETTING = "hydra.launcher"
DEFAULT = "cohort"
ONE_BY_ONE = "basic"
ON_SLURM = ("executor", ("slurm",))


def is_of_launcher(key: str) -> bool:
    """Whether a key chooses the launcher, or is one of its settings."""
    return key in (CHOICE, SETTING) or key.startswith(SETTING + ".")


@dataclass(frozen=True)
class NoSettings:
    """A launcher without settings."""


@dataclass(frozen=True)
class Joblib:
    """Settings of `joblib`."""

    n_jobs: int = key(
        -1, "Number of processes, among which the jobs are divided; -1: one per core, -2: one less."
    )


@dataclass(frozen=True)
class Submitit:
    """Settings of `submitit`."""

    executor: str = key(
        "auto",
        "slurm: submit to Slurm; local: processes of this machine; auto: slurm where it is installed.",
        choices=("auto", "slurm", "local"),
    )
    timeout_min: int | None = key(
        None,
        "Time limit of a cohort, after which it is queued again and resumed; null: 60 on Slurm, else none.",
        unit="minutes",
        ge=1,
    )
    max_num_timeout: int = key(24, "How often a cohort that reached its time limit is queued again.", ge=0)
    signal_delay_s: int = key(
        120,
        "Time before the limit at which a cohort ends its update and saves a checkpoint.",
        unit="seconds",
        ge=10,
    )
    gpus_per_node: int = key(0, "GPUs per cohort; with 0 none is visible.", ge=0)
    cpus_per_task: int = key(1, "CPUs per cohort.", ge=1, used_by=ON_SLURM)
    mem_gb: float | None = key(
        None, "Memory per cohort; null: Slurm's default.", unit="GB", gt=0, used_by=ON_SLURM
    )
    partition: str | None = key(None, "Slurm's partition.", used_by=ON_SLURM)
    account: str | None = key(None, "Slurm's account.", used_by=ON_SLURM)
    qos: str | None = key(None, "Slurm's quality of service.", used_by=ON_SLURM)
    constraint: str | None = key(None, "Features that Slurm's nodes must have.", used_by=ON_SLURM)
    array_parallelism: int = key(
        256, "Maximum number of cohorts that train at the same time.", ge=1, used_by=ON_SLURM
    )
    setup: tuple[str, ...] = key(
        (), "Shell commands to run before the program, such as 'module load x'.", used_by=ON_SLURM
    )
    additional_parameters: Mapping[str, Any] | None = key(
        None, "Further options of sbatch, such as {reservation:course}.", used_by=ON_SLURM
    )


@dataclass(frozen=True)
class Ray:
    """Settings of `ray`."""

    address: str | None = key(
        None,
        "A running cluster: auto, HOST:PORT or ray://HOST:PORT; null: start one here for the sweep.",
    )
    num_cpus: float = key(1, "CPUs of the cluster per cohort.", gt=0)
    num_gpus: float = key(0, "GPUs of the cluster per cohort.", ge=0)
    resources: Mapping[str, Any] | None = key(None, "Other resources per cohort, such as {large:1}.")
    max_retries: int = key(3, "How often a cohort whose worker died is resumed by another.", ge=0)
    runtime_env: Mapping[str, Any] | None = key(
        None, "Ray's runtime environment of the workers, such as {env_vars:{A:b}}."
    )


@dataclass(frozen=True)
class Declared:
    """One launcher."""

    doc: str
    settings: type = NoSettings
    package: str | None = None
    """The package it needs, which is also the name of our extra."""

    @property
    def keys(self) -> dict[str, Key]:
        """Its settings by name."""
        return {found.name: found for found in walk(self.settings, "")}


LAUNCHERS: Mapping[str, Declared] = {
    DEFAULT: Declared("cohorts in this process, or in cohort.workers processes of this machine"),
    ONE_BY_ONE: Declared("every job by itself, one after the other, in this process"),
    "joblib": Declared("cohorts in joblib's processes on this machine", Joblib, "joblib"),
    "submitit": Declared(
        "cohorts as jobs of a Slurm cluster, or as processes of this machine", Submitit, "submitit"
    ),
    "ray": Declared("cohorts on a Ray cluster, of this machine or of many", Ray, "ray"),
}


@dataclass(frozen=True)
class Launching:
    """A launcher with its settings."""

    name: str = DEFAULT
    settings: Any = dataclasses.field(default_factory=NoSettings)

    @property
    def elsewhere(self) -> bool:
        """Whether another machine may train, which may have what this one lacks."""
        if isinstance(self.settings, Submitit):
            return self.settings.executor == "slurm"
        return isinstance(self.settings, Ray) and self.settings.address is not None


HERE = Launching()
"""Cohorts in this process, or in worker processes of this machine."""


def takes_text(key: str) -> bool:
    """Whether a key is a launcher's setting that takes text, or chooses the launcher."""
    name = key.removeprefix(SETTING + ".")
    settings = (declared.keys.get(name) for declared in LAUNCHERS.values() if name != key)
    return key == CHOICE or any(found is not None and found.takes_text for found in settings)


def chosen_launcher(settings: Sequence[Setting]) -> tuple[Launching, list[Fault]]:
    """The launcher that settings of the command line choose, and everything wrong with them."""
    name = DEFAULT
    for setting in settings:
        if setting.key == CHOICE:
            [name] = setting.texts
    if name not in LAUNCHERS:
        return HERE, [Fault(unknown("launcher", name, list(LAUNCHERS)), frozenset({CHOICE}))]
    declared = LAUNCHERS[name]
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for setting in settings:
        if setting.key != CHOICE:
            faults += _converted(setting, name, declared, values)
    if not faults:
        found, faults = _resolved(declared, values)
        return Launching(name, found), [*faults, *_missing_package(declared)]
    return Launching(name), [*faults, *_missing_package(declared)]


def _converted(setting: Setting, name: str, declared: Declared, values: dict[str, Any]) -> Iterator[Fault]:
    """Puts one setting into `values`, or yields what is wrong with it."""
    typed, leaf = setting.key, setting.key.removeprefix(SETTING).removeprefix(".")
    keys = declared.keys
    [(text, value)] = setting.values
    about = frozenset({typed})
    if not keys:
        others = " or ".join(f"{CHOICE}={other}" for other, it in LAUNCHERS.items() if leaf in it.keys)
        hint = f"; did you mean to choose {others}?" if others else "."
        yield Fault(f"{typed}={text}: {CHOICE}={name} has no settings{hint}", about)
    elif leaf not in keys:
        yield Fault(unknown(f"setting of {CHOICE}={name}", leaf, list(keys), shown=len(keys)), about)
    elif "${" in text:
        yield Fault(f"{typed}={text}: give a value, no interpolation.", about)
    else:
        try:
            values[leaf] = convert(keys[leaf], value)
        except RejectedValue as error:
            yield Fault(f"{typed}={text}: {error} ({keys[leaf].declaration.doc.rstrip('.')}).", about)


def _resolved(declared: Declared, values: dict[str, Any]) -> tuple[Any, list[Fault]]:
    """The settings with `auto` resolved, and what contradicts itself in them."""
    settings = declared.settings(**values)
    faults = []
    if isinstance(settings, Joblib) and settings.n_jobs == 0:
        faults.append(
            Fault(
                f"{SETTING}.n_jobs=0: give a number of processes, or -1 for one per core.",
                frozenset({f"{SETTING}.n_jobs"}),
            )
        )
    if isinstance(settings, Submitit):
        slurm = shutil.which("sbatch") is not None and shutil.which("srun") is not None
        if settings.executor == "slurm" and not slurm:
            faults.append(
                Fault(
                    f"{SETTING}.executor=slurm: sbatch and srun are not here; executor=local trains here.",
                    frozenset({f"{SETTING}.executor"}),
                )
            )
        if settings.executor == "auto":
            settings = dataclasses.replace(settings, executor="slurm" if slurm else "local")
        faults += _without_effect(declared, settings, values)
    return settings, faults


def _without_effect(declared: Declared, settings: Any, values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in values:
        used_by = declared.keys[name].declaration.used_by
        if used_by is not None and getattr(settings, used_by[0]) not in used_by[1]:
            why = f"{used_by[0]}={getattr(settings, used_by[0])}"
            if why == "executor=local" and "executor" not in values:
                why += ", and there is no Slurm here"
            yield Fault(f"{SETTING}.{name} has no effect with {why}.", frozenset({f"{SETTING}.{name}"}))


def _missing_package(declared: Declared) -> Iterator[Fault]:
    package = declared.package
    if package is not None and importlib.util.find_spec(package) is None:
        yield Fault(
            f"{CHOICE}={package} needs {package}, which is not installed: pip install 'rlcli[{package}]'",
            frozenset({CHOICE}),
        )
