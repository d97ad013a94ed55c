"""Cohorts: which jobs of a sweep train together, those of one shape in parts that fit the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from rlcli.config.schema.run import RunConfig
from rlcli.config.shape import shape
from rlcli.envs import registry
from rlcli.learner.model import make_model
from rlcli.nets.network import parameter_count

SMALLEST = 8
"""Minimum runs of a part that is worth a process of its own: fewer are slower apart than together."""
COPIES = 12
"""Float32 numbers in memory for each unit of the network at each sample of an update, and each parameter."""
OTHERS = 64
"""Numbers per sample beside the units of a network."""
SHARE = 0.5
"""Share of the free memory that cohorts may use."""


@dataclass(frozen=True)
class Machine:
    """The resources that jobs are divided for."""

    cores: int
    memory: int
    """Free bytes."""
    workers: int | None = None
    """Cohorts that a launcher trains side by side; None: as many as the cores allow."""
    divided: bool = False
    """Whether each worker gets a part, however small."""
    max_size: int | None = None
    """Maximum runs of a cohort; None: as many as fit the memory."""


def this_machine() -> Machine:
    """The cores this process may use and the memory that is free."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def workers(config: RunConfig, machine: Machine) -> int:
    """How many processes train side by side."""
    return config.cohort.workers or machine.workers or max(1, machine.cores // config.compute.threads)


def cohorts(
    configs: Sequence[RunConfig], machine: Machine, trials: Sequence[int | None] = ()
) -> list[list[int]]:
    """The positions of the jobs of each cohort, the first job's first; each job is in one.

    A shape with many jobs is divided evenly: into parts of at most `cohort.max_size` that fit the memory, and
    into one part per worker if parts stay large enough or the number of workers was asked for.
    Stable-Baselines3 trains runs one by one
    anyway, and runs whose actors are free train so. The seeds of a trial (`trials` has the trial of each job)
    stay together if a cohort has room for them, since the pruner compares them together.
    """
    alike: dict[str, list[int]] = {}
    for position, config in enumerate(configs):
        alike.setdefault(json.dumps(shape(config), sort_keys=True), []).append(position)
    found = []
    for positions in alike.values():
        config, count, room = configs[positions[0]], len(positions), largest(configs[positions[0]], machine)
        blocks = _blocks(positions, trials, room)
        busy = -(-workers(config, machine) // len(alike))
        parts = max(
            -(-len(blocks) // (room // max(map(len, blocks)))),
            min(busy, len(blocks), count if config.cohort.workers or machine.divided else count // SMALLEST),
        )
        sizes = [len(blocks) // parts + (part < len(blocks) % parts) for part in range(parts)]
        for size in sizes:
            found.append([position for block in blocks[:size] for position in block])
            blocks = blocks[size:]
    return sorted(found)


def _blocks(positions: Sequence[int], trials: Sequence[int | None], room: int) -> list[list[int]]:
    """Jobs that stay together: those of one trial if a cohort has room for them, else single jobs."""
    together: dict[tuple[int, int], list[int]] = {}
    for position in positions:
        trial = trials[position] if trials else None
        together.setdefault((1, trial) if trial is not None else (0, position), []).append(position)
    blocks = list(together.values())
    return blocks if max(map(len, blocks)) <= room else [[position] for position in positions]


def largest(config: RunConfig, machine: Machine) -> int:
    """Maximum jobs of this config in one cohort."""
    if config.backend != "native" or config.collect.is_free:
        return 1
    memory = SHARE * machine.memory / workers(config, machine)
    fitting = max(1, int(memory // footprint(config)))
    return min(fitting, config.cohort.max_size or fitting, machine.max_size or fitting)


def footprint(config: RunConfig) -> int:
    """Estimated bytes that one run uses while it learns."""
    network = make_model(config, registry.describe(config.env)).network
    algo = config.algo
    remembered = algo.auxiliary_every if algo.step_rule == "phasic" else algo.reuse
    samples = COPIES * config.batch_size * remembered * (network.units + OTHERS)
    return 4 * (samples + parameter_count(network) * (COPIES + config.lag + algo.reuse - 1))
