"""Admission of a config from a run directory of unknown origin: its modules, its size, its environment.

A directory may name modules (`env.id=module:Id`, texts in env.kwargs), and importing a module runs it. No
module is imported because a directory names it: only if the process has imported it already, if the user
names it too (`--import`, RLCLI_IMPORT), or if this user made the run on this machine (rlcli.store.own_runs).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rlcli.config.extensions import VARIABLE
from rlcli.config.schema.network import kinds_of_network
from rlcli.config.schema.run import RunConfig
from rlcli.config.values import display
from rlcli.envs import registry
from rlcli.envs.backend import is_array
from rlcli.errors import UserError
from rlcli.extend.importing import complete, installed
from rlcli.nets.kinds import smallest_network
from rlcli.nets.network import parameter_count
from rlcli.store import modules, own_runs
from rlcli.store.bounded_call import exceeded_limit
from rlcli.text import visible

SAMPLE = 100
"""Lower bound of the bytes that one step of one environment takes during an update."""


def admitted(config: RunConfig, run_dir: Path, imports: Sequence[str] = ()) -> RunConfig:
    """The config with its modules imported, if it is admitted (`admit`)."""
    admit(config, run_dir, imports)
    return complete(config)


def admit(config: RunConfig, run_dir: Path, imports: Sequence[str] = ()) -> list[str]:
    """Checks that a config names only allowed modules (`imports`) and fits into this machine's memory.

    Returns the modules that are allowed only because the user made the run on this machine.

    Raises:
        UserError: it does not; the message lists all faults.
    """
    if config.imports:
        installed()
    allowed = {*imports, *os.environ.get(VARIABLE, "").split(","), *sys.modules} - {""}
    if len(modules.candidates(config)) > modules.MOST:
        raise UserError(f"{run_dir}: env.kwargs has more than {modules.MOST} texts with a colon.")
    named = modules.named(config, run_dir)
    own = own_runs.remembered(run_dir, named)
    doubtful = [module for module in named if module not in allowed]
    unknown = [module for module in doubtful if module not in own]
    faults = [
        *(f"{run_dir} names the module {module!r}; "
          "no module is imported just because a run directory names it."
          for module in unknown),
        *_inside(named, run_dir),
        *_size(config),
    ]  # fmt: skip
    if faults:
        raise UserError(*faults, hint=_advice(unknown))
    _try_environment(config, run_dir, [*imports, *own])
    return doubtful


def _try_environment(config: RunConfig, run_dir: Path, imports: Sequence[str]) -> None:
    """Makes an environment with env.kwargs first in a child process with limited time and memory.

    An environment whose module the user names is trusted, and not tried.

    Raises:
        UserError: it takes more time or memory than the limits.
    """
    has_arguments = config.env.kwargs or any(not isinstance(one, str) for one in config.env.wrappers)
    if not has_arguments or is_array(config.env):
        return
    module = registry.module_of(config.env.id)
    trusted = {*imports, *os.environ.get(VARIABLE, "").split(",")} - {""}
    if any(f"{module}.".startswith(f"{name}.") for name in trusted):
        return
    excess = exceeded_limit(partial(registry.describe, config.env))
    if excess is not None:
        given = visible(display(config.env.kwargs))
        wrapped = visible(display(config.env.wrappers)) if config.env.wrappers else ""
        shown = given if len(given) <= 200 else f"{given[:200]}..."
        if wrapped:
            shown += f" and env.wrappers={wrapped[:200]}"
        raise UserError(
            f"{run_dir}: {config.env.id} with env.kwargs={shown} {excess} to be made; it is not.",
            hint=f"If you know it, and it is to: --import {module}, or {VARIABLE}={module}.",
        )


def _advice(unknown: Sequence[str]) -> str | None:
    """The hint how to allow modules; None if they are not names of modules."""
    if not unknown or not all(re.fullmatch(r"[A-Za-z_][\w.]*", module) for module in unknown):
        return None
    words = " ".join(f"--import {module}" for module in unknown)
    return f"If you know it: {words}, or {VARIABLE}={','.join(unknown)}; in Python, import it first."


def _inside(named: Sequence[str], run_dir: Path) -> Iterator[str]:
    """Faults of modules that would be imported from the run directory itself; these are never allowed."""
    for module in named:
        origin = None if module in sys.modules else modules.origin(module)
        if origin is not None and origin.is_relative_to(run_dir.resolve()):
            yield f"{run_dir} names the module {module!r}, which is a file in it: {origin} is not imported."


def _size(config: RunConfig) -> Iterator[str]:
    """Faults of sizes that need more memory than this machine has."""
    of_user = config.imports and config.network.name not in kinds_of_network()
    parameters = 0 if of_user else parameter_count(smallest_network(config.network))
    bytes_needed = 4 * parameters * (3 + config.lag + config.algo.reuse) + SAMPLE * config.learnt_size
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if bytes_needed > memory:
        yield (
            f"network={config.network.name} of {parameters:,} parameters or more, lag={config.lag}, "
            f"algo.reuse={config.algo.reuse} and {config.algo.rollout_steps} x "
            f"{config.env.num_envs} steps per update need more memory than the {memory / 2**30:.0f} GiB here."
        )
