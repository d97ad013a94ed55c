"""What holds for every test, however pytest is started: no upload, one thread, nobody's own runs.

Temporary directories are in memory where there is room: runs synchronise every checkpoint and manifest with
the disk, and waiting for a disk that nobody reads again takes longer than many a test.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

os.environ |= {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
PROCESSOR = Path("/proc/cpuinfo")
if PROCESSOR.is_file() and "GenuineIntel" not in PROCESSOR.read_text(encoding="utf-8", errors="replace"):
    # On processors of other makers MKL chooses kernels by where results lie in memory: a run rounds otherwise
    # alone than in a cohort, which then trains one by one. What is tested is how they train together.
    os.environ.setdefault("MKL_CBWR", "AUTO")
for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY", "RLCLI_RUNS"):
    os.environ.pop(name, None)

# A process keeps the first token that Ray had it read, or none: all clusters of the tests have this one.
os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", "of-tests"

if importlib.util.find_spec("triton") is not None:
    # Part of torch's builds for CUDA. Loaded by torch.optim after a test that filmed, it ends the process.
    importlib.import_module("triton")

ROOT = Path(__file__).parent
MEMORY = Path("/dev/shm")
"""A file system in memory, on Linux."""
ROOM = 2 * 2**30
"""Bytes that must be free there; the suite needs a tenth, as a test's directory goes when it has passed."""
LONGEST = (
    "test_examples.py", "runs/test_faults.py", "sweeps/test_resume.py", "analysis/report/test_browser.py",
    "cli/test_compare.py", "cli/test_sync.py", "mutations/test_mutations.py",
    "sweeps/launchers/test_ray.py", "actors/test_ray.py", "runs/test_resume.py", "nets/test_stacking.py",
    "cli/test_train.py",
    "backends/test_probes.py", "sweeps/search/test_loop.py", "backends/test_spaces.py",
    "backends/test_sb3.py", "sweeps/launchers/test_submitit.py", "sweeps/launchers/test_joblib.py",
    "sweeps/test_multirun.py", "envs/test_array.py", "test_packaging.py", "cli/hostile/test_configs.py",
    "cli/hostile/test_searches.py", "cli/hostile/test_modules.py", "cli/test_reproduce.py",
    "test_same_numbers.py",
)  # fmt: skip
"""Files that take longest, the longest first: the order before a run of all tests here was timed."""
SECONDS = "rlcli/seconds"
"""Where pytest's cache has how long the tests of each file took, in the last run of all of them."""


def in_memory() -> bool:
    """Whether temporary directories can be there; some tests start programs that they write."""
    return (
        MEMORY.is_dir()
        and os.access(MEMORY, os.W_OK)
        and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(MEMORY).free > ROOM
    )


if "PYTEST_DEBUG_TEMPROOT" not in os.environ and in_memory():
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


class Stopwatch:
    """Adds up how long the tests of each file take, and leaves it for the order of the next run."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of a setup, a call or a teardown."""
        self.seconds[file_of(ROOT.parent / report.nodeid.partition("::")[0])] += report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Where tests were chosen one by one, or the run was cut short, files seem shorter than they are."""
        config = session.config
        cache = getattr(config, "cache", None)
        some = config.option.keyword or any("::" in word for word in config.args)
        other = config.option.markexpr != "not slow"
        if cache is not None and not (some or other or session.shouldstop or session.shouldfail):
            took = {file: round(seconds, 1) for file, seconds in self.seconds.items()}
            cache.set(SECONDS, cache.get(SECONDS, {}) | took)


def file_of(path: Path) -> str:
    """A file of tests as LONGEST names it."""
    return Path(os.path.relpath(path, ROOT)).as_posix()


def estimate(file: str, seconds: dict[str, float]) -> float:
    """How long a file takes: as last measured, else by LONGEST, of which each takes longer than any other."""
    unmeasured = 1e6 - LONGEST.index(file) if file in LONGEST else 0.0
    return seconds.get(file, unmeasured)


def pytest_configure(config: pytest.Config) -> None:
    """The process that hears of every test measures."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopwatch())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files come first: begun last, one would keep a worker when the others are done."""
    cache = getattr(config, "cache", None)
    seconds = {} if cache is None else cache.get(SECONDS, {})
    items.sort(key=lambda item: -estimate(file_of(item.path), seconds))


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Any:
    """Connections to other machines are refused: a test that uploads fails, whoever is logged in."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError(f"tests reach no network: {address}")
        connect(self, address)

    socket.socket.connect = local_only  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory whose `runs/` takes the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCLI_RUNS", raising=False)
    return tmp_path


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A state directory for the tests: which runs are one's own is remembered there."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
