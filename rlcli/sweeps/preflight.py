"""Checks of a configuration against this machine before anything starts: environments, packages, devices."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rlcli.config.faults import Check, Fault
from rlcli.config.rules.effect import set_on_purpose
from rlcli.config.rules.table import RULES
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.errors import UserError
from rlcli.extras import extra_command
from rlcli.runs.alerts import alerts_fit
from rlcli.runs.early_stopping import stop_at_fits
from rlcli.sweeps.search.objectives import search_fits

ATARI = "env.atari."
"""Section of the preprocessing of Atari games."""


def environment_exists(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The environment can be made, the network can read its observations and the algorithm train that."""
    from rlcli.envs.registry import describe
    from rlcli.extend.tables import NETWORKS
    from rlcli.learner.model import check_network, make_model
    from rlcli.learner.table import algorithm

    try:
        spec = describe(config.env)
        if config.network.name in NETWORKS:
            return  # tried by `own_code_works`
        network = make_model(config, spec).network
        if config.network.name != "mlp":  # which suits every algorithm, or has its own rules
            check_network(network, algorithm(config), config.network.name)
    except UserError as error:
        hint = f" {error.hint}" if error.hint else ""
        for text in error.faults:
            yield Fault(text + hint, frozenset({"env.id"}))


def own_code_works(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A network and functions of the user's own give results of the right shape, tried once each."""
    if not config.imports or config.backend != "native":
        return
    from rlcli.envs.registry import describe
    from rlcli.envs.untrusted import interrupts_noticed
    from rlcli.learner.model import make_model
    from rlcli.learner.own_algorithm import check_own_algorithm
    from rlcli.learner.own_network import OwnNetwork, check_own_network
    from rlcli.nets.masked import MaskedNetwork

    try:
        spec = describe(config.env, config.network.squash)
    except UserError:
        return  # another check's fault
    try:
        with interrupts_noticed():
            network = make_model(config, spec).network
            if isinstance(network, MaskedNetwork):
                network = network.inner
            if isinstance(network, OwnNetwork):
                check_own_network(network, with_critic=config.algo.value_coef > 0)
            check_own_algorithm(config)
    except UserError as error:
        yield from (Fault(text, frozenset({"imports"})) for text in error.faults)


def gaussian_policy_fits(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Keys of Gaussian policies are for real actions, squashing for those with bounds."""
    from rlcli.envs.registry import describe

    try:
        spec = describe(config.env)
    except UserError:
        return  # a fault of `environment_exists`
    if config.network.log_std != "free" and spec.action.kind != "box":
        yield Fault(
            f"network.log_std={config.network.log_std} has no effect on {spec.id}, whose actions are "
            f"{spec.action.kind}; it needs real numbers (Box).",
            frozenset({"network.log_std", "env.id"}),
        )
    try:
        describe(config.env, config.network.squash)
    except UserError as error:
        yield Fault(f"{error.faults[0]} {error.hint}", frozenset({"network.squash", "env.id"}))


def atari_keys_fit(config: RunConfig, provenance: Mapping[str, str]) -> Iterator[Fault]:
    """Keys of the preprocessing of Atari games are set for Atari games alone."""
    from rlcli.envs.atari.settings import is_atari, raw_reason

    chosen = [name for name in KEYS if name.startswith(ATARI) and set_on_purpose(provenance, name)]
    if chosen and not is_atari(config.env):
        for name in chosen:
            yield Fault(
                f"{name} has no effect: {raw_reason(config.env)}.", frozenset({name, "env.id", "env.kwargs"})
            )


def whole_episodes_fit(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A rollout is long enough for the longest possible episode."""
    from rlcli.envs.registry import describe

    if not config.collect.whole_episodes:
        return
    try:
        longest = describe(config.env).max_episode_steps
    except UserError:
        return  # a fault of `environment_exists`
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


ACTIONS = {"multidiscrete": "MultiDiscrete", "multibinary": "MultiBinary", "box": "Box"}
"""Kinds of actions that are not Discrete."""


def divergence_is_closed(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The divergence that a mask compares has a closed form for the environment's actions."""
    from rlcli.envs.registry import describe

    algo = config.algo
    if algo.surrogate != "dppo" or algo.dppo_divergence != "tv":
        return
    with contextlib.suppress(UserError):  # a fault of `environment_exists`
        kind = describe(config.env).action.kind
        if kind != "discrete":
            yield Fault(
                f"algo.dppo_divergence=tv has no closed form for the {ACTIONS[kind]} actions of "
                f"{config.env.id}; use algo.dppo_divergence=kl.",
                frozenset({"algo.dppo_divergence", "env.id"}),
            )


def actions_can_be_valued(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """A critic of action values has one output for each of the environment's actions."""
    from rlcli.envs.registry import describe

    if config.network.critic != "q":
        return
    with contextlib.suppress(UserError):  # a fault of `environment_exists`
        kind = describe(config.env).action.kind
        if kind != "discrete":
            yield Fault(
                f"network.critic=q values each of finitely many actions; {config.env.id} has {ACTIONS[kind]} "
                "actions, not Discrete; use network.critic=v.",
                frozenset({"network.critic", "env.id"}),
            )


def loggers_are_installed(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """Packages of the chosen loggers are installed."""
    from rlcli.loggers import mlflow, tensorboard, wandb

    loggers = {"mlflow": mlflow, "tensorboard": tensorboard, "wandb": wandb}
    for name, module in loggers.items():
        if name in config.logger and (reason := module.available()) is not None:
            others = ",".join(other for other in config.logger if other != name)
            yield Fault(f"{reason}; or leave it out: logger=[{others}].", frozenset({"logger"}))


def actors_can_start(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The package of actors on a cluster is installed."""
    if config.collect.mode == "ray" and importlib.util.find_spec("ray") is None:
        yield Fault(
            f"collect.mode=ray needs ray, which is not installed: {extra_command('ray')}",
            frozenset({"collect.mode"}),
        )


def videos_can_be_made(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """With eval.video_every there are evaluations, and their environment can be drawn."""
    from rlcli.runs.video import check_filmed

    keys = frozenset({"eval.video_every", "env.id"})
    if not config.eval.video_every:
        return
    if not config.eval.episodes:
        yield Fault("eval.video_every has no effect with eval.episodes=0.", keys | {"eval.episodes"})
        return
    try:
        check_filmed(config.env)
    except UserError as error:
        hint = f" {error.hint}" if error.hint else ""
        yield from (Fault(f"eval.video_every: {text}{hint}", keys) for text in error.faults)


def device_exists(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """torch has the device on this machine."""
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
        available = "no CUDA device" if found == 0 else f"only cuda:0 to cuda:{found - 1}"
        yield Fault(f"device={config.device}: there is {available} here; device=cpu always works.", keys)


def backend_takes_it(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """The packages of the SB3 backend are installed, and it supports the configuration."""
    if config.backend != "sb3":
        return
    from rlcli.backends.sb3_mapping import missing, refusals, unobserved
    from rlcli.envs.registry import describe

    yield from refusals(config)
    package = missing(config)
    if package is not None:
        yield package
    with contextlib.suppress(UserError):  # a fault of `environment_exists`
        fault = unobserved(describe(config.env))
        if fault is not None:
            yield fault


def kernels_compute_it(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """With compute.kernel=c, the kernels are here and compute the configuration."""
    from rlcli.backends import kernel
    from rlcli.envs.registry import describe

    if config.compute.kernel == kernel.C and config.backend == "native":
        with contextlib.suppress(UserError):  # a fault of `environment_exists`
            yield from kernel.faults(config, describe(config.env))


def runs_dir_is_a_folder(config: RunConfig, _: Mapping[str, str]) -> Iterator[Fault]:
    """runs_dir is not an existing file."""
    if Path(config.runs_dir).expanduser().is_file():
        yield Fault(f"runs_dir={config.runs_dir} is a file, not a folder.", frozenset({"runs_dir"}))


def check(config: RunConfig, chosen: Sequence[Check] | None = None) -> None:
    """Raises one `UserError` with every reason why a config read from a file cannot train here."""
    found = [fault.text for rule in (*RULES, *(chosen or CHECKS)) for fault in rule(config, {})]
    if found:
        raise UserError(*found)


CHECKS: tuple[Check, ...] = (
    environment_exists,
    own_code_works,
    gaussian_policy_fits,
    atari_keys_fit,
    whole_episodes_fit,
    divergence_is_closed,
    actions_can_be_valued,
    loggers_are_installed,
    actors_can_start,
    videos_can_be_made,
    device_exists,
    backend_takes_it,
    kernels_compute_it,
    runs_dir_is_a_folder,
    stop_at_fits,
    alerts_fit,
    search_fits,
)


def checks(*, elsewhere: bool) -> tuple[Check, ...]:
    """The checks of a sweep's jobs; `elsewhere` leaves out what other machines have of their own."""
    theirs = (device_exists, kernels_compute_it, videos_can_be_made)
    return tuple(one for one in CHECKS if not (elsewhere and one in theirs))
