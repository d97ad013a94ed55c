"""Environments in processes of their own give the numbers of one process, to the last bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.actors.vector import ActorVectorEnv, shares
from rlcli.collect.state import episode_seed
from rlcli.config.schema.run import RunConfig
from rlcli.envs.interface import Taught
from rlcli.envs.registry import describe, make
from rlcli.errors import EXIT_CRASH, RlcliError
from rlcli.runs.reproduce import plan, reproduce
from rlcli.runs.train import Result
from tests.actors.environments import ID
from tests.runs.continuing import play
from tests.runs.resuming import assert_same_run, resumed, train_with_copies
from tests.runs.test_reproduce import Trained
from tests.runs.tiny import rows_of, tiny, trained

__all__ = ["trained"]


SEEDS = np.array([[11, 12, 13], [21, 22, 23]])
EVERYWHERE = np.ones((2, 3), bool)


def in_actors(**changes: Any) -> RunConfig:
    return tiny(**{"collect__mode": "process", "env__id": ID, "env__num_envs": 3} | changes)


@contextmanager
def actors(config: RunConfig, runs: int = 2) -> Iterator[ActorVectorEnv]:
    env = ActorVectorEnv(config, describe(config.env), runs)
    try:
        yield env
    finally:
        env.close()


def without_actors(rows: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    return [
        [{name: value for name, value in row.items() if not name.startswith("actors/")} for row in run]
        for run in rows
    ]


@pytest.mark.parametrize(
    ("env", "package", "count"),
    [("Pendulum-v1", "numpy", 3), ("FrozenLake-v1", "numpy", 2), ("Hopper-v5", "mujoco", 1)],
    ids=["Pendulum-v1", "FrozenLake-v1", "Hopper-v5"],
)
def test_a_cohort_learns_the_same_with_any_number_of_actors(env: str, package: str, count: int) -> None:
    """Array, Gymnasium and MuJoCo environments; actors with shares of different sizes."""
    pytest.importorskip(package)
    settings = {"env__id": env, "env__num_envs": 3, "algo__minibatches": 1, "algo__epochs": 1}
    found, wanted = (
        play([tiny(seed=seed, **settings, **mode) for seed in (3, 4)], None, 2)
        for mode in ({"collect__mode": "process", "collect__actors": count}, {})
    )
    assert without_actors(found[1]) == wanted[1]
    for mine, theirs in zip(found[0], wanted[0], strict=True):
        assert all(tensor.equal(theirs.tensors[name]) for name, tensor in mine.tensors.items())


@pytest.mark.parametrize(
    "idle",
    [
        {"unrolls": 2, "max_lag": 2, "too_old": "wait"},
        {"queue": 3},
        {"actors": 3, "timeout": 1.0},
        {"cpus": 2.0},
    ],
)
@pytest.mark.broken_by(
    "rollouts are divided among actors that are not there",
    "config/schema/collect.py",
    "return self.unrolls if self.is_free else 1",
    "return self.unrolls",
    case="idle0",
)
def test_settings_of_actors_have_no_effect_inline(trained: Trained, idle: dict[str, Any]) -> None:
    """Here the values of a preset or a file, which are not refused as those of the command line are."""
    lagging = {"lag": 1, "algo__anchor": "behaviour"}
    named = {f"collect__{name}": value for name, value in idle.items()}
    found = trained("idle", collect__order="free", **lagging, **named)
    assert rows_of(found.dir) == rows_of(trained("plain", **lagging).dir) != []


@pytest.mark.broken_by(
    "what Atari's lives teach is lost on the way",
    "actors/vector.py",
    "return Taught.of(step, learnt) if taught else step",
    "return step",
)
def test_games_and_what_is_learnt_of_them_are_the_same() -> None:
    pytest.importorskip("ale_py")
    config = in_actors(env__id="ALE/Breakout-v5", env__num_envs=2, env__backend="ale")
    seeds, everywhere = np.array([[5, 6]]), np.ones((1, 2), bool)
    with actors(config, 1) as env:
        inline = make(config.env, 1, training=True)
        assert np.array_equal(env.reset(seeds, everywhere), inline.reset(seeds, everywhere))
        for step in range(40):
            chosen = np.array([[step % 4, (step + 1) % 4]])
            found, wanted = env.step(chosen), inline.step(chosen)
            assert isinstance(found, Taught)
            assert all(map(np.array_equal, (*found, *found.lesson), (*wanted, *wanted.lesson)))
    inline.close()


def test_a_run_resumes_and_repeats_exactly_and_is_the_one_of_one_process(
    tmp_path: Path, trained: Trained
) -> None:
    settings = {"env__id": ID, "env__num_envs": 2, "checkpoint__every": 32}
    inline = trained("inline", **settings)
    whole, [killed] = train_with_copies(tiny(**settings, collect__mode="process"), tmp_path / "run", (2,))
    assert (whole.dir / "digests.txt").read_bytes() == (inline.dir / "digests.txt").read_bytes()
    assert rows_of(inline.dir) == without_actors([rows_of(whole.dir)])[0]
    resumed(killed)
    assert_same_run(killed, whole.dir)
    assert reproduce(plan(whole.dir), tmp_path / "again").identical


def played(env: Any, steps: int, after: dict[int, Any] | None = None) -> list[Any]:
    """What environments show, with actions and resets that depend on the steps alone."""
    shown = [env.reset(SEEDS, EVERYWHERE)]
    for step in range(steps):
        if after and step in after:
            after[step]()
        actions = (np.arange(6).reshape(2, 3) + step) // 2 % 2
        found = env.step(actions)
        shown += found
        ended = found.terminated | found.truncated
        if ended.any():
            shown.append(env.reset(SEEDS + 100 * step, ended))
    return shown


@pytest.mark.broken_by(
    "episodes are restored from the seeds before",
    "actors/journal.py",
    "self._seeds = np.where(mask, seeds, self._seeds)",
    "self._seeds = np.where(self._began == self._clock, seeds, self._seeds)",
)
def test_an_actor_that_is_killed_is_replaced_at_once_and_nothing_is_lost(
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = in_actors(collect__actors=2)
    took: list[float] = []
    with actors(config) as env:

        def kill(number: int) -> None:
            os.kill(env.actors[number], signal.SIGKILL)
            took.append(-time.monotonic())

        first = env.actors
        found = played(
            env, 60, {17: lambda: kill(1), 18: lambda: took.append(time.monotonic()), 43: lambda: kill(0)}
        )
        assert env.take_restarts() == 2
        assert env.take_restarts() == 0
        assert set(env.actors).isdisjoint(first)
        assert env.failures == {}
    wanted = played(make(config.env, 2), 60)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
    assert sum(took[:2]) < 2.0
    assert "was killed by SIGKILL; another took its place, and nothing is lost" in capfd.readouterr().err


def test_runs_that_are_left_out_change_nothing() -> None:
    config = in_actors(collect__actors=3)
    with actors(config) as env:
        env.reset(SEEDS, EVERYWHERE)
        env.step(np.ones((2, 3), np.int64))
        env.select([1])
        os.kill(env.actors[2], signal.SIGKILL)
        found = [env.step(np.ones((1, 3), np.int64)).rewards for _ in range(3)]
    inline = make(config.env, 2)
    inline.reset(SEEDS, EVERYWHERE)
    wanted = [inline.step(np.ones((2, 3), np.int64)).rewards[1:] for _ in range(4)][1:]
    assert np.array_equal(found, wanted)


@pytest.mark.broken_by(
    "each actor numbers its environments from 0",
    "envs/episodes.py",
    "self._spec.first + index",
    "index",
)
def test_an_environment_that_raises_ends_the_run_with_the_words_of_one_process(trained: Trained) -> None:
    faulty = {
        "env__id": ID,
        "env__num_envs": 2,
        "env__kwargs": {"deed": "raise", "seed": episode_seed(0, 1, 0)},
    }
    inline, found = trained("inline", **faulty), trained("actors", **faulty, collect__mode="process")
    assert (found.status, found.exit_code, found.message) == ("failed", EXIT_CRASH, inline.message)
    assert "tests/actors/environments.py:" in str(found.message)
    assert "environment 1, step 5 of its episode 1" in str(found.message)
    assert "RuntimeError: the reactor is too hot" in (found.dir / "train.log").read_text()


def lost(trained: Trained, deed: str, **changes: Any) -> Result:
    kwargs = {"deed": deed, "seed": episode_seed(0, 1, 0)}
    return trained(env__id=ID, env__num_envs=2, env__kwargs=kwargs, collect__mode="process", **changes)


def test_an_actor_that_hangs_ends_the_run_by_name(trained: Trained) -> None:
    result = lost(trained, "hang", collect__timeout=0.5)
    assert (result.status, result.exit_code) == ("failed", EXIT_CRASH)
    assert result.message == "Actor 2 did not answer within collect.timeout=0.5 s."


def test_an_actor_whose_environment_kills_it_each_time_ends_the_run(trained: Trained) -> None:
    result = lost(trained, "die")
    assert (result.status, result.exit_code) == ("failed", EXIT_CRASH)
    assert "Actor 2 (process" in str(result.message)
    assert "the one that took its place was killed by SIGKILL at the same step" in str(result.message)


def test_an_environment_that_only_this_process_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium

    from tests.actors.environments import Deadly

    monkeypatch.setitem(gymnasium.registry, "Mine-v0", gymnasium.envs.registration.EnvSpec("Mine-v0", Deadly))
    config = in_actors(env__id="Mine-v0")
    with pytest.raises(
        RlcliError, match="in processes of their own, and there: Unknown environment 'Mine-v0'"
    ):
        ActorVectorEnv(config, describe(config.env), 1)


def test_shares_are_even() -> None:
    assert shares(7, 3) == [(0, 3), (3, 2), (5, 2)]
    assert shares(2, 2) == [(0, 1), (1, 1)]
