"""Actors at their limits: many slots, many failures at once, a process that ends or was stopped."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest

from rlcli.actors import pool
from rlcli.actors.packets import ActorError, packed, pair, send
from rlcli.actors.part import Hung, Part
from rlcli.actors.processes import Actor
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.errors import EXIT_CRASH
from tests.actors.environments import ID
from tests.actors.test_free import FREE, collecting, free, wait_for
from tests.actors.test_lock_step import actors, in_actors
from tests.runs.test_reproduce import Trained
from tests.runs.tiny import trained

__all__ = ["trained"]


@pytest.mark.broken_by(
    "an actor is asked for all its slots at once",
    "actors/local.py",
    "while waiting and self._asked[place] < AHEAD:",
    "while waiting:",
)
def test_an_actor_is_asked_for_few_slots_at_a_time() -> None:
    with collecting(free(env__id=ID, collect__actors=1, collect__queue=9)) as collector:
        transport: Any = collector.pool._transport
        wait_for(lambda: len(collector.pool._ready) == 10)
        assert transport._asked == {0: 0}
        [process] = collector.pool.processes
        os.kill(process, signal.SIGSTOP)
        for update in range(4):
            collector.collect(collector.acting[0], [update])
        assert (transport._asked[0], len(transport._waiting[0])) == (2, 2)
        os.kill(process, signal.SIGCONT)
        wait_for(lambda: len(collector.pool._ready) == 10)


def test_more_slots_than_a_socket_takes_packets_do_not_block() -> None:
    few = {"algo__rollout_steps": 2, "env__num_envs": 1}
    with collecting(free(env__id=ID, collect__actors=1, collect__queue=600, **few)) as collector:
        wait_for(lambda: len(collector.pool._ready) == 601)
        with collector.pool._changed:
            for _ in range(600):
                collector.pool._transport.wake()
        assert collector.collect(collector.acting[0], [0])[2]["actors/queue"] == 600


@pytest.mark.broken_by(
    "returns go on from those of another actor's environments",
    "learner/state.py",
    "state._replace(queue=queue, discounted=discounted)",
    "state._replace(queue=queue)",
)
@pytest.mark.broken_by(
    "every rollout's returns begin at 0",
    "actors/unrolls.py",
    "_, self._discounted = discounted_returns(",
    "discounted_returns(",
)
@pytest.mark.parametrize("unrolls", [1, 2])
def test_discounted_returns_go_on_where_the_same_environment_went_on(unrolls: int) -> None:
    """The slow sum of each environment, which is known by the observation that it was left at."""
    config = free(
        env__id="Pendulum-v1", env__normalize_reward=True, env__num_envs=4, collect__actors=3,
        collect__unrolls=unrolls, algo__gamma=0.9,
    )  # fmt: skip
    session = NativeSession([config])
    collector: Any = session._collector
    collect, collected = collector.collect, []

    def kept(*given: Any) -> Any:
        collected.append(collect(*given))
        return collected[-1]

    collector.collect = kept
    left: dict[tuple[float, ...], float] = {}
    everyone = 6 * (2 if unrolls == 1 else 1)
    try:
        # Which actor delivers next is not laid down, and one that starts takes its time.
        for update in range(5000):
            if update >= 12 and len(left) == everyone:
                break
            assert not isinstance(session.update()[0], Failure)
            rollout = collected[-1][0]
            ended = rollout.terminated | rollout.truncated
            for env in range(4):
                before, after = (tuple(rollout.observations[at, 0, env].tolist()) for at in (0, -1))
                total = left.pop(before, 0.0)
                assert float(collector.discounted[0, env]) == pytest.approx(total)
                for reward, end in zip(rollout.rewards[:, 0, env], ended[:, 0, env], strict=True):
                    total = 0.0 if end else 0.9 * total + float(reward)
                assert float(session._state.discounted[0, env]) == pytest.approx(total)
                left[after] = total
    finally:
        session.close()
    assert len(left) == everyone


@pytest.mark.broken_by(
    "the failure of the first run is taken alone",
    "actors/part.py",
    'for _ in range(packet["failures"])',
    "for _ in range(1)",
)
def test_all_runs_of_a_large_cohort_may_fail_at_once() -> None:
    runs = 150
    config = in_actors(env__num_envs=1, env__kwargs={"deed": "always raise"}, collect__actors=1)
    with actors(config, runs) as env:
        env.reset(np.full((runs, 1), 7), np.ones((runs, 1), np.bool_))
        for _ in range(5):
            env.step(np.zeros((runs, 1), np.int64))
        assert sorted(env.failures) == list(range(runs))
        assert {"the reactor is too hot" in str(error) for error in env.failures.values()} == {True}


def asked() -> tuple[Part, Any]:
    """A part whose actor is the test, and the actor's end."""
    part = Part.__new__(Part)
    ours, theirs = pair()
    part.actor, part._timeout = Actor(0, ours), 0.05
    return part, theirs


@pytest.mark.broken_by(
    "any answer means that a step is done",
    "actors/part.py",
    "if not answer.startswith((DONE, TAUGHT, OTHER)):",
    "if False:",
)
def test_an_error_that_ends_an_actor_is_not_taken_for_an_answer() -> None:
    part, actor = asked()
    send(actor, {"failed": packed(MemoryError("no room"))})
    with pytest.raises(ActorError, match="no room"):
        part.answer()
    actor.close()
    part.actor.end.close()


@pytest.mark.broken_by(
    "what came while the process was stopped is too late",
    "actors/part.py",
    "        except TimeoutError:\n            self.actor.end.settimeout(0.0)\n",
    "        except TimeoutError as error:\n            raise Hung from error\n",
)
def test_an_answer_that_came_while_this_process_was_stopped_is_in_time() -> None:
    part, actor = asked()
    answers = [b"d", TimeoutError()]

    def received() -> bytes:
        answer = answers.pop()
        if isinstance(answer, TimeoutError):
            raise answer
        return answer

    assert part._in_time(received) == b"d"
    with pytest.raises(Hung):
        part.answer()
    actor.close()
    part.actor.end.close()


@pytest.mark.broken_by(
    "the time that a process was stopped counts",
    "actors/pool.py",
    "source.since += stopped",
    "pass",
)
def test_actors_are_not_late_because_the_learner_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GLANCE", 0.05)
    monkeypatch.setattr(pool, "PAUSE", 0.2)
    slow = free(env__id=ID, env__kwargs={"deed": "slow"}, algo__rollout_steps=20, collect__timeout=1.5)
    with collecting(slow) as collector:
        transport: Any = collector.pool._transport
        messages, stops = transport.messages, [1.6, 0.0]

        def stopped(seconds: float) -> Any:
            if stops and all(one.given for one in collector.pool._sources):
                time.sleep(stops.pop(0))
                return []
            return messages(seconds)

        transport.messages = stopped
        figures = [collector.collect(collector.acting[0], [update])[2] for update in range(3)]
    assert not stops
    assert sum(one["actors/restarts"] for one in figures) == 0


@pytest.mark.broken_by(
    "environments that raise are counted with actors that end", "actors/pool.py", "+ (not allowed)", "+ 1"
)
def test_as_many_environments_may_raise_as_were_allowed(trained: Trained) -> None:
    always = {"env__kwargs": {"deed": "always raise"}, "collect__restarts": 4, "collect__actors": 1}
    result = trained(**{**FREE, "env__id": ID, "eval__episodes": 0, **always})
    assert (result.status, result.exit_code) == ("failed", EXIT_CRASH)
    assert "environment 0, step 5 of its episode 1" in str(result.message)
    assert "without a rollout" not in str(result.message)


def test_a_fork_server_that_ends_fails_the_runs_in_lock_step() -> None:
    with actors(in_actors(collect__actors=2)) as env:
        env.reset(np.ones((2, 3), np.int64), np.ones((2, 3), np.bool_))
        env._server._process.kill()
        env._server._process.wait()
        env.step(np.zeros((2, 3), np.int64))
        assert sorted(env.failures) == [0, 1]
        assert "cannot be restored: The process that starts actors has ended." in str(env.failures[0])


@pytest.mark.broken_by(
    "a warning says what was not done",
    "actors/pool.py",
    "        self._start(source)\n        self._restarts += 1\n",
    "        self._restarts += 1\n",
)
def test_a_fork_server_that_ends_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with collecting(free(env__id=ID)) as collector:
        server: Any = collector.pool._transport
        server._server._process.kill()
        wait_for(lambda: collector.pool._error is not None)
        with pytest.raises(ActorError, match="The process that starts actors has ended"):
            collector.collect(collector.acting[0], [0])
    assert "another took its place" not in capfd.readouterr().err


def test_places_where_no_actor_comes_to_run_are_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MISSED", 0.01)
    monkeypatch.setattr(pool, "GLANCE", 0.05)
    with collecting(free(env__id=ID)) as collector:
        wait_for(lambda: len(collector.pool._ready) > 1)
        with collector.pool._changed:
            collector.pool._sources[1].here = False
        wait_for(lambda: bool(collector.pool._warnings))
        time.sleep(0.2)
        assert collector.pool._warnings == ["Warning: actor 2 has not come to run for 0.01 s."]
