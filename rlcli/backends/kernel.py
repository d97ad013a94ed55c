"""The choice between kernels in C and torch: which of them a run trains with, and why.

`compute.kernel` is auto, c or torch. auto is decided once, before a run or a sweep begins, and config.yaml
records the outcome: the numbers of the two differ in their last digits, so a run keeps what it began with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rlcli.config.faults import Fault
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.config.values import display
from rlcli.errors import UserError
from rlcli.extend.tables import ALGORITHMS
from rlcli.kernels import library
from rlcli.text import as_typed

if TYPE_CHECKING:
    from rlcli.envs.spec import EnvSpec

KEY = "compute.kernel"
C, TORCH, AUTO = "c", "torch", "auto"
DEEPEST = 8
"""Hidden layers that the kernels take."""


SURROGATES = ("clipped", "ratio", "score", "spo")


class Limit(NamedTuple):
    """One limit of what the kernels compute."""

    key: str
    holds: Callable[[RunConfig, EnvSpec], bool]
    covered: str
    """What is covered."""


COVERED = (
    Limit("backend", lambda c, _: c.backend == "native", "native"),
    Limit("device", lambda c, _: c.device == "cpu", "cpu"),
    Limit("env.backend", lambda c, _: c.env.backend != "torch", "environments on the CPU"),
    Limit("env.action_mask", lambda c, _: c.env.action_mask == "none", "none"),
    Limit("network.name", lambda c, _: c.network.name == "mlp", "mlp"),
    Limit("network.log_std", lambda c, _: c.network.log_std == "free", "free"),
    Limit("network.squash", lambda c, _: c.network.squash == "none", "none"),
    Limit("network.critic", lambda c, _: c.network.critic == "v", "v"),
    Limit("network.hidden", lambda c, _: len(c.network.hidden) <= DEEPEST, f"{DEEPEST} layers at most"),
    Limit(
        "collect.unrolls",
        lambda c, spec: c.collect.joined == 1 or spec.action.kind == "discrete",
        "1, or any number with Discrete actions",
    ),
    Limit("algo.clip_high", lambda c, _: c.algo.clip_high is None, "null"),
    Limit("algo.clip_dual", lambda c, _: c.algo.clip_dual is None, "null"),
    Limit("algo.rho_bar_pg", lambda c, _: c.algo.rho_bar_pg is None, "null"),
    Limit("algo.vtrace_bootstrap", lambda c, _: c.algo.vtrace_bootstrap == "v", "v"),
    Limit("algo.surrogate", lambda c, _: c.algo.surrogate in SURROGATES, "clipped, ratio, score and spo"),
    Limit("algo.reuse", lambda c, _: c.algo.reuse == 1, "1"),
    Limit("algo.targets", lambda c, _: c.algo.targets not in ALGORITHMS, "rlcli's own"),
    Limit("algo.penalty", lambda c, _: c.algo.penalty not in ALGORITHMS, "rlcli's own"),
    Limit("algo.step_rule", lambda c, _: c.algo.step_rule not in ALGORITHMS, "rlcli's own"),
)
"""All limits; none reads a key that may differ within a cohort."""


class Choice(NamedTuple):
    """What a run trains with."""

    kernel: str
    """c or torch."""
    reason: str
    """The instruction set, or why it is torch."""

    def __str__(self) -> str:
        return f"{C} ({self.reason})" if self.kernel == C else f"{TORCH}, because {self.reason}"


def covers(config: RunConfig, spec: EnvSpec) -> str | None:
    """Why the kernels do not compute a configuration; None if they do."""
    broken = next((limit for limit in COVERED if not limit.holds(config, spec)), None)
    if broken is None:
        return None
    return f"{broken.key}={display(flatten(config)[broken.key])} is not covered, only {broken.covered}"


def choose(config: RunConfig, spec: EnvSpec) -> Choice:
    """The choice for a configuration in which auto may still stand.

    Raises:
        UserError: compute.kernel=c, and the kernels do not compute it or are missing here.
    """
    wanted = config.compute.kernel
    if wanted == C and (wrong := list(faults(config, spec))):
        raise UserError(*(fault.text for fault in wrong))
    obstacle = covers(config, spec) or library.problem()
    if obstacle is None and wanted == TORCH:
        obstacle = f"{KEY}={TORCH}"
    if obstacle is not None:
        return Choice(TORCH, obstacle)
    return Choice(C, str(library.instruction_set()))


def decided(config: RunConfig, spec: EnvSpec) -> RunConfig:
    """The configuration with c or torch in the place of auto; raises as `choose`."""
    return with_kernel(config, choose(config, spec).kernel)


def with_kernel(config: RunConfig, kernel: str) -> RunConfig:
    """The configuration with this value of compute.kernel."""
    if config.compute.kernel == kernel:
        return config
    return dataclasses.replace(config, compute=dataclasses.replace(config.compute, kernel=kernel))


def faults(config: RunConfig, spec: EnvSpec) -> Iterator[Fault]:
    """Why a configuration with compute.kernel=c cannot be trained here."""
    if config.compute.kernel != C:
        return
    reason = covers(config, spec)
    if reason is not None:
        key = reason.partition("=")[0]
        yield Fault(f"{KEY}={C}: {reason}; {KEY}={AUTO} trains it with torch.", frozenset({KEY, key}))
    elif (missing := library.problem()) is not None:
        yield Fault(f"{KEY}={C}: {missing}. Build it: {library.remedy()}", frozenset({KEY}))


def check_recorded(run_dir: Path, config: RunConfig, version: int | None) -> None:
    """Checks that a run of kernels can be repeated or continued here with the very same numbers.

    `version` is the version of the kernels it trained with. The instruction set does not matter.

    Raises:
        UserError: the kernels are missing here, or of another version.
    """
    check_present(run_dir, config)
    if config.compute.kernel == C and version != library.version():
        raise UserError(
            f"{run_dir} was trained with version {version} of the kernels in C; this rlcli has version "
            f"{library.version()}, which gives other numbers.",
            hint="Use the rlcli of the commit in its manifest.json; "
            f"to train it again with that: rlcli reproduce {as_typed(run_dir)} --checkout",
        )


def check_present(directory: Path, config: RunConfig) -> None:
    """Checks that the kernels are here, if a run or a search began with them.

    Raises:
        UserError: they are not.
    """
    missing = library.problem() if config.compute.kernel == C else None
    if missing is not None:
        raise UserError(
            f"{directory} was begun with the kernels in C ({KEY}={C}), and here {missing}.",
            hint=f"Build the library: {library.remedy()}",
        )
