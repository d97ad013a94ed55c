"""Actors on a Ray cluster of two nodes, which these tests share: it takes seconds to start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from rlcli.actors.ray_cluster import reason_of
from rlcli.backends.native import NativeSession
from rlcli.config.compose import compose, from_yaml, to_yaml
from rlcli.envs.registry import describe
from rlcli.errors import EXIT_CRASH, EXIT_SIGTERM, UserError
from rlcli.learner.model import make_model
from rlcli.sweeps.preflight import check
from tests.actors.environments import ID
from tests.actors.test_ends import alive
from tests.actors.test_free import FREE, bias, collecting, first_seed, free, versioned, wait_for
from tests.runs.test_reproduce import Trained
from tests.runs.tiny import manifest_of, rows_of, trained

__all__ = ["trained"]

ROOT = Path(__file__).parents[2]
LONG = 240.0
"""Seconds that Ray may take where a machine has other things to do."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with room for two actors each; workers find the tests' environments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "500")  # so that a lost node is noticed soon
        for name, patience in (("raylet_start_wait_time_s", 120), ("agent_register_timeout_ms", 120_000)):
            patch.setenv(f"RAY_{name}", str(patience))  # where the machine has other things to do
        ray._raylet.Config.initialize("")  # which reads them
        node = {"num_cpus": 2, "object_store_memory": 10**8}
        found = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        try:
            found.add_node(**node)
            patch.setenv("RAY_ADDRESS", found.address)  # auto, rather than what another process started last
            yield found
        finally:
            found.shutdown()


def on_ray(**changes: Any) -> dict[str, Any]:
    return {**FREE, "env__id": ID, "collect__mode": "ray", "collect__address": "auto", **changes}


def actors() -> dict[int, str]:
    """Process ids of living actors of Ray, with their nodes."""
    states = ray._private.state.actors().values()
    return {one["Pid"]: one["Address"]["NodeID"] for one in states if one["State"] == "ALIVE"}


def test_a_run_trains_and_leaves_nothing(cluster: Cluster, trained: Trained) -> None:
    run = trained(**on_ray(collect__max_lag=2, collect__too_old="wait")).dir
    rows = rows_of(run)
    assert max(row["actors/lag"] for row in rows) <= 2
    assert sum(row["actors/dropped"] + row["actors/restarts"] for row in rows) == 0
    assert manifest_of(run)["exact_resume"] is False
    assert not ray.is_initialized()


def test_an_actor_that_no_node_has_room_for_is_refused(cluster: Cluster) -> None:
    """While there are two nodes, of two cores each."""
    with pytest.raises(
        UserError, match=r"the nodes of the Ray cluster have room for 0 with collect.cpus=3\."
    ):
        NativeSession([free(**on_ray(collect__cpus=3.0, collect__actors=1))])
    assert not ray.is_initialized()


def test_versions_are_never_mixed_and_lost_actors_and_nodes_are_replaced(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    config = free(**on_ray(env__id="Pendulum-v1", algo__rollout_steps=16))
    model = make_model(config, describe(config.env))
    place = bias(model)
    with collecting(config, versioned(model, place, 0)) as collector:
        update = 0

        def train(updates: int) -> list[dict[str, float]]:
            nonlocal update
            found = []
            for _ in range(updates):
                update += 1
                policy = versioned(model, place, update)
                rollout, _, figures = collector.collect(policy, [update])
                [acted] = set(rollout.outputs.flatten().tolist())
                acting = float(collector.acting[0].parameters[0, place])
                assert acted == acting == update - figures["actors/lag"]
                found.append(figures)
            return found

        def back(lost: set[int], count: int) -> None:
            wait_for(lambda: len(set(collector.pool.processes) - lost) == count, LONG)

        assert max(one["actors/lag"] for one in train(12)) > 0
        back(set(), 2)
        nodes = actors()
        assert len({nodes[process] for process in collector.pool.processes}) == 2
        killed = collector.pool.processes[0]
        os.kill(killed, signal.SIGKILL)
        back({killed}, 2)
        assert sum(one["actors/restarts"] for one in train(4)) == 1
        other = [node for node in cluster.worker_nodes if node is not cluster.head_node]
        on_it = {process for process, node in actors().items() if node == other[0].node_id}
        cluster.remove_node(other[0], allow_graceful=False)
        assert on_it
        back(on_it, 2)
        assert sum(one["actors/restarts"] for one in train(8)) >= 1
    assert "was lost by Ray" in capfd.readouterr().err


def test_an_environment_that_raises_ends_the_run_with_its_words(cluster: Cluster, trained: Trained) -> None:
    kwargs = {"deed": "raise", "seed": first_seed(0)}
    result = trained(**on_ray(env__kwargs=kwargs, collect__actors=1, eval__episodes=0))
    assert (result.status, result.exit_code) == ("failed", EXIT_CRASH)
    assert "tests/actors/environments.py:" in str(result.message)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_learner_that_is_killed_or_stopped_leaves_no_actor(
    number: signal.Signals, cluster: Cluster, tmp_path: Path
) -> None:
    words = ["algo=impala_async", f"env={ID}", "collect.mode=ray", "collect.address=auto",
             "collect.cpus=0.5", "total_steps=1e9", "eval.episodes=0", f"runs_dir={tmp_path}", "name=run",
             "algo.rollout_steps=8", "logger=[jsonl]"]  # fmt: skip
    command = [sys.executable, "-m", "rlcli", "train", *words]
    said, rows = tmp_path / "said", tmp_path / "run" / "metrics.jsonl"
    with said.open("wb") as to, subprocess.Popen(command, cwd=ROOT, stdout=to, stderr=to) as learner:
        try:
            wait_for(lambda: learner.poll() is not None or (rows.exists() and rows.stat().st_size > 0), LONG)
            assert learner.poll() is None, said.read_text()
            ray.init(log_to_driver=False)
            started = set(actors())
            learner.send_signal(number)
            code = learner.wait(LONG)
        finally:
            learner.kill()
    try:
        assert code == (EXIT_SIGTERM if number == signal.SIGTERM else -number), said.read_text()
        assert len(started) == 2
        wait_for(lambda: not any(map(alive, started)), LONG)
    finally:
        ray.shutdown()


def test_more_than_the_cluster_has_is_refused_and_nothing_is_made(cluster: Cluster, tmp_path: Path) -> None:
    config = free(**on_ray(collect__resources={"simulator": 1}))
    with pytest.raises(UserError, match=r"ask for 2 simulator; the Ray cluster has \d CPU, 0 simulator"):
        NativeSession([config])
    assert not ray.is_initialized()


def test_a_cluster_that_does_not_answer_is_named(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"collect.address=127.0.0.1:1: no Ray cluster answers there"):
        trained("run", **FREE | {"collect__mode": "ray", "collect__address": "127.0.0.1:1"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Died.\n\tpid: 1\nIts node was lost.\nIt never ran.", "Its node was lost. It never ran."),
        ("Died.", "Died."),
        ("Died.\nDead because all references to the actor were removed.", "RAY_AUTH_MODE=disabled"),
    ],
)
def test_the_reason_why_an_actor_is_lost_is_reported(said: str, reason: str) -> None:
    assert reason in reason_of(RuntimeError(said))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"collect__order": "fixed"}, "collect.mode=ray has no lock step"),
        ({"collect__address": "ray://somewhere:10001"}, "give auto or HOST:PORT"),
        ({"collect__resources": {"simulator": "x"}}, "give positive amounts of resources"),
        ({"collect__resources": {"CPU": 2}}, "cores are collect.cpus"),
        ({}, "collect.mode=ray needs ray, which is not installed"),
    ],
)
def test_what_ray_does_not_do_is_refused(
    settings: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=words):
        check(free(collect__mode="ray", **settings))


def test_resources_have_names_of_their_own_and_are_kept() -> None:
    words = ["algo=impala_async", "collect.mode=ray", "collect.resources={simulator:1,large:0.5}"]
    config = compose(words).config
    assert config.collect.resources == {"simulator": 1, "large": 0.5}
    assert from_yaml(to_yaml(config)) == config
