"""Measured cost of a cohort: seconds and memory of a few real updates, nothing of which is kept.

The session is built as training builds it. Nothing is written to disk.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlcli.backends.session import Failure, Session
from rlcli.collect.evaluation import evaluate, lanes
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.untrusted import folder_kept
from rlcli.runs.train import BACKENDS

ENOUGH = 1.0
"""Seconds of updates measured after the first, which also allocates and warms up."""
MOST = 20
"""Maximum number of updates measured after the first."""
PLAYED = 0.5
"""Seconds for which an evaluation is measured."""
PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Measured:
    """Measured cost of a cohort."""

    updates: int
    """How many updates were timed."""
    seconds_per_update: float
    evaluation_step: float
    """Seconds per step of an evaluation's environments, side by side; 0 without evaluations."""
    memory: int
    """Peak bytes of this process."""
    gpu_memory: int | None
    """Peak bytes that torch allocated on the GPU; None on the CPU."""


def measure(configs: Sequence[RunConfig]) -> Measured:
    """Cost of a cohort on this machine, from real updates in memory.

    Raises what building it raises, and the error of the first run whose update fails.
    """
    peak = Peak(configs[0].device)
    with folder_kept():
        session = BACKENDS[configs[0].backend](configs, None)
        try:
            first = _timed(session)
            longest = max(config.updates for config in configs)
            more: list[float] = []
            while first < ENOUGH and len(more) < min(MOST, longest - 1) and sum(more) < ENOUGH:
                more.append(_timed(session))
            step = _evaluation_step(session, configs[0]) if configs[0].eval.episodes else 0.0
        finally:
            session.close()
    seconds = sum(more) / len(more) if more else first
    return Measured(len(more) or 1, seconds, step, peak.memory(), peak.gpu_memory())


def _timed(session: Session) -> float:
    """Seconds of one update; raises the error of a run that fails."""
    begun = time.perf_counter()
    for row in session.update().values():
        if isinstance(row, Failure):
            raise row.error
    return time.perf_counter() - begun


def _evaluation_step(session: Session, config: RunConfig) -> float:
    """Seconds per step of the environments of an evaluation, from the beginning of one."""
    played = lanes(config.eval.episodes)
    env = registry.make(config.env, 1, num_envs=played, squash=config.network.squash)
    begun, steps = time.perf_counter(), 0

    def stopped() -> bool:
        nonlocal steps
        steps += 1
        return time.perf_counter() - begun > PLAYED

    try:
        evaluate(
            *session.policy(0), env, config.seed, config.eval.episodes,
            max_steps=config.eval.max_steps, stopped=stopped,
        )  # fmt: skip
    finally:
        env.close()
    return (time.perf_counter() - begun) / max(1, steps)


class Peak:
    """Peak memory of this process, and of torch on a GPU, since this was made."""

    def __init__(self, device: str) -> None:
        self._device = device if device.startswith("cuda") else None
        with contextlib.suppress(OSError):  # resets the peak on Linux; else it is that of the whole process
            (PROCESS / "clear_refs").write_text("5")
        if self._device is not None:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def memory(self) -> int:
        """Peak resident bytes."""
        with contextlib.suppress(OSError):
            for line in (PROCESS / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def gpu_memory(self) -> int | None:
        """Peak bytes that torch allocated on the GPU; None on the CPU."""
        if self._device is None:
            return None
        import torch

        return int(torch.cuda.max_memory_allocated(self._device))
