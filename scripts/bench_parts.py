"""What a part of `make bench` measures in a process of its own; prints its numbers on the last line.

bench_parts.py peer CONTEST UPDATES            trains the peer, and prints nothing of use
bench_parts.py cost RUNS ENVS UPDATES          microseconds per env step of an update
bench_parts.py digests UPDATES                 seconds of an update, and of its digests
bench_parts.py outside CONTEST UPDATES         shares of the time in environments and in kernels
"""

from __future__ import annotations

import dataclasses
import io
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench_contests import BENCHMARK_SHAPE, CONTESTS, IN_C, SETTINGS

WARM_UP = 5
"""Updates left out at the start, where single updates are timed."""
COST_STEPS = 16
"""Steps of a rollout where costs per step are compared: 256 runs of 4,096 environments fit the memory."""


def peer(name: str, updates: int) -> None:
    """Trains the peer, as a script of its users would."""
    import torch

    torch.set_num_threads(1)
    work = CONTESTS[name].work
    work.peer().learn(updates * work.batch)


def cost(runs: int, envs: int, updates: int) -> float:
    """Microseconds per env step of the update of a cohort, the median after a first update."""
    from rlcli.backends.native import NativeSession
    from rlcli.config.compose import compose

    work = BENCHMARK_SHAPE._replace(num_envs=envs, rollout_steps=COST_STEPS, gamma=0.98)
    config = compose([*work.command[1:], *SETTINGS[IN_C]]).config
    session = NativeSession([dataclasses.replace(config, seed=seed) for seed in range(runs)])
    session.update()
    spent = []
    for _ in range(updates):
        begin = time.perf_counter()
        session.update()
        spent.append(time.perf_counter() - begin)
    session.close()
    return statistics.median(spent) / (runs * work.batch) * 1e6


def digests(updates: int) -> tuple[float, float]:
    """Seconds of an update and of its digests, medians, of our session alone in this process."""
    from rlcli.backends.native import NativeSession
    from rlcli.config.compose import compose
    from rlcli.store.digests import Digests

    session = NativeSession([compose([*BENCHMARK_SHAPE.command[1:], *SETTINGS[IN_C]]).config])
    spent: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        chain = Digests(Path(root))
        for _ in range(WARM_UP + updates):
            begin = time.perf_counter()
            row = session.update()[0]
            done = time.perf_counter()
            assert isinstance(row, dict)
            chain.add(row, session.views(0))
            spent.append((done - begin, time.perf_counter() - done))
        chain.close()
    session.close()
    update, digest = zip(*spent[WARM_UP:], strict=True)
    return statistics.median(update), statistics.median(digest)


class Timed:
    """A library whose functions add their seconds up."""

    def __init__(self, library: Any) -> None:
        self._library, self.seconds = library, 0.0

    def __getattr__(self, name: str) -> Any:
        return TimedFunction(self, getattr(self._library, name))


class TimedFunction:
    """A function of it; its types are set as those of the function itself."""

    def __init__(self, timed: Timed, function: Any) -> None:
        object.__setattr__(self, "_timed", timed)
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)

    def __call__(self, *arguments: Any) -> Any:
        """Calls it, and adds its seconds."""
        begin = time.perf_counter()
        try:
            return self._function(*arguments)
        finally:
            self._timed.seconds += time.perf_counter() - begin


def outside(name: str, updates: int) -> tuple[float, float, float]:
    """Shares of the time of `rlcli train profile=true`: in environments, in kernels, in neither.

    Environments that are stepped in C count as kernels.
    """
    from rlcli.cli import main
    from rlcli.kernels import library
    from rlcli.store.profile import read_profile

    timed = Timed(library.library())
    library.library = lambda: timed
    work = CONTESTS[name].work
    with tempfile.TemporaryDirectory(prefix="rlcli-bench-") as root:
        length = f"total_steps={updates * work.batch}", f"runs_dir={root}"
        sys.argv = ["rlcli", *work.command, *SETTINGS[IN_C], *length, "profile=true"]
        with redirect_stdout(io.StringIO()):
            try:
                main.main()
            except SystemExit as end:
                if end.code:
                    raise
        (run_dir,) = (path.parent for path in Path(root).glob("*/profile.json"))
        profile = read_profile(run_dir)
    assert profile is not None
    environment, kernels = profile.seconds["environment"] / profile.total, timed.seconds / profile.total
    return environment, kernels, 1.0 - environment - kernels


PARTS = {"peer": peer, "cost": cost, "digests": digests, "outside": outside}


def main() -> None:
    """Measure one part."""
    part, *words = sys.argv[1:]
    found = PARTS[part](*(int(word) if word.isdigit() else word for word in words))
    print(*(found if isinstance(found, tuple) else [found]))


if __name__ == "__main__":
    main()
