"""Runs that fail: what is kept, what is said, and that their neighbours do not notice."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from rlcli.backends.native import NativeSession
from rlcli.collect.state import episode_seed
from rlcli.errors import EXIT_DONE, EXIT_STORAGE, StorageError
from rlcli.maths.draws import environment_seed
from rlcli.runs.train import Result, Verdict, train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.directory import list_runs
from rlcli.store.provenance import Code
from tests.runs.continuing import play
from tests.runs.tiny import BATCH, manifest_of, rows_of, tiny

FAULTY = "tests.envs.probes:ProbeFaulty-v0"
ENORMOUS = "tests.runs.environments:Enormous-v0"
Trained = Callable[..., Result]


def faulty(fault: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Settings under which the environment fails in the episode of that reset seed only."""
    return {"env__id": FAULTY, "env__kwargs": {"fault": fault, "at": 3, "seed": seed}, **changes}


SECOND = episode_seed(0, 0, 2)
"""The third episode of run seed 0: its steps 41 to 60, so update 3 of 16 steps."""


def test_a_crash_leaves_its_traceback_and_the_last_good_state(trained: Trained) -> None:
    settings = faulty("raise", SECOND, total_steps=5 * BATCH)
    result = trained(**settings)
    assert (result.status, result.exit_code, result.updates) == ("failed", 1, 2)
    place, error, message = str(result.message).split(": ", 2)
    assert place.startswith("tests/envs/broken.py:")
    where = f"environment 0, step 3 of its episode 3 (reset seed {SECOND}, action "
    assert (error, message.startswith(f"broken at step 3. In {FAULTY}, {where}")) == ("RuntimeError", True)
    log = (result.dir / "train.log").read_text()
    assert "Traceback" in log
    assert "tests/envs/broken.py" in log
    assert len(rows_of(result.dir)) == 2
    loaded = Checkpoints(result.dir).load()
    [good], _ = play([tiny(**settings)], None, 2)
    assert loaded.update == 2
    assert all(loaded.tensors[name].equal(tensor) for name, tensor in good.tensors.items())
    manifest = manifest_of(result.dir)
    assert (manifest["status"], manifest["exit_code"], manifest["updates"]) == ("failed", 1, 2)
    assert manifest["finished"] is not None


@pytest.mark.parametrize("fault", ["reward", "observation", "infinity"])
def test_numbers_that_are_not_finite_have_their_own_code(fault: str, trained: Trained) -> None:
    result = trained(**faulty(fault, SECOND, total_steps=5 * BATCH))
    assert (result.status, result.exit_code, result.updates) == ("failed", 3, 2)
    assert "non-finite" in str(result.message)
    assert Checkpoints(result.dir).load().update == 2


def test_a_failure_in_the_first_update_keeps_the_beginning(trained: Trained) -> None:
    result = trained(**faulty("raise", episode_seed(0, 1, 0)))
    assert (result.status, result.updates) == ("failed", 0)
    assert Checkpoints(result.dir).load().update == 0
    assert not (result.dir / "metrics.jsonl").exists() or rows_of(result.dir) == []


def test_a_loss_that_is_not_finite_leaves_its_batch(trained: Trained) -> None:
    result = trained(env__id=ENORMOUS, total_steps=4 * BATCH)
    assert (result.status, result.exit_code, result.updates) == ("failed", 3, 1)
    assert "the loss is not finite" in str(result.message)
    batch = load_file(result.dir / "failed_batch.safetensors")
    assert batch["targets"].shape == (BATCH,)
    assert not batch["targets"].isfinite().all()
    loaded = Checkpoints(result.dir).load()
    assert loaded.update == 1
    assert all(tensor.isfinite().all() for tensor in loaded.tensors.values())


@pytest.mark.parametrize("rate", [1e20, 1e38])
def test_parameters_that_explode_end_the_run(rate: float, trained: Trained) -> None:
    result = trained(algo__learning_rate=rate, algo__max_grad_norm=None)
    assert (result.status, result.exit_code) == ("failed", 3)
    assert "a parameter is not finite" in str(result.message)
    state = Checkpoints(result.dir).load()
    assert state.update == result.updates
    assert state.tensors["train.policy.parameters"].isfinite().all()


def test_a_member_that_fails_does_not_change_the_others(tmp_path: Path) -> None:
    settings = faulty("raise", episode_seed(1, 1, 1), total_steps=4 * BATCH)
    configs = [tiny(seed=seed, **settings) for seed in range(3)]
    results = train(configs, [tmp_path / str(seed) for seed in range(3)])
    assert [(result.status, result.exit_code) for result in results] == [
        ("finished", 0), ("failed", 1), ("finished", 0),
    ]  # fmt: skip
    assert [result.updates for result in results] == [4, 1, 4]
    for seed in (0, 2):
        [alone] = train([configs[seed]], [tmp_path / f"alone {seed}"])
        member = results[seed].dir
        assert rows_of(member) == rows_of(alone.dir)
        assert (member / "digests.txt").read_text() == (alone.dir / "digests.txt").read_text()
        assert {path.name for path in member.iterdir()} == {path.name for path in alone.dir.iterdir()}
    assert Checkpoints(results[1].dir).load().update == 1


def test_an_evaluation_that_fails_keeps_the_update_and_the_other_runs(tmp_path: Path) -> None:
    settings = faulty("raise", environment_seed(1, "evaluation", 1), eval__every=64, total_steps=4 * BATCH)
    configs = [tiny(seed=seed, **settings) for seed in range(3)]
    results = train(configs, [tmp_path / str(seed) for seed in range(3)])
    assert [result.status for result in results] == ["finished", "failed", "finished"]
    failed = results[1]
    assert [row["update"] for row in rows_of(failed.dir)] == [1, 2]
    assert Checkpoints(failed.dir).load().update == 2
    for seed in (0, 2):
        evaluated = [row["update"] for row in rows_of(results[seed].dir) if "eval/return_mean" in row]
        assert evaluated == [2, 4]


def test_a_listener_that_fails_fails_its_run(tmp_path: Path) -> None:
    def on_row(run: int, row: dict[str, Any]) -> Verdict:
        if run == 0:
            raise ZeroDivisionError("in the listener")
        return Verdict.CONTINUE

    results = train([tiny(seed=seed) for seed in (0, 1)], [tmp_path / "a", tmp_path / "b"], on_row=on_row)
    assert [result.status for result in results] == ["failed", "finished"]
    place, _, message = str(results[0].message).partition(": ")
    assert place.startswith("tests/runs/test_failures.py:")
    assert message == "ZeroDivisionError: in the listener"


def test_a_defect_of_the_backend_ends_all_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = NativeSession.update

    def breaks(self: NativeSession) -> Any:
        if self.state(0).update == 2:
            raise MemoryError("no more")
        return update(self)

    monkeypatch.setattr(NativeSession, "update", breaks)
    results = train([tiny(seed=seed) for seed in (0, 1)], [tmp_path / "a", tmp_path / "b"])
    for result in results:
        assert (result.status, result.exit_code, result.updates) == ("failed", 1, 2)
        assert "MemoryError: no more" in (result.dir / "train.log").read_text()
        assert manifest_of(result.dir)["status"] == "failed"


def full_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """The disk has room for that many more synced writes."""
    sync, left = os.fsync, [writes]

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_disk_that_fills_up_never_takes_a_good_checkpoint(tmp_path: Path) -> None:
    """Wherever it happens, the run ends with code 4 and what the index lists can be read."""
    config, writes, code = tiny(total_steps=2 * BATCH, checkpoint__every=32, eval__every=32), 0, 4
    while code != EXIT_DONE:
        run_dir = tmp_path / str(writes)
        with pytest.MonkeyPatch.context() as patch:
            full_after(patch, writes)
            try:
                [result] = train([config], [run_dir])
                code, said = result.exit_code, result.message
            except StorageError as error:
                code, said = error.exit_code, str(error)
        assert code == EXIT_DONE or (code == EXIT_STORAGE and "the disk is full" in str(said))
        if (run_dir / "checkpoints" / "index.json").exists():
            Checkpoints(run_dir).load()
        assert list(run_dir.rglob("*.new")) == []
        writes += 1
    assert writes > 15


def test_a_file_that_may_not_grow_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real refusal by the operating system, half-way through a checkpoint."""
    # Uncommitted changes of this checkout may be larger than the limit.
    monkeypatch.setattr("rlcli.store.manifest.code", lambda: Code(None, None, b""))
    config = tiny(network__hidden=(64, 64), total_steps=2 * BATCH)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        [result] = train([config], [tmp_path / "run"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.status, result.exit_code) == ("failed", 4)
    assert "2.safetensors: File too large" in str(result.message)
    assert manifest_of(result.dir)["status"] == "failed"
    assert len(rows_of(result.dir)) == 2


def test_a_failure_on_a_full_disk_tells_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_row(run: int, row: dict[str, Any]) -> Verdict:
        full_after(monkeypatch, 0)
        raise ZeroDivisionError("in the listener")

    [result] = train([tiny()], [tmp_path / "run"], on_row=on_row)
    assert (result.status, result.exit_code) == ("failed", EXIT_STORAGE)
    assert "ZeroDivisionError: in the listener Then: " in str(result.message)
    assert "the disk is full" in str(result.message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_nothing_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        train([tiny()], [tmp_path / "run"])


def test_a_run_that_cannot_begin_ends_those_begun(tmp_path: Path) -> None:
    """The third directory cannot be made; the first two must not seem to run for ever."""
    (tmp_path / "file").write_text("")
    dirs = [tmp_path / "a", tmp_path / "b", tmp_path / "file" / "c"]
    with pytest.raises(StorageError, match="Not a directory"):
        train([tiny(seed=seed) for seed in range(3)], dirs)
    assert [run["status"] for run in list_runs(tmp_path)] == ["failed", "failed"]


def test_a_record_that_cannot_be_opened_is_found_before_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"metrics\.jsonl is not a file"):
        train([tiny()], [tmp_path / "run"])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]
