"""Ctrl-C and SIGTERM: the first saves, the second ends at once."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rlcli.backends.session import Row
from rlcli.collect.state import episode_seed
from rlcli.maths.draws import environment_seed
from rlcli.runs.train import Result, Verdict, train
from rlcli.store.checkpoints import Checkpoints
from tests.forked import Forked
from tests.runs.continuing import play
from tests.runs.tiny import BATCH, manifest_of, rows_of, tiny

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds a process has before a test gives up."""
SAID = "said"


@contextmanager
def long_run(run_dir: Path, **changes: Any) -> Iterator[Forked]:
    """A process that trains for ever; what it writes to stderr is in a file beside the run."""

    def run() -> NoReturn:
        [result] = train([tiny(**{"total_steps": 10**9} | changes)], [run_dir])
        sys.exit(result.exit_code)

    with Path(os.devnull).open("r+b") as null, run_dir.with_name(SAID).open("wb") as said:
        process = Forked(run, [], (null.fileno(), null.fileno(), said.fileno()), os.environ)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(what: Callable[[], bool], process: Forked) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert process.poll() is None, "the process ended"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends(number: signal.Signals, code: int, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    metrics = run_dir / "metrics.jsonl"
    with long_run(run_dir) as process:
        wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, process)
        os.kill(process.pid, number)
        assert process.wait(PATIENCE) == code
    manifest, rows = manifest_of(run_dir), rows_of(run_dir)
    assert (manifest["status"], manifest["exit_code"]) == ("interrupted", code)
    assert manifest["updates"] == len(rows) == rows[-1]["update"] == Checkpoints(run_dir).load().update


@pytest.mark.broken_by(
    "an environment that hangs outlives SIGTERM",
    "runs/stop.py",
    "            end(EXIT_SIGTERM)\n",
    "            return\n",
)
@pytest.mark.broken_by(
    "any call is taken for one call",
    "envs/stuck.py",
    "call is None or call is not self._call",
    "call is None or self._call is None",
    case="False",
)
@pytest.mark.parametrize("hangs", [True, False])
def test_sigterm_ends_at_once_what_hangs_in_an_environment_alone(
    hangs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlcli.runs.stop.LONGEST_CALL", 0.6)
    monkeypatch.setattr("rlcli.runs.stop.LOOK_EVERY", 0.05)
    run_dir = tmp_path / "run"
    metrics = run_dir / "metrics.jsonl"
    name = "Stuck" if hangs else "Slow"
    env = {"env__id": f"tests.runs.environments:{name}-v0", "env__kwargs": {"seed": episode_seed(0, 1, 1)}}
    with long_run(run_dir, **env) as process:
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") == 3, process)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 143
    said = run_dir.with_name(SAID).read_text()
    assert manifest_of(run_dir)["status"] == "interrupted"
    assert manifest_of(run_dir)["message"] == ("ended at once" if hangs else "after update 4")
    where = re.search(r"environments.py:\d+: A call of the environment has not returned for 1 s\.\n", said)
    assert bool(where) == hangs
    assert ("Quit run run at once." in said) == hangs


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    metrics = run_dir / "metrics.jsonl"
    stuck = {"env__id": "tests.runs.environments:Stuck-v0", "env__kwargs": {"seed": episode_seed(0, 1, 1)}}
    with long_run(run_dir, **stuck) as process:
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") == 3, process)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    shown = run_dir.with_name(SAID).read_text()
    again = f"Resume it with: rlcli resume {run_dir}\n"
    assert f"Quit run run at once. It has no checkpoint yet, so it starts again.\n{again}" in shown
    manifest = manifest_of(run_dir)
    assert (manifest["status"], manifest["message"]) == ("interrupted", "ended at once")
    assert manifest["updates"] == 3


def interrupting(seed: int, **changes: Any) -> dict[str, Any]:
    """Settings under which Ctrl-C comes in the episode of that reset seed."""
    return {"env__id": "tests.runs.environments:Interrupting-v0", "env__kwargs": {"seed": seed}, **changes}


def test_ctrl_c_finishes_the_update_and_saves_it(tmp_path: Path) -> None:
    settings = interrupting(episode_seed(0, 1, 1), total_steps=10 * BATCH)
    [result] = train([tiny(**settings)], [tmp_path / "run"])
    assert (result.status, result.exit_code, result.updates) == ("interrupted", 130, 4)
    assert result.message == "after update 4"
    assert len(rows_of(result.dir)) == 4
    calm = interrupting(-1, total_steps=10 * BATCH)
    [state], _ = play([tiny(**calm)], None, 4)
    loaded = Checkpoints(result.dir).load()
    assert all(loaded.tensors[name].equal(tensor) for name, tensor in state.tensors.items())


def test_ctrl_c_reaches_every_member(tmp_path: Path) -> None:
    settings = interrupting(episode_seed(1, 0, 1), total_steps=10 * BATCH)
    results = train([tiny(seed=seed, **settings) for seed in range(3)], [tmp_path / str(n) for n in range(3)])
    assert [(result.status, result.exit_code, result.updates) for result in results] == 3 * [
        ("interrupted", 130, 4)
    ]
    assert [Checkpoints(result.dir).load().update for result in results] == [4, 4, 4]


def test_ctrl_c_ends_an_evaluation(tmp_path: Path) -> None:
    settings = interrupting(environment_seed(0, "evaluation", 1), total_steps=10 * BATCH, eval__every=64)
    [result] = train([tiny(**settings)], [tmp_path / "run"])
    assert (result.status, result.exit_code, result.updates) == ("interrupted", 130, 2)
    assert "eval/return_mean" not in rows_of(result.dir)[-1]
    assert Checkpoints(result.dir).load().update == 2


def test_ctrl_c_in_the_final_evaluation_leaves_the_run_unfinished(tmp_path: Path) -> None:
    settings = interrupting(environment_seed(0, "evaluation", 1), total_steps=2 * BATCH)
    [result] = train([tiny(**settings)], [tmp_path / "run"])
    assert (result.status, result.exit_code, result.updates) == ("interrupted", 130, 2)
    assert Checkpoints(result.dir).load().update == 2
    assert manifest_of(result.dir)["status"] == "interrupted"


def test_a_run_that_was_done_is_finished_but_the_signal_is_passed_on(tmp_path: Path) -> None:
    def on_row(run: int, row: Row) -> Verdict:
        if row["update"] == 2:
            signal.raise_signal(signal.SIGTERM)
        return Verdict.CONTINUE

    config = tiny(total_steps=2 * BATCH)
    [result] = train([config], [tmp_path / "run"], on_row=on_row)
    assert (result.status, result.exit_code) == ("finished", 143)
    assert (manifest_of(result.dir)["status"], manifest_of(result.dir)["exit_code"]) == ("finished", 0)


def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is shown beside the progress display."""
    shown: list[str] = []
    monkeypatch.setattr("rlcli.runs.recorder.Recorder.announce", lambda _, text: shown.append(text))
    return shown


def test_the_first_signal_names_the_run_its_resume_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = messages(monkeypatch)
    run_dir = tmp_path / "my run"
    train([tiny(**interrupting(episode_seed(0, 1, 1), total_steps=10 * BATCH))], [run_dir])
    assert [re.sub(r"about \d s", "about 0 s", text) for text in shown] == [
        "Stopping run my run after this update, in about 0 s. Press Ctrl-C again to quit at once.\n"
        f"Resume it with: rlcli resume '{run_dir}'"
    ]


def test_a_run_in_the_default_place_has_its_id_for_a_reference(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = messages(monkeypatch)
    settings = interrupting(episode_seed(0, 1, 1), total_steps=10 * BATCH)
    [result] = train([tiny(**settings)], [Path("runs/one")])
    assert f"rlcli resume {result.id}" in shown[0]


def test_a_job_of_a_sweep_names_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = messages(monkeypatch)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/sweep.json").write_text("{}")
    settings = interrupting(episode_seed(0, 1, 1), total_steps=10 * BATCH)
    train([tiny(**settings)], [tmp_path / "sweep/job"])
    assert shown[0].startswith("Stopping sweep sweep after this update")
    assert shown[0].endswith(f"rlcli resume {tmp_path / 'sweep'}")


class Collecting:
    """Reports of progress within updates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ticks: list[tuple[int, str]] = []
        monkeypatch.setattr("rlcli.runs.recorder.Recorder.tick", lambda _, *tick: self.ticks.append(tick))


@pytest.mark.parametrize("backend", ["native", "sb3"])
def test_progress_within_updates_is_reported_and_changes_no_numbers(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sb3":
        pytest.importorskip("stable_baselines3")
    # Kernels in C take these few steps in one call.
    settings: dict[str, Any] = {"backend": backend, "eval__every": 32, "compute__kernel": "torch"}
    [calm] = train([tiny(**settings)], [tmp_path / "calm"])
    told = Collecting(monkeypatch)
    for module in ("rlcli.collect.collector", "rlcli.runs.evaluations"):
        monkeypatch.setattr(f"{module}.REPORT_EVERY", 0.0)
    [result] = train([tiny(**settings)], [tmp_path / "told"])
    collected = [(steps, "collecting" if steps < BATCH else "learning") for steps in range(2, BATCH + 1, 2)]
    assert [tick for tick in told.ticks if tick[1] != "evaluating"] == 3 * collected
    assert (BATCH, "evaluating") in told.ticks
    assert rows_of(result.dir) == rows_of(calm.dir)
    assert (result.dir / "digests.txt").read_text() == (calm.dir / "digests.txt").read_text()


def test_progress_is_reported_a_few_times_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Collecting(monkeypatch)
    train([tiny()], [tmp_path / "run"])
    assert len(told.ticks) < 10
    assert told.ticks.count((BATCH, "learning")) == 3


def test_handlers_are_put_back(tmp_path: Path) -> None:
    def theirs(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        result: Result = train([tiny()], [tmp_path / "run"])[0]
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.status == "finished"


def test_an_announcement_that_fails_does_not_keep_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("reentrant call")

    monkeypatch.setattr("rlcli.runs.recorder.Recorder.announce", fails)
    settings = interrupting(episode_seed(0, 0, 0), total_steps=10 * BATCH)
    [result] = train([tiny(**settings)], [tmp_path / "run"])
    assert (result.status, result.updates) == ("interrupted", 1)
