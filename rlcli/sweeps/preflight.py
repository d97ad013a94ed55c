"""Checks of a configuration against this machine, before anything starts: environments, packages, devices."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rlcli.config.faults import Check, Fault
from rlcli.config.rules import RULES
from rlcli.config.schema import RunConfig
from rlcli.errors import UserError
from rlcli.sweeps.search.objectives import search_fits


def environment_exists(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The environment can be made, its spaces are supported and the network can read them."""
    from rlcli.envs.registry import describe
    from rlcli.envs.spec import check_network

    try:
        check_network(describe(config.env), config.network.name)
    except UserError as error:
        hint = f" {error.hint}" if error.hint else ""
        for text in error.faults:
            yield Fault(text + hint, frozenset({"env.id"}))


def whole_episodes_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A rollout is long enough for the longest episode there can be."""
    from rlcli.envs.registry import describe

    if not config.collect.whole_episodes:
        return
    try:
        longest = describe(config.env).max_episode_steps
    except UserError:
        return  # said by `environment_exists`
    if longest is None:
        yield Fault(
            f"collect.whole_episodes=true needs an environment with a time limit; {config.env.id} has none.",
            frozenset({"collect.whole_episodes", "env.id"}),
        )
    elif config.algo.rollout_steps < longest:
        yield Fault(
            f"collect.whole_episodes=true needs rollouts of {config.env.id}'s {longest} steps at least; "
            f"algo.rollout_steps={config.algo.rollout_steps}.",
            frozenset({"collect.whole_episodes", "algo.rollout_steps", "env.id"}),
        )


def loggers_are_installed(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Packages of the loggers asked for are there."""
    from rlcli.loggers import tensorboard, wandb

    for name, missing in (("tensorboard", tensorboard.available), ("wandb", wandb.available)):
        if name in config.logger and (reason := missing()) is not None:
            others = ",".join(other for other in config.logger if other != name)
            yield Fault(f"{reason}; or leave it out: logger=[{others}].", frozenset({"logger"}))


def device_exists(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The device is one torch has here."""
    keys = frozenset({"device"})
    if config.device == "cpu":
        return
    cuda = re.fullmatch(r"cuda(?::(\d+))?", config.device)
    if cuda is None:
        yield Fault(f"device={config.device}: choose cpu, cuda or cuda:<number>.", keys)
        return
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(cuda.group(1) or 0) >= found:
        there = "no CUDA device" if found == 0 else f"only cuda:0 to cuda:{found - 1}"
        yield Fault(f"device={config.device}: there is {there} here; device=cpu always works.", keys)


def backend_takes_it(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Another backend than our own has what it needs and can do all that is asked for."""
    if config.backend != "sb3":
        return
    from rlcli.backends.sb3_mapping import missing, refusals, unobserved
    from rlcli.envs.registry import describe

    yield from refusals(config)
    lacking = missing(config)
    if lacking is not None:
        yield lacking
    with contextlib.suppress(UserError):  # said by `environment_exists`
        empty = unobserved(describe(config.env))
        if empty is not None:
            yield empty


def runs_dir_is_a_folder(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Runs do not go where a file is."""
    if Path(config.runs_dir).expanduser().is_file():
        yield Fault(f"runs_dir={config.runs_dir} is a file, not a folder.", frozenset({"runs_dir"}))


def check(config: RunConfig, asked: Sequence[Check] | None = None) -> None:
    """Raises one `UserError` with everything that keeps a config read from a file from running here."""
    found = [fault.text for rule in (*RULES, *(asked or CHECKS)) for fault in rule(config, {})]
    if found:
        raise UserError(*found)


CHECKS: tuple[Check, ...] = (
    environment_exists,
    whole_episodes_fit,
    loggers_are_installed,
    device_exists,
    backend_takes_it,
    runs_dir_is_a_folder,
    search_fits,
)


def checks(*, elsewhere: bool) -> tuple[Check, ...]:
    """What is asked before jobs are handed over; the devices of other machines are not known here."""
    return tuple(one for one in CHECKS if not (elsewhere and one is device_exists))
