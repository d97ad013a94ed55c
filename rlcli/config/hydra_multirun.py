"""Sweeps through Hydra's sweeper and a launcher of our own, which hands all jobs over at once.

Hydra makes launchers only of classes whose module lies among its own plugins or in `hydra_plugins`, a folder
that every program with Hydra scans. Ours is put among its own, in a module of this process alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra._internal import core_plugins
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlcli.config.hydra_bridge import PRIMARY, global_hydra, hydra_yaml, quoted, reason
from rlcli.config.launchers import CHOICE, DEFAULT, LAUNCHERS
from rlcli.errors import UserError

HYDRAS = ("basic",)
"""Launchers that are Hydra's own; it hands over one job at a time."""

Launch = Callable[[str, Mapping[str, Any], Sequence[int]], None]
"""(launcher, its settings, numbers of the jobs) -> when all have ended."""
_launch: Launch | None = None


class AllAtOnce(Launcher):
    """Hands the numbers of all jobs to whoever called `multirun`."""

    def __init__(self, name: str, **settings: Any) -> None:
        self._name, self._settings = name, settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing: the jobs are composed already."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Has the jobs trained."""
        assert _launch is not None
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        _launch(self._name, self._settings, numbers)
        done = []
        for words in job_overrides:
            job = JobReturn(overrides=list(words), status=JobStatus.COMPLETED)
            job.return_value = None
            done.append(job)
        return done


@cache
def register() -> None:
    """Makes our launchers known to Hydra."""
    place = ModuleType(f"{core_plugins.__name__}.rlcli")
    setattr(place, AllAtOnce.__name__, AllAtOnce)
    sys.modules[place.__name__] = place
    setattr(core_plugins, "rlcli", place)  # noqa: B010
    AllAtOnce.__module__ = place.__name__
    Plugins.instance().register(AllAtOnce)
    for name, declared in LAUNCHERS.items():
        if name in HYDRAS:
            continue
        settings = {
            key.name: list(key.default) if key.is_list else key.default for key in declared.keys.values()
        }
        node = {"_target_": f"{AllAtOnce.__module__}.{AllAtOnce.__name__}", "name": name, **settings}
        ConfigStore.instance().store(
            group="hydra/launcher", name=name, node=OmegaConf.create(node), provider="rlcli"
        )


def settings_yaml(overrides: Sequence[str], config_dir: str | None) -> str:
    """Hydra's own settings as a sweep has them, those of its launcher included; see `hydra_yaml`."""
    register()
    return hydra_yaml([*overrides, *_default_launcher(overrides)], config_dir)


def _default_launcher(overrides: Sequence[str]) -> list[str]:
    chosen = any(word.startswith(f"{CHOICE}=") for word in overrides)
    return [] if chosen else [f"{CHOICE}={DEFAULT}"]


def multirun(
    overrides: Sequence[str],
    config_dir: str | None,
    sweep_dir: Path,
    run_job: Callable[[int], None],
    launch: Launch,
) -> None:
    """Runs the jobs of a sweep through Hydra's sweeper, and our launcher unless another is chosen.

    Ours calls `launch` once with all of them; Hydra's own call `run_job` with the number of each job (from 0,
    the last override varying fastest), which must not raise: Hydra would end the sweep. Hydra's folders point
    into `sweep_dir`, its logging is off, and nothing changes the working directory.
    """
    global _launch
    silent = [
        f"hydra.sweep.dir={quoted(str(sweep_dir))}",
        "hydra.sweep.subdir=.",
        f"hydra.run.dir={quoted(str(sweep_dir))}",
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        "hydra/hydra_logging=none",
        "hydra/job_logging=none",
        *_default_launcher(overrides),
    ]

    def task(_: DictConfig) -> None:
        run_job(int(HydraConfig.get().job.num))

    with global_hydra(config_dir) as hydra:
        register()
        _launch = launch
        try:
            hydra.multirun(PRIMARY, task, [*overrides, *silent], with_log_configuration=False)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"Hydra cannot launch the sweep: {reason(error)}") from None
        finally:
            _launch = None
