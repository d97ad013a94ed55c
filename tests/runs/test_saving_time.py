"""Checkpoints wait for `checkpoint.seconds`; when they are made changes nothing that a run computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import EXIT_DONE, UserError
from rlcli.runs import recorder as recording
from rlcli.runs.saving_time import SavingTime
from rlcli.runs.train import train
from tests.runs.resuming import resumed, train_with_copies
from tests.runs.tiny import index_of, rows_of, tiny


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made_at(saving: SavingTime, clock: Clock, took: float, runs: int = 1, updates: int = 300) -> list[int]:
    """Updates after which a checkpoint is made; each update takes a second and asks for one."""
    made = []
    for update in range(updates):
        clock.now += 1.0
        saving.update(True, runs)
        if saving.due:
            saving.begin()
            clock.now += took
            saving.end()
            made.append(update)
    return made


@pytest.mark.broken_by(
    "checkpoints take more time than they may",
    "runs/saving_time.py",
    "runs / SHARE - 1",
    "runs / 0.1 - 1",
)
@pytest.mark.parametrize("runs", [1, 3])
def test_checkpoints_take_at_most_their_share_of_the_time(clock: Clock, runs: int) -> None:
    made = made_at(SavingTime("auto", clock), clock, took=0.5, runs=runs)
    assert made[0] == 0
    share = 0.5 * runs / (made[-1] - made[0] + 0.5 * (len(made) - 1)) * (len(made) - 1)
    assert 0.015 < share <= 0.02


@pytest.mark.parametrize(("seconds", "apart"), [(0.0, 1), (1.0, 1), (10.0, 10), (9.5, 10)])
def test_a_number_is_the_minimum_time_between_two(clock: Clock, seconds: float, apart: int) -> None:
    made = made_at(SavingTime(seconds, clock), clock, took=0.0, updates=35)
    assert made == list(range(0, 35, apart))


@pytest.mark.broken_by(
    "a checkpoint that has to wait forgotten",
    "runs/saving_time.py",
    "self._owed = self._owed or reached",
    "self._owed = reached",
)
def test_one_that_waits_is_made_as_soon_as_it_may(clock: Clock) -> None:
    saving = SavingTime(10.0, clock)
    due = []
    for update in range(20):
        clock.now = float(update)
        saving.update(reached=update in (1, 5))
        if saving.due:
            due.append(update)
            saving.begin()
            saving.end()
    assert due == [1, 11]


def test_without_a_schedule_none_is_due(clock: Clock) -> None:
    saving = SavingTime("auto", clock)
    saving.update(False)
    assert not saving.due


def test_the_first_and_the_last_of_a_run_do_not_wait(tmp_path: Path) -> None:
    run = tmp_path / "run"
    [result] = train([tiny(checkpoint__every=32, checkpoint__seconds=1e6, total_steps=320)], [run])
    assert result.exit_code == EXIT_DONE
    assert list(index_of(run)["kept"]) == ["1", "10"]
    assert [kept["due"] for kept in index_of(run)["kept"].values()] == [True, False]


@pytest.mark.broken_by(
    "a digest that depends on when checkpoints are made",
    "store/digests.py",
    'pieces["metrics"].append(_packed(row))',
    'pieces["metrics"].append(_packed(row) + os.urandom(8))',
)
@pytest.mark.parametrize("killed_after", [1, 4, 7])
def test_when_checkpoints_are_made_changes_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """A run saved at every update, and one that is saved when a clock says so, killed and resumed."""
    often, seldom = tmp_path / "often", tmp_path / "seldom"
    train([tiny(checkpoint__every=32, total_steps=320, eval__every=64)], [often])
    ticks = iter(range(10**6))
    clock = lambda: next(ticks) / 10  # noqa: E731
    monkeypatch.setattr(recording, "SavingTime", lambda seconds: SavingTime(seconds, clock))
    config = tiny(checkpoint__every=32, total_steps=320, eval__every=64, checkpoint__seconds=0.35)
    _, [killed] = train_with_copies(config, seldom, (killed_after,))
    resumed(killed)
    for run in (seldom, killed):
        assert (run / "digests.txt").read_bytes() == (often / "digests.txt").read_bytes()
        assert rows_of(run) == rows_of(often)
    assert len(index_of(seldom)["kept"]) <= 4


def test_older_runs_have_a_checkpoint_whenever_one_is_due() -> None:
    text = to_yaml(tiny())
    older = "".join(line for line in text.splitlines(True) if "seconds:" not in line)
    assert older != text
    assert from_yaml(older).checkpoint.seconds == 0.0
    assert from_yaml("seed: 0\n").checkpoint.seconds == 0.0
    assert tiny(checkpoint__seconds="auto").checkpoint.seconds == "auto"


@pytest.mark.parametrize("bad", ["atuo", "-1", "null"])
def test_other_values_are_refused(bad: str) -> None:
    with pytest.raises(UserError, match=r"checkpoint\.seconds"):
        from_yaml(f"checkpoint:\n  seconds: {bad}\n")
