"""Checks of this machine: torch, kernels, GPU, processor, memory, threads, disk, training, cohorts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import build
from rlcli.errors import UserError
from rlcli.kernels import library
from rlcli.kernels.build import LIBRARY
from rlcli.store.directory import runs_root
from rlcli.store.provenance import processor as name_of_processor
from rlcli.sweeps.cohorts import SHARE, this_machine
from rlcli.sweeps.findings import GB, MB, Finding, Status, size, tilde
from rlcli.text import described

NEEDED, ROOMY = 100 * MB, 2 * GB
"""Bytes on disk below which runs cannot be saved, and below which a finding says so."""
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MKL_CBWR", "CUDA_VISIBLE_DEVICES")
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHAPES: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "ppo, CartPole-v1, hidden 64-64": (4, {}),
    "ppo, CartPole-v1, hidden 17-5, odd sizes": (
        3,
        {
            "network.hidden": (17, 5), "env.num_envs": 3, "algo.rollout_steps": 35, "algo.minibatches": 1,
        },
    ),
    "ppo, Pendulum-v1, hidden 33": (
        5,
        {
            "env.id": "Pendulum-v1", "network.hidden": (33,), "env.num_envs": 5, "algo.rollout_steps": 27,
            "algo.minibatches": 5,
        },
    ),
    "ppo, Acrobot-v1, hidden 128-128": (
        8,
        {"env.id": "Acrobot-v1", "network.hidden": (128, 128), "env.num_envs": 16, "algo.rollout_steps": 64},
    ),
}  # fmt: skip
"""Cohorts whose runs are compared with lone ones: how many runs, and their settings."""


def torch_build() -> Iterator[Finding]:
    """Version and kernels of torch."""
    try:
        import torch
    except Exception as error:
        yield Finding("torch", Status.BROKEN, described(error), "pip install --force-reinstall torch")
        return
    capability, mkl = torch.backends.cpu.get_cpu_capability(), torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    text = f"{torch.__version__}, {capability}, {'with' if mkl else 'without'} MKL"
    yield Finding("torch", Status.OK, text, facts={"cpu_capability": capability, "mkl": mkl})


def kernels() -> Iterator[Finding]:
    """The kernels in C, or why training uses torch without them."""
    facts: dict[str, Any] = {"library": str(LIBRARY), "instruction_sets": list(library.available())}
    missing = library.problem()
    if missing is not None:
        text = f"none, so training uses torch, which is slower: {missing}"
        yield Finding("kernels", Status.NOTE, text, library.remedy(), facts)
        return
    try:
        used = library.instruction_set()
    except UserError as error:
        yield Finding("kernels", Status.BROKEN, error.faults[0], f"unset {library.FORCED}", facts)
        return
    version = library.version()
    text = f"c ({used}), version {version} of the numbers, {tilde(LIBRARY)}"
    yield Finding("kernels", Status.OK, text, facts=facts | {"used": used, "version": version})


def gpu() -> Iterator[Finding]:
    """GPUs that torch can train on."""
    import torch

    cuda: str | None = torch.version.cuda
    if torch.cuda.is_available():
        properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        names = [f"{one.name}, {one.total_memory / GB:.0f} GB" for one in properties]
        text = "; ".join(f"cuda:{index}: {name}" for index, name in enumerate(names))
        advice = "device=cuda trains there; lone runs and cohorts then agree within a tolerance only."
        yield Finding("gpu", Status.OK, f"{text} (CUDA {cuda})", advice, {"cuda": cuda, "devices": names})
        return
    facts: dict[str, Any] = {"cuda": cuda, "devices": []}
    if cuda is not None:
        reason = f"none found by this torch, which is built for CUDA {cuda}"
        advice = (
            "If there is one: nvidia-smi has to list it, and its driver has to support that CUDA version."
        )
    else:
        reason = "none: this torch is built without CUDA"
        advice = "If there is one: install a CUDA build of torch (pytorch.org/get-started)."
    yield Finding("gpu", Status.OK, reason, f"{advice} Small networks train faster on the CPU.", facts)


def processor() -> Iterator[Finding]:
    """The processor, and the cores this process may use."""
    cpu, cores = name_of_processor(), this_machine().cores
    text = f"{cpu}, {cores} core{'s' if cores > 1 else ''} for this process"
    yield Finding("processor", Status.OK, text, facts={"cpu": cpu, "cores": cores})


def memory() -> Iterator[Finding]:
    """Free memory, and the limit of a container."""
    free = this_machine().memory
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _memory_limit()
    text = f"{size(free)} of {size(total)} free; cohorts are sized to use {SHARE:.0%} of it"
    facts = {"free": free, "total": total, "limit": limit}
    if limit is not None and limit < free:
        advice = "Sweeps may need a smaller cohort.max_size: cohorts are sized by what the machine has free."
        yield Finding("memory", Status.NOTE, f"{text}. Limit of the container: {size(limit)}", advice, facts)
    elif free < GB:
        advice = "A small run takes about 400 MB; close other programs, or set cohort.max_size for sweeps."
        yield Finding("memory", Status.NOTE, text, advice, facts)
    else:
        yield Finding("memory", Status.OK, text, facts=facts)


def _memory_limit() -> int | None:
    try:
        return int(MEMORY_LIMIT.read_text())
    except (OSError, ValueError):  # no limit, or another system
        return None


def threads() -> Iterator[Finding]:
    """Threads of a run, and variables that set them."""
    threads, cores = RunConfig().compute.threads, this_machine().cores
    chosen = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    at_once = max(1, cores // threads)
    cohorts = "1 cohort" if at_once == 1 else f"up to {at_once} cohorts"
    text = f"{threads} per run (compute.threads); sweeps train {cohorts} at once"
    text += "".join(f", {name}={value}" for name, value in chosen.items())
    yield Finding("threads", Status.OK, text, facts={"threads": threads, "environment": chosen})


def runs() -> Iterator[Finding]:
    """The folder of runs, whether it can be written to, and the disk space left."""
    root = runs_root()
    source = "RLCLI_RUNS" if os.environ.get("RLCLI_RUNS") else "the current folder"
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    facts = {"folder": str(root.absolute()), "source": source}
    text = f"saved to {tilde(root.absolute())} (from {source})"
    elsewhere = "Another folder: runs_dir=FOLDER, or RLCLI_RUNS=FOLDER in the environment."
    if not existing.is_dir():
        yield Finding("runs", Status.BROKEN, f"{text}: {tilde(existing)} is a file", elsewhere, facts)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        text += f": {tilde(existing)} cannot be written to"
        yield Finding("runs", Status.BROKEN, text, elsewhere, facts)
    else:
        yield Finding("runs", Status.OK, text, elsewhere, facts)
    yield _disk(existing)


def _disk(folder: Path) -> Finding:
    left = shutil.disk_usage(folder).free
    text, facts = f"{size(left)} left for runs", {"free": left}
    if left < NEEDED:
        return Finding("disk", Status.BROKEN, text, "Free some space, or set runs_dir=FOLDER.", facts)
    if left < ROOMY:
        return Finding("disk", Status.NOTE, text, "Enough for small runs; runs_dir=FOLDER moves them.", facts)
    return Finding("disk", Status.OK, text, facts=facts)


def training() -> Iterator[Finding]:
    """Speed and memory of training: a few updates of the default run."""
    from rlcli.sweeps.measure import measure

    found = measure([_config({"eval.episodes": 0})])
    steps = RunConfig().batch_size / found.seconds_per_update
    text = f"ppo on CartPole-v1: {steps:,.0f} steps/s, {size(found.memory)} of memory"
    yield Finding("training", Status.OK, text, facts={"steps_per_second": steps, "memory": found.memory})


def exactness() -> Iterator[Finding]:
    """Whether runs of a cohort have the bits of lone runs on this machine."""
    from rlcli.sweeps.cohort_job import mkl_advice, same_as_alone

    differing = []
    for name, (runs, changes) in SHAPES.items():
        if not same_as_alone([_config({**changes, "seed": seed}) for seed in range(runs)]):
            differing.append(name)
    facts = {"checked": list(SHAPES), "differing": differing}
    if not differing:
        text = f"runs of a cohort have the bits of lone runs ({len(SHAPES)} of {len(SHAPES)} shapes)"
        yield Finding("cohorts", Status.OK, text, facts=facts)
        return
    text = (
        f"runs trained together round differently than alone here, in {len(differing)} of "
        f"{len(SHAPES)} shapes: {'; '.join(differing)}. Sweeps of such shapes train their "
        "runs one by one: slower, with the same numbers"
    )
    advice = (
        [*mkl_advice(), "Then run rlcli doctor again."] if mkl_advice() else ["Nothing; results are right."]
    )
    yield Finding("cohorts", Status.NOTE, text, " ".join(advice), facts)


def _config(changes: Mapping[str, Any]) -> RunConfig:
    """Defaults with some changes, resolved."""
    return build(dict(changes)).resolved()
