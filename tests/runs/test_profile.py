"""The profile: every second of training has a part, and measuring changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlcli.collect.environment_time import EnvironmentTime
from rlcli.errors import EXIT_DONE, StorageError
from rlcli.runs.profile import Profile
from rlcli.runs.train import train
from rlcli.store.profile import PARTS, read_profile
from tests.runs.tiny import rows_of, tiny


def trained(root: Path, *names: str, **changes: object) -> list[Path]:
    """Runs of seeds 0, 1, ... trained together."""
    dirs = [root / name for name in names]
    configs = [tiny(seed=seed, **changes) for seed in range(len(dirs))]
    assert {result.exit_code for result in train(configs, dirs, quiet=True)} == {EXIT_DONE}
    return dirs


@pytest.mark.parametrize(
    "changes", [{}, {"backend": "sb3"}, {"env__backend": "torch"}, {"env__id": "Pendulum-v1", "lag": 1}]
)
def test_a_profile_changes_no_digest_and_no_figure(tmp_path: Path, changes: dict[str, object]) -> None:
    [plain] = trained(tmp_path, "plain", **changes)
    [measured] = trained(tmp_path, "measured", profile=True, **changes)
    assert (plain / "digests.txt").read_bytes() == (measured / "digests.txt").read_bytes()
    assert rows_of(plain) == rows_of(measured)
    assert read_profile(plain) is None
    times = {name for name in rows_of(measured, without="-")[1] if name.startswith("time/")}
    assert times - set(rows_of(plain, without="-")[1]) == {"time/environment"}


@pytest.mark.broken_by(
    "the environments' time counted as acting", "runs/profile.py", "collect - environment", "collect"
)
@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")])
@pytest.mark.parametrize("backend", ["native", "sb3"])
def test_the_parts_add_up_to_the_time(tmp_path: Path, names: tuple[str, ...], backend: str) -> None:
    last = trained(tmp_path, *names, profile=True, backend=backend, checkpoint__every=32)[-1]
    found = read_profile(last)
    assert found is not None
    assert (found.runs, found.updates, tuple(found.seconds)) == (len(names), 3, PARTS)
    assert min(found.seconds.values()) > 0.0
    assert sum(found.seconds.values()) == pytest.approx(found.total, rel=1e-9)
    assert found.seconds["other"] < 0.5 * found.total


def test_runs_trained_as_one_program_share_their_times(tmp_path: Path) -> None:
    now = [0.0]
    profile = Profile(2, lambda: now[0])
    row = {
        "time/collect": 3.0,
        "time/environment": 1.0,
        "time/learn": 5.0,
        "time/estimate": 2.0,
        "time/health": 1.0,
    }
    profile.add_update([row, dict(row)])
    profile.add_update([row, row | {"time/learn": 6.0}])
    profile.add("checkpoints", 4.0)
    now[0] = 40.0
    profile.write(tmp_path)
    found = read_profile(tmp_path)
    assert found == profile.so_far()
    assert found.seconds == dict.fromkeys(PARTS, 0.0) | {
        "environment": 3.0, "acting": 6.0, "estimates": 6.0, "gradient steps": 10.0, "health": 3.0,
        "checkpoints": 4.0, "other": 8.0,
    }  # fmt: skip
    assert (found.runs, found.updates, found.total) == (2, 2, 40.0)


def test_collecting_elsewhere_is_waiting(tmp_path: Path) -> None:
    profile = Profile(1, lambda: 0.0)
    profile.add_update([{"time/collect": 3.0, "actors/learner_busy": 0.5}])
    profile.write(tmp_path)
    found = read_profile(tmp_path)
    assert found is not None
    assert found.seconds == dict.fromkeys(PARTS, 0.0) | {"waiting for actors": 3.0}


def test_only_the_run_that_asks_has_the_file(tmp_path: Path) -> None:
    dirs = [tmp_path / "with", tmp_path / "without"]
    train([tiny(profile=True), tiny(seed=1)], dirs, quiet=True)
    assert [read_profile(run) is not None for run in dirs] == [True, False]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"runs": 1, "updates": 1, "total": 1.0, "seconds": {}}']
)
def test_a_damaged_profile_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(StorageError, match=r"profile\.json is damaged"):
        read_profile(tmp_path)


class Env:
    """An environment whose reset calls its step."""

    def __init__(self, clock: list[float]) -> None:
        self._clock = clock

    def step(self, actions: np.ndarray) -> str:
        self._clock[0] += 1.0
        if actions.sum() > 0:
            raise ValueError("broken")
        return "stepped"

    def reset(self, seeds: object, mask: object) -> str:
        self._clock[0] += 2.0
        return self.step(np.zeros(1))


@pytest.mark.broken_by(
    "what one method calls counted twice", "collect/environment_time.py", "if self._depth:", "if False:"
)
def test_the_time_of_an_environment_counts_once() -> None:
    now = [0.0]
    env = Env(now)
    watch = EnvironmentTime(env, lambda: now[0])
    assert env.reset(None, mask=None) == "stepped"
    assert watch.take() == 3.0
    with pytest.raises(ValueError, match="broken"):
        env.step(np.ones(1))
    assert (watch.take(), watch.take()) == (1.0, 0.0)
