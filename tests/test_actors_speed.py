"""`make actors-speed`: its arithmetic, its bound, its page, and a second call."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.config.compose import compose

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    import actors_speed

    monkeypatch.setattr(actors_speed.machine, "description", lambda: {"machine": "a test's"})
    return actors_speed


def rows(count: int, seconds: float, collect: float, **more: float) -> list[dict[str, float]]:
    """Rows of updates of 160 env steps, which take so many seconds; the first takes a hundred."""
    return [
        {"env_steps": 160 * number, "time/elapsed": 100.0 + seconds * number, "time/collect": collect} | more
        for number in range(1, count + 1)
    ]


def test_speed_is_of_the_rows_after_the_first_fifth(speed: Any) -> None:
    found = speed.figures(rows(50, 0.02, 0.015, **{"actors/lag": 2.0}))
    assert found == pytest.approx({"speed": 8000.0, "update": 0.02, "collect": 0.015, "lag": 2.0})


@pytest.mark.parametrize(
    ("actors", "cores", "expected"),
    [(1, 2, 1 / 0.006), (2, 2, 2 / 0.01), (4, 2, 2 / 0.01), (2, 1, 1 / 0.01), (4, 8, 1 / 0.004)],
)
def test_the_bound_is_the_scarcest_of_actors_learner_and_cores(
    speed: Any, actors: int, cores: int, expected: float
) -> None:
    assert speed.actors_page.bound(0.006, 0.004, actors, cores) == pytest.approx(expected)


def test_missing_rounds_are_measured_and_the_page_says_what_is_reached(
    speed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Inline 10 ms, of which 3 ms learn: the bound of one actor on two cores is 1/7 ms."""
    speeds = {
        "inline, 1 core": 16_000.0, "1 actor, 2 cores": 22_000.0, "2 actors, 2 cores": 28_000.0,
        "4 actors, 2 cores": 20_000.0, "2 actors, 1 core": 12_000.0, "1 actor, 1 core": 12_000.0,
        "on Ray, 1 actor, 2 cores": 8_000.0, "on Ray, 2 actors, 2 cores": 16_000.0,
        "on Ray, 4 actors, 2 cores": 12_000.0,
    }  # fmt: skip
    measured = []

    def ours(_: Any, contestant: Any, __: int, cores: list[int]) -> dict[str, float]:
        measured.append((contestant.name, cores))
        return {"speed": speeds[contestant.name], "update": 0.01, "collect": 0.007, "lag": 1.5}

    def peer(contestant: Any, _: float, cores: list[int], python: str) -> dict[str, Any]:
        measured.append((contestant.name, cores))
        return {"speed": 4_000.0, "ray": "2.0"}

    monkeypatch.setattr(speed, "ours", ours)
    monkeypatch.setattr(speed, "peer", peer)
    given = argparse.Namespace(rounds=1, seconds=1.0, cores=[0, 1], rllib_python="python")
    results: dict[str, Any] = {}
    for name in ("halfcheetah", "cartpole"):
        found = results.setdefault(name, {"date": "today", "load": 0.1, "with": {"machine": "a test's"}})
        speed.contest(name, given, found, lambda: None)
    assert results["halfcheetah"]["updates"] == 125
    assert measured[:6] == [
        ("inline, 1 core", [1]), ("inline, 1 core", [1]), ("1 actor, 2 cores", [0, 1]),
        ("2 actors, 2 cores", [0, 1]), ("4 actors, 2 cores", [0, 1]), ("2 actors, 1 core", [1]),
    ]  # fmt: skip
    measured.clear()
    given.rounds = 2
    speed.contest("halfcheetah", given, results["halfcheetah"], lambda: None)
    assert len(measured) == 8
    results["transport"] = {
        "bytes": 2_000_000, "rounds": {"shared slots": [0.0004], "Ray's object store": [0.002]},
        "date": "today", "load": 0.1, "with": {"machine": "a test's"},
    }  # fmt: skip
    text = speed.actors_page.page(results)
    for line in (
        "takes 7.00 ms to collect and 3.00 ms to learn from: the learner's share inline is 30%.",
        "| 1 actor, 2 cores | 22,000 | 22,000 | 22,000 | 1.38 | 22,857 | 96% | 1.5 | 1.6 times inline: mis",
        "| 2 actors, 2 cores | 28,000 | 28,000 | 28,000 | 1.75 | 32,000 | 88% | 1.5 | 1.6 times inline: rea",
        "| on Ray, 2 actors, 2 cores | 16,000 | 16,000 | 16,000 | 1.00 | 32,000 | 50% | 1.5 |  |",
        "| 2 actors, 1 core | 12,000 | 12,000 | 12,000 | 0.75 | 16,000 | 75% | 1.5 | 0.8 times inline: mis",
        "| 2 actors, 2 cores | 4,000 | 4,000 | 4,000 | 28,000 | 7.0 | reached |",
        "| 1 actor, 1 core | 4,000 | 4,000 | 4,000 | 12,000 | 3.0 | missed |",
        "| shared slots | 200 | 200 | 200 | 5,000 |",
    ):
        assert line in text


def test_where_the_learner_is_slow_the_goal_is_of_the_bound(speed: Any) -> None:
    assert speed.actors_page.goal(1.3, 0.86, 0.7, 2) == "85% of the bound: reached"


def test_every_contestant_is_one_that_rlcli_takes(speed: Any) -> None:
    """All of a work have the same networks, environments and rollouts."""
    for work in speed.WORKS.values():
        inline, actors, on_ray = (
            compose([*one.words, *work.words, *speed.UNWATCHED]).config
            for one in (*speed.ACTORS[:2], speed.ON_RAY[0])
        )
        assert inline.network == actors.network == on_ray.network
        assert (
            inline.batch_size == actors.batch_size == on_ray.batch_size == work.num_envs * work.rollout_steps
        )
        assert inline.algo.learning_rate == actors.algo.learning_rate


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_unroll_moves_through_shared_memory(speed: Any) -> None:
    """It has the bytes that it was asked to have, nearly, and comes as it was."""
    arrays = speed.unroll(speed.WORKS["cartpole"], 100_000)
    assert sum(array.nbytes for array in arrays.values()) == pytest.approx(100_000, rel=0.02)
    assert arrays["observations"].shape[2:] == (8, 4)
    core = [min(speed.os.sched_getaffinity(0))]
    spent = speed.shared(arrays, 5, core)
    assert len(spent) == 5
    assert 0.0 < np.median(spent) < 1.0
