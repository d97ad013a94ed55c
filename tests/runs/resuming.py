"""Run directories as a kill would leave them at each moment, and whether two runs are one and the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlcli.backends.session import Row
from rlcli.config.overrides import parse_command
from rlcli.config.schema.run import RunConfig
from rlcli.errors import EXIT_DONE
from rlcli.runs.resume import resume
from rlcli.runs.train import Result, Verdict, train
from rlcli.store.checkpoints import Checkpoints
from tests.runs.tiny import index_of, manifest_of, rows_of

FIGURES = (
    "status",
    "exit_code",
    "env_steps",
    "updates",
    "total_steps",
    "eval_return_mean",
    "best_return_mean",
)
"""Of the manifest: those that equal runs share."""


def train_with_copies(config: RunConfig, run_dir: Path, updates: Sequence[int]) -> tuple[Result, list[Path]]:
    """Trains; copies of the directory, each as it was after one of the updates, are what a kill leaves."""
    results, copies = train_all_with_copies([config], [run_dir], updates)
    return results[0], copies[0]


def train_all_with_copies(
    configs: Sequence[RunConfig], dirs: Sequence[Path], updates: Sequence[int]
) -> tuple[list[Result], list[list[Path]]]:
    """As above, of a cohort."""
    copies: list[list[Path]] = [[] for _ in configs]

    def on_row(run: int, row: Row) -> Verdict:
        if row["update"] in updates:
            copies[run].append(copy(dirs[run], f"killed after {row['update']}"))
        return Verdict.CONTINUE

    results = train(configs, dirs, on_row=on_row)
    assert all(result.exit_code == EXIT_DONE for result in results), results
    return results, copies


def copy(run_dir: Path, said: str) -> Path:
    """The directory as it is now, without the lock, whose process would be gone."""
    target = run_dir.with_name(f"{run_dir.name} {said}")
    shutil.copytree(run_dir, target, ignore=shutil.ignore_patterns("lock"))
    return target


def resumed(run_dir: Path, *overrides: str) -> Result:
    """The run brought to its end."""
    result = resume(run_dir, parse_command(overrides))
    assert result.exit_code == EXIT_DONE, result
    return result


def assert_same_run(found: Path, wanted: Path) -> None:
    """Weights, rows, digests and statistics are equal to the last bit."""
    assert rows_of(found) == rows_of(wanted)
    assert (found / "digests.txt").read_text() == (wanted / "digests.txt").read_text()
    assert_same_checkpoints(found, wanted)
    assert figures(found) == figures(wanted)


def assert_same_checkpoints(found: Path, wanted: Path) -> None:
    assert index_of(found) == index_of(wanted)
    assert_same_states(found, wanted)


def assert_same_states(found: Path, wanted: Path) -> None:
    """The same checkpoints are kept, and hold the same tensors."""
    assert index_of(found)["kept"].keys() == index_of(wanted)["kept"].keys()
    for update in index_of(wanted)["kept"]:
        left, right = (Checkpoints(run_dir).load(int(update)) for run_dir in (found, wanted))
        assert left.tensors.keys() == right.tensors.keys()
        for name, tensor in left.tensors.items():
            assert tensor.dtype == right.tensors[name].dtype, name
            assert tensor.equal(right.tensors[name]), name
    assert {path.name for path in (found / "checkpoints").iterdir()} == {
        path.name for path in (wanted / "checkpoints").iterdir()
    }


def figures(run_dir: Path) -> dict[str, Any]:
    return {name: manifest_of(run_dir)[name] for name in FIGURES}


def without_evaluations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith("eval/")} for row in rows]


def write_rows(run_dir: Path, lines: Sequence[str]) -> None:
    """Replaces metrics.jsonl."""
    (run_dir / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))


def read_rows(run_dir: Path) -> list[str]:
    """The lines of metrics.jsonl."""
    return (run_dir / "metrics.jsonl").read_text().splitlines()


def reset_manifest(run_dir: Path, **changes: Any) -> None:
    """Changes the manifest by hand."""
    (run_dir / "manifest.json").write_text(json.dumps(manifest_of(run_dir) | changes))
