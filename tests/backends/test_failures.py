"""A run that fails leaves alone, with its last good state; the others go on as if nothing had been."""

from __future__ import annotations

import signal

import pytest
import torch

from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.collect.state import episode_seed
from rlcli.errors import NonFiniteError
from rlcli.runs.new_run import start_run
from tests.backends.test_cohort import assert_same_state, rows
from tests.learner.setting import PROBES, ROWS, small

HEALTHY = [small(PROBES + "ProbeFaulty-v0", seed=seed, envs={"kwargs": {"at": 999}}) for seed in (0, 1, 2)]


def faulty(fault: str, episode: int = 2):
    """Three runs; in the second, environment 3 fails in its third episode (steps 41 to 60)."""
    kwargs = {"fault": fault, "at": 3, "seed": episode_seed(1, 3, episode)}
    return [small(PROBES + "ProbeFaulty-v0", seed=seed, envs={"kwargs": kwargs}) for seed in (0, 1, 2)]


@pytest.mark.broken_by(
    "a failed run keeps what the failed update left",
    "backends/native.py",
    "good[r] = False",
    "good[r] = True",
)
@pytest.mark.parametrize(("fault", "kind"), [
    ("raise", RuntimeError), ("reset", RuntimeError), ("observation", NonFiniteError),
    ("reward", NonFiniteError), ("infinity", NonFiniteError),
])  # fmt: skip
def test_a_failing_environment_fails_its_run_only(fault, kind):
    session, healthy = NativeSession(faulty(fault)), NativeSession(HEALTHY)
    wanted = rows(healthy, 5)
    assert rows(session, 2) == wanted[:2]
    good = session.state(1)
    outcome = session.update()
    assert isinstance(outcome[1], Failure)
    assert isinstance(outcome[1].error, kind)
    assert outcome[1].update == 3
    kept = session.state(1)
    assert kept.update == good.update == 2
    assert all(torch.equal(kept.tensors[name], tensor) for name, tensor in good.tensors.items())
    session.drop(1)
    assert rows(session, 2) == [{run: row[run] for run in (0, 2)} for row in wanted[3:]]
    for run in (0, 2):
        assert_same_state(session, run, healthy, run)


@pytest.mark.parametrize("deed", ["choice", "half", "text", "unprintable", "exit", "interrupt"])
def test_what_an_environment_must_not_do_fails_its_run_only(deed, tmp_path, monkeypatch):
    """Observations the space does not have, an exception without a text, what would end the process."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)  # as when training listens

    def cohort(deed):
        kwargs = {"deed": deed, "at": 3, "seed": episode_seed(1, 3, 2)}
        return [small("tests.envs.odd:Odd-v0", seed=seed, envs={"kwargs": kwargs}) for seed in (0, 1, 2)]

    together, healthy = NativeSession(cohort(deed)), NativeSession(cohort("none"))
    wanted = rows(healthy, 4)
    assert rows(together, 1) == wanted[:1]
    outcome = together.update()
    assert isinstance(outcome[1], Failure)
    record = start_run(cohort(deed)[1], tmp_path / "one", together.spec, quiet=True)
    result = record.fail(outcome[1], together.state(1))
    assert (result.status, result.exit_code) == ("failed", 1)
    together.drop(1)
    assert rows(together, 2) == [{run: row[run] for run in (0, 2)} for row in wanted[2:]]
    for run in (0, 2):
        assert_same_state(together, run, healthy, run)


def test_a_failure_at_the_very_first_reset():
    session = NativeSession(faulty("reset", episode=0))
    outcome = session.update()
    assert isinstance(outcome[1], Failure)
    assert not isinstance(outcome[0], Failure)
    assert session.state(1).update == 0


@pytest.mark.parametrize("row", [{}, *ROWS.values()], ids=["ppo", *ROWS])
@pytest.mark.parametrize("spoil", ["observations", "outputs", "rewards"])
def test_an_update_that_does_not_hold_fails_its_run_and_shows_the_batch(spoil, row, monkeypatch):
    """Observations shifted by a step, outputs of another policy, a reward that is not a number."""
    configs = [small(seed=seed, algo=row, envs={"normalize_observation": True}) for seed in (0, 1)]
    session, healthy = NativeSession(configs), NativeSession(configs)
    wanted = rows(healthy, 3)
    assert rows(session, 1) == wanted[:1]
    good = session.state(1)
    collector = type(session._collector)
    collect = collector.collect

    def spoiled(self, *arguments):
        rollout, ended = collect(self, *arguments)
        field = getattr(rollout, spoil).clone()
        changed = {"observations": field.roll(1, 0), "outputs": field * 1.01, "rewards": field * torch.nan}[
            spoil
        ]
        field[:, 1] = changed[:, 1]
        return rollout._replace(**{spoil: field}), ended

    with monkeypatch.context() as patch:
        patch.setattr(collector, "collect", spoiled)
        outcome = session.update()
    failure = outcome[1]
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, NonFiniteError)
    said = "not finite" if spoil == "rewards" else "acted otherwise"
    assert said in str(failure.error)
    assert "Update 2" in str(failure.error)
    assert failure.batch["inputs"].shape == (64, 4)
    assert set(failure.batch) >= {"actions", "advantages", "targets", "log_anchor"}
    kept = session.state(1)
    assert all(torch.equal(kept.tensors[name], tensor) for name, tensor in good.tensors.items())
    session.drop(1)
    assert rows(session, 1) == [{0: wanted[2][0]}]
    assert_same_state(session, 0, healthy, 0)


def test_a_failed_run_goes_on_alone_from_its_last_good_state(monkeypatch):
    """The state kept is a whole one: without the fault the run continues as if nothing had been."""
    session, healthy = NativeSession(faulty("raise")), NativeSession(HEALTHY[1:2])
    wanted = rows(healthy, 5)
    for _ in range(3):
        session.update()
    again = NativeSession(HEALTHY[1:2], [session.state(1)])
    assert rows(again, 3) == wanted[2:]
    assert_same_state(again, 0, healthy, 0)
