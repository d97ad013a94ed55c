"""Many runs, and runs of many rows: what is read of them, counted rather than timed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlcli.store import rows
from rlcli.store.rows import TAIL
from tests.analysis.made import Maker
from tests.cli.conftest import Rlcli
from tests.runs.tiny import finished

assert finished


@pytest.fixture
def make(workplace: Path, finished: Path) -> Maker:
    return Maker(workplace / "runs", finished)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Names of the files that are opened from now on, with their numbers."""
    found: Counter[str] = Counter()
    original = os.open

    def count(path: Any, *arguments: Any, **options: Any) -> int:
        found[Path(os.fsdecode(path)).name] += 1
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "open", count)
    return found


@pytest.mark.parametrize("flags", [(), ("--json",), ("--sort", "return"), ("--algo", "ppo")], ids=" ".join)
def test_a_list_of_runs_reads_one_file_of_each(
    rlcli: Rlcli, make: Maker, opened: Counter[str], flags: tuple[str, ...]
) -> None:
    for number in range(12):
        make.run(f"r{number}", (1.0,), seed=number)
    opened.clear()
    ended = rlcli("runs", *flags)
    assert ended.code == 0
    assert len(ended.out.splitlines()) >= 12
    assert opened["manifest.json"] == 12
    assert opened.total() - opened["manifest.json"] <= 2, opened


def test_of_a_run_the_end_of_its_rows_is_read(
    rlcli: Rlcli, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make.run("long", (1.0,) * 20_000)
    assert (folder / "metrics.jsonl").stat().st_size > 3 * TAIL
    sizes = []

    def counted(opener: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def open_plain(path: Path) -> Any:
            file = opener(path)
            read = file.read

            class Counted:
                def __enter__(self) -> Counted:
                    return self

                def __exit__(self, *ended: object) -> None:
                    file.close()

                def __getattr__(self, name: str) -> Any:
                    return getattr(file, name)

                def read(self, size: int = -1) -> bytes:
                    found = read(size)
                    sizes.append(len(found))
                    return bytes(found)

            return Counted()

        return open_plain

    monkeypatch.setattr(rows, "open_plain", counted(rows.open_plain))
    ended = rlcli("show", "long")
    assert ended.code == 0
    assert "0.9" in ended.out
    assert 0 < sum(sizes) <= TAIL


def test_a_comparison_reads_each_file_of_rows_once(rlcli: Rlcli, make: Maker, opened: Counter[str]) -> None:
    make.seeds("a", [1.0, 2, 3])
    make.seeds("b", [1.0, 2, 3], algo__name="trpo")
    opened.clear()
    assert rlcli("compare", *(f"{name}-s{seed}" for name in "ab" for seed in range(3))).code == 0
    assert opened["metrics.jsonl"] == 6
    assert opened["config.yaml"] == 6
    # once to find all names, then for the summary, the version of the config, and the cohort
    assert opened["manifest.json"] == 4 * 6
