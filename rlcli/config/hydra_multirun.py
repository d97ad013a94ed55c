"""Sweeps through Hydra's sweeper and a launcher of our own, which hands all jobs over at once.

Hydra makes launchers only of classes whose module lies among its own plugins or in `hydra_plugins`, a folder
that every program with Hydra scans. Ours is put among its own, in a module of this process alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlcli.config.hydra_bridge import PRIMARY, global_hydra, hydra_yaml
from rlcli.config.hydra_grammar import quoted, reason
from rlcli.config.launchers import CHOICE, DEFAULT, LAUNCHERS
from rlcli.errors import UserError

HYDRAS = ("basic",)
"""Launchers that are Hydra's own; it hands over one job at a time."""

Launch = Callable[[Sequence[int]], None]
"""Takes the numbers of jobs, and returns when all have ended."""
_launch: Launch | None = None
Ask = Callable[[], Sequence[Sequence[str]]]
"""-> the overrides of the jobs to be launched next; none at the end."""
_ask: Ask | None = None
SWEEPER = "ask_and_tell"


class AllAtOnce(Launcher):
    """Hands the numbers of all jobs to whoever called `multirun`."""

    def __init__(self, **_: Any) -> None:
        """What it was told, whoever called knows from the declarations in launchers.py."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Nothing: the jobs are composed already."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Has the jobs trained."""
        assert _launch is not None
        _launch(range(initial_job_idx, initial_job_idx + len(job_overrides)))
        done = []
        for words in job_overrides:
            job = JobReturn(overrides=list(words), status=JobStatus.COMPLETED)
            job.return_value = None
            done.append(job)
        return done


class AskAndTell(Sweeper):
    """Launches the jobs that whoever called `multirun` asks for, until there are none."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Makes the launcher chosen."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Asks and launches; what came of the jobs is known to whoever is asked."""
        assert _ask is not None
        assert self.launcher is not None
        number = 0
        while batch := _ask():
            for job in self.launcher.launch(batch, initial_job_idx=number):
                _ = job.return_value  # raises what the launcher itself could not do
            number += len(batch)


@cache
def register() -> None:
    """Makes our launchers and our sweeper known to Hydra."""
    place = ModuleType(f"{core_plugins.__name__}.rlcli")
    sys.modules[place.__name__] = place
    setattr(core_plugins, "rlcli", place)  # noqa: B010
    for plugin in (AllAtOnce, AskAndTell):
        setattr(place, plugin.__name__, plugin)
        plugin.__module__ = place.__name__
        Plugins.instance().register(plugin)
    ConfigStore.instance().store(
        group="hydra/sweeper", name=SWEEPER, provider="rlcli",
        node=OmegaConf.create({"_target_": f"{AskAndTell.__module__}.{AskAndTell.__name__}"}),
    )  # fmt: skip
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
    overrides: Sequence[str], config_dir: str | None, sweep_dir: Path, ask: Ask, launch: Launch
) -> None:
    """Has the jobs that `ask` gives, batch by batch, launched by the launcher chosen, through Hydra.

    The sweeper is ours: Hydra's composes every job once more before the first starts. Our launchers call
    `launch` with the numbers of a batch's jobs, counted from 0 over all batches, Hydra's own job by job; it
    must not raise: Hydra would end the sweep. Hydra's folders point into `sweep_dir`, its logging is off, and
    nothing changes the working directory.
    """
    global _launch, _ask
    settings = [
        f"hydra.sweep.dir={quoted(str(sweep_dir))}",
        "hydra.sweep.subdir=.",
        f"hydra.run.dir={quoted(str(sweep_dir))}",
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        "hydra/hydra_logging=none",
        "hydra/job_logging=none",
        f"hydra/sweeper={SWEEPER}",
        *_default_launcher(overrides),
    ]

    def task(_: DictConfig) -> None:
        launch([int(HydraConfig.get().job.num)])

    with global_hydra(config_dir) as hydra:
        register()
        _launch, _ask = launch, ask
        try:
            hydra.multirun(PRIMARY, task, [*overrides, *settings], with_log_configuration=False)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"Hydra cannot launch the sweep: {reason(error)}") from None
        finally:
            _launch = _ask = None
