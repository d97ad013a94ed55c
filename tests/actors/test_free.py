"""Actors that collect while the learner learns: whole unrolls of one policy, in order, never too many."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from rlcli.actors.free import FreeCollector
from rlcli.actors.memory import Shared
from rlcli.actors.packets import ActorError
from rlcli.actors.pool import in_time
from rlcli.actors.unrolls import blank_policy, newest, policy_fields, publish
from rlcli.backends.native import NativeSession
from rlcli.backends.session import Failure
from rlcli.collect.state import episode_seed
from rlcli.config.overrides import parse_command
from rlcli.config.schema.run import RunConfig
from rlcli.envs.registry import describe
from rlcli.errors import EXIT_CRASH, EXIT_DONE, UserError
from rlcli.learner import state as states
from rlcli.learner.model import make_model
from rlcli.learner.table import algorithm
from rlcli.learner.update import update
from rlcli.maths.draws import environment_seed
from rlcli.nets.network import parameter_count
from rlcli.nets.policy import Model, Snapshot
from rlcli.runs.reproduce import plan
from rlcli.runs.resume import resume
from tests.actors.environments import ID
from tests.maths.test_vtrace import corrected
from tests.runs.test_reproduce import Trained
from tests.runs.tiny import manifest_of, rows_of, tiny, trained

__all__ = ["trained"]

FREE: dict[str, Any] = {
    "collect__mode": "process", "collect__order": "free", "lag": 1, "algo__targets": "vtrace",
    "algo__surrogate": "score", "algo__anchor": "behaviour", "algo__normalize_advantage": "none",
    "algo__epochs": 1, "algo__minibatches": 1, "algo__gae_lambda": 1.0, "collect__actors": 2,
}  # fmt: skip


def free(**changes: Any) -> RunConfig:
    return tiny(**FREE | changes)


def wait_for(what: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


@contextmanager
def collecting(config: RunConfig, policy: Snapshot | None = None) -> Iterator[FreeCollector]:
    spec = describe(config.env)
    model = make_model(config, spec)
    first = versioned(model, 0, 0) if policy is None else policy
    found = FreeCollector(model, spec, config, first, 0, None, in_c=False)
    try:
        yield found
    finally:
        found.close()


def bias(model: Model) -> int:
    """The parameter that is the policy's output where all others are 0."""
    for place, parameters in enumerate(torch.eye(parameter_count(model.network))):
        blank = blank_policy(model, len(parameters))._replace(parameters=parameters[None])
        if float(model.outputs(blank, torch.ones(1, 1, 3)).state) == 1.0:
            return place
    raise AssertionError


@pytest.mark.broken_by(
    "parameters that were overwritten meanwhile are taken",
    "actors/unrolls.py",
    'if int(shared["begun"][place]) == version:',
    "if version >= 0:",
)
def test_parameters_are_read_whole() -> None:
    model = make_model(free(), describe(free().env))
    blank = blank_policy(model, 5)
    shared = Shared(policy_fields(blank))
    policies = [blank._replace(parameters=torch.full((1, 5), float(version))) for version in range(9)]

    class Overwritten:
        """Two newer policies are published while one is read, twice."""

        left = 2

        def __getitem__(self, name: str) -> Any:
            if name == "policy.moments.seen" and self.left:
                self.left -= 1
                version = int(shared["version"][0])
                for newer in (version + 1, version + 2):
                    publish(shared, policies[newer], newer)
            return shared[name]

    publish(shared, policies[1], 1)
    version, found = newest(Overwritten(), blank)  # type: ignore[arg-type]
    assert version == 5
    assert found.parameters.tolist() == [[5.0] * 5]
    shared.close()


def versioned(model: Model, place: int, version: int) -> Snapshot:
    """A policy that acts its version, by the parameter that `bias` found."""
    found = blank_policy(model, parameter_count(model.network))
    found.parameters[:, place] = version
    return found


def test_versions_are_never_mixed_within_an_unroll_and_lag_is_the_difference() -> None:
    """A policy acts its version; newer ones are published all the time."""
    config = free(env__id="Pendulum-v1", algo__rollout_steps=64, collect__queue=2)
    model = make_model(config, describe(config.env))
    place = bias(model)
    lags = []
    with collecting(config, versioned(model, place, 0)) as collector:
        for update in range(0, 90, 3):
            for newer in range(max(1, update - 2), update):
                collector.pool.publish(versioned(model, place, newer), newer)
            rollout, _, figures = collector.collect(versioned(model, place, update), [update])
            [acted] = set(rollout.outputs.flatten().tolist())
            assert acted == float(collector.acting[0].parameters[0, place]) == update - figures["actors/lag"]
            lags.append(figures["actors/lag"])
    assert min(lags) >= 0
    assert max(lags) > 0


def test_vtrace_of_real_unrolls_is_the_slow_sum() -> None:
    """Espeholt et al. 2018, equation 1, term by term, for the policy that acted."""
    step = {"algo__learning_rate": 0.1, "algo__learning_rate_schedule": "constant", "algo__optimiser": "sgd"}
    config = free(**step, algo__rho_bar=1.05, algo__c_bar=0.95)
    session = NativeSession([config])
    try:
        for _ in range(4):
            assert not isinstance(session.update()[0], Failure)
        wait_for(lambda: bool(session._collector.pool._ready))  # type: ignore[attr-defined]
        state, model = session._state, session._model
        rollout, _, figures = session._collector.collect(state.policy, [4])  # type: ignore[misc]
        [acting] = session._collector.acting  # type: ignore[attr-defined]
        carried = session._collector.discounted  # type: ignore[attr-defined]
    finally:
        session.close()
    state = states.acted_by(state, [acting], carried)
    found = update(algorithm(config), [config], [0], model, state, rollout).batch.targets[0].double()

    def by_time(batch: torch.Tensor) -> torch.Tensor:
        return batch[0].unflatten(0, (16, 2))[:, None].double()

    def log_prob(policy: Snapshot) -> torch.Tensor:
        outputs = model.outputs(policy, rollout.acted_on.flatten(0, 2)[None])
        return model.family.distribution(*outputs).log_prob(rollout.actions.flatten(0, 2)[None])

    def value(observations: torch.Tensor) -> torch.Tensor:
        inputs = model.encode(state.policy, observations.flatten(0, 2)[None])
        return by_time(model.value(state.policy.parameters, inputs))

    logs = by_time(log_prob(state.policy) - log_prob(acting))
    assert figures["actors/lag"] > 0
    assert logs.abs().max() > 1e-3
    steps = (rollout.rewards, value(rollout.acted_on), value(rollout.successors()), rollout.terminated,
             rollout.truncated)  # fmt: skip
    for env in range(2):
        wanted, _, _ = corrected(steps, logs, 0.99, 1.0, 1.05, 0.95, (0, env))
        assert found.unflatten(0, (16, 2))[:, env].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@pytest.mark.broken_by(
    "an actor gets a slot more each time",
    "actors/pool.py",
    "            source.since, source.delivered, self._delivered = time.monotonic(), True, True\n",
    "            source.since, source.delivered, self._delivered = time.monotonic(), True, True\n"
    "            source.spare.append(packet['slot'] + 3)\n",
)
def test_a_slow_learner_holds_actors_back_and_takes_the_oldest_first() -> None:
    with collecting(free(env__id=ID, collect__queue=2)) as collector:
        wait_for(lambda: len(collector.pool._ready) >= 6)
        time.sleep(0.2)
        assert sorted(packet["number"] for _, packet in collector.pool._ready) == [0, 0, 1, 1, 2, 2]
        ages = []
        for update in range(6):
            with collector.pool._changed:
                waiting = list(collector.pool._ready)
            source, packet = waiting[0]
            assert packet["at"] == min(one["at"] for _, one in waiting)
            _, _, figures = collector.collect(collector.acting[0], [update])
            assert figures["actors/queue"] >= 5 - update
            ages.append((source.place, packet["number"]))
        assert [number for place, number in ages if place == 0] == [0, 1, 2]


@pytest.mark.broken_by(
    "each policy's outputs are those of another's environments",
    "learner/acting.py",
    "leaf[:, place].contiguous()",
    "leaf[:, unrolls - 1 - place].contiguous()",
)
@pytest.mark.broken_by(
    "final observations are put to the environments of the first unroll",
    "collect/rollout.py",
    "one.finals.places + shift * number",
    "one.finals.places + shift * 0",
    case="discrete",
)
@pytest.mark.parametrize("env", ["Pendulum-v1", ID], ids=["real", "discrete"])
def test_unrolls_of_two_policies_are_one_rollout(env: str) -> None:
    """The update recomputes what each policy did; final observations are where episodes ended."""
    config = free(
        env__id=env, env__num_envs=4, collect__unrolls=2, collect__actors=1, collect__queue=2,
        algo__rollout_steps=40, network__name="gru",
    )  # fmt: skip
    session = NativeSession([config])
    collector: Any = session._collector
    model, state = session._model, session._state
    other = state.policy._replace(parameters=1.5 * state.policy.parameters)
    try:
        wait_for(lambda: len(collector.pool._ready) == 3)
        collector.collect(other, [3])
        wait_for(lambda: len(collector.pool._ready) == 3)
        rollout, [episodes], figures = collector.collect(state.policy, [5])
    finally:
        session.close()
    assert [figures[f"actors/lag{which}"] for which in ("_min", "", "_max")] == [2.0, 3.5, 5.0]
    acted = states.acted_by(state, collector.acting, collector.discounted)
    result = update(algorithm(config), [config], [0], model, acted, rollout)
    assert all(bool(passed) for passed in result.sound.values()), result.sound
    assert result.state.queue.parameters.equal(state.policy.parameters[:, None])
    ended = rollout.terminated | rollout.truncated
    places = {tuple(place) for place in rollout.finals.places.tolist()}
    assert places == {tuple(place) for place in ended.nonzero().tolist()}
    assert len(episodes.returns) == len(episodes.lengths) == (0 if env == "Pendulum-v1" else len(places))


def test_slow_actors_are_waited_for() -> None:
    with collecting(free(env__id=ID, env__kwargs={"deed": "slow"}, algo__rollout_steps=4)) as collector:
        policy = collector.acting[0]
        figures = [collector.collect(policy, [update])[2] for update in range(4)]
    assert figures[-1]["actors/learner_busy"] < 0.5
    assert figures[-1]["actors/busy"] > 0.5
    assert figures[-1]["actors/lag"] <= 2


def test_rollouts_that_are_too_old_are_dropped() -> None:
    with collecting(free(env__id=ID, collect__max_lag=3)) as collector:
        collector.collect(collector.acting[0], [0])
        time.sleep(0.5)
        _, _, figures = collector.collect(collector.acting[0], [9])
    assert figures["actors/lag"] <= 3
    assert figures["actors/dropped"] >= 1


@pytest.mark.broken_by(
    "one more may be under way",
    "actors/pool.py",
    "update + place // unrolls <= version + limit",
    "update + place // unrolls <= version + limit + 1",
)
def test_unrolls_are_in_time_if_each_has_an_update_before_it_is_due() -> None:
    """Against all orders in which they might be taken."""
    draws = random.Random(0)
    for _ in range(300):
        unrolls, limit = 1 + draws.randrange(3), draws.randrange(4)
        taken = draws.randrange(unrolls + 1)
        versions = [9 - draws.randrange(3) for _ in range(draws.randrange(5))]
        takes = [update for update in range(9, 16) for _ in range(unrolls)][taken:]
        possible = any(
            all(update - version <= limit for update, version in zip(takes, order, strict=False))
            for order in itertools.permutations(versions)
        )
        assert in_time(versions, 9, taken, limit, unrolls) == possible


@pytest.mark.broken_by(
    "the learner takes what is ready",
    "actors/pool.py",
    "if not self._waits or self._in_time(one, taken=self._taken + 1):",
    "if True:",
)
@pytest.mark.parametrize(("limit", "actors", "unrolls"), [(0, 2, 1), (1, 3, 1), (1, 4, 2)])
def test_actors_wait_rather_than_let_a_rollout_become_too_old(limit: int, actors: int, unrolls: int) -> None:
    """One actor is much slower than the others; nothing is dropped, and neither side waits for ever."""
    config = free(
        env__id=ID, env__kwargs={"deed": "slow", "seed": first_seed(0)}, algo__rollout_steps=4,
        collect__actors=actors, collect__unrolls=unrolls, collect__max_lag=limit, collect__too_old="wait",
        collect__queue=2,
    )  # fmt: skip
    with collecting(config) as collector:
        figures = [collector.collect(collector.acting[0], [update])[2] for update in range(30)]
        with collector.pool._changed:
            under_way = len(collector.pool._ready) + sum(len(one.given) for one in collector.pool._sources)
    assert max(one["actors/lag_max"] for one in figures) == limit
    assert sum(one["actors/dropped"] for one in figures) == 0
    assert under_way <= limit * unrolls


def test_an_actor_that_is_killed_while_others_wait_for_it_is_replaced() -> None:
    config = free(env__id=ID, collect__max_lag=1, collect__too_old="wait")
    killed: set[int] = set()
    with collecting(config) as collector:
        for update in range(6):
            with collector.pool._changed:
                for source, process in zip(
                    collector.pool._sources, collector.pool._transport.processes(), strict=True
                ):
                    # One that ends without a rollout, as did the two before it, ends the run.
                    if source.delivered and process not in killed:
                        os.kill(process, signal.SIGKILL)
                        killed.add(process)
            assert collector.collect(collector.acting[0], [update])[2]["actors/lag"] <= 1
    assert killed


@pytest.mark.broken_by(
    "actors may end for ever",
    "actors/pool.py",
    "if source.in_vain > IN_VAIN:",
    "if source.in_vain > 1000:",
)
def test_actors_that_all_end_without_a_rollout_end_the_run() -> None:
    slow = free(env__id=ID, env__kwargs={"deed": "slow"}, algo__rollout_steps=500, collect__actors=1)
    with collecting(slow) as collector:
        killed: set[int] = set()
        for _ in range(3):
            wait_for(lambda: not killed.issuperset(collector.pool.processes))
            [process] = collector.pool.processes
            killed.add(process)
            os.kill(process, signal.SIGKILL)
        with pytest.raises(ActorError, match=r"SIGKILL, as did the 2 before it without a rollout\."):
            collector.collect(collector.acting[0], [0])


def first_seed(place: int) -> int:
    """Of the first episode of an actor's first environment."""
    return episode_seed(environment_seed(0, "actor", place, 0, 0), 0, 0)


@pytest.mark.parametrize(("deed", "words"), [("die", "SIGKILL"), ("hang", "did not answer within 1 s")])
def test_an_actor_that_ends_or_hangs_is_replaced(
    deed: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kwargs = {"deed": deed, "seed": first_seed(1)}
    with collecting(free(env__id=ID, env__kwargs=kwargs, collect__timeout=1.0)) as collector:
        figures = [collector.collect(collector.acting[0], [update])[2] for update in range(4)]
        wait_for(lambda: collector.pool._restarts > 0 or any(one["actors/restarts"] for one in figures))
        figures.append(collector.collect(collector.acting[0], [4])[2])
        found = sum(one["actors/restarts"] for one in figures)
    assert found == 1
    assert words in capfd.readouterr().err


def test_an_actor_that_is_killed_is_back_within_two_seconds_while_the_learner_is_busy(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with collecting(free(env__id=ID)) as collector:
        collector.collect(collector.acting[0], [0])
        first = collector.pool.processes
        for process in first:
            os.kill(process, signal.SIGKILL)
        wait_for(
            lambda: set(collector.pool.processes).isdisjoint(first) and len(collector.pool.processes) == 2,
            2.0,
        )
        wait_for(lambda: all(source.delivered for source in collector.pool._sources))
        assert collector.collect(collector.acting[0], [1])[2]["actors/restarts"] == 2
        assert collector.collect(collector.acting[0], [2])[2]["actors/restarts"] == 0
    assert capfd.readouterr().err.count("another took its place") == 2


@pytest.mark.parametrize("allowed", [0, 1])
def test_an_environment_that_raises_ends_the_run_unless_it_may(allowed: int, trained: Trained) -> None:
    faulty = {"env__id": ID, "env__kwargs": {"deed": "raise", "seed": first_seed(0)}, "eval__episodes": 0}
    result = trained(**FREE | faulty | {"collect__restarts": allowed, "collect__actors": 1})
    if allowed:
        assert (result.status, result.updates) == ("finished", 3)
        assert sum(row["actors/restarts"] for row in rows_of(result.dir)) == 1
        return
    assert (result.status, result.exit_code) == ("failed", EXIT_CRASH)
    assert "tests/actors/environments.py:" in str(result.message)
    assert "environment 0, step 5 of its episode 1" in str(result.message)


def test_a_run_says_what_it_is(trained: Trained) -> None:
    run = trained(**FREE, env__id=ID, env__normalize_observation=True, network__name="lstm").dir
    assert {"actors/lag", "actors/queue", "actors/busy", "behaviour/ess"} <= set(rows_of(run)[-1])
    manifest = manifest_of(run)
    assert manifest["exact_resume"] is False
    assert "up to 4 rollouts that nobody learnt from are lost" in manifest["inexact_reason"]
    with pytest.raises(UserError, match="cannot be reproduced: its actors collected while"):
        plan(run)
    result = resume(run, parse_command(["total_steps=160"]))
    assert (result.exit_code, result.updates) == (EXIT_DONE, 5)
    assert "up to 4 rollouts that nobody learnt from are lost" in (run / "train.log").read_text()


@pytest.mark.parametrize(
    "settings",
    [
        {"env__id": "tests.envs.probes:ProbeDoors-v0", "env__action_mask": "info"},
        {"env__id": "tests.envs.probes:ProbeFlash-v0", "network__name": "impala_resnet"},
        {"env__id": ID, "network__name": "lstm"},
        {"compute__kernel": "c"},
        {"compute__kernel": "c", "collect__unrolls": 2, "env__num_envs": 4},
    ],
    ids=["masks", "pixels", "memory", "kernels", "kernels of two unrolls"],
)
def test_what_is_collected_elsewhere_is_what_the_update_recomputes(settings: dict[str, Any]) -> None:
    """Or the update would fail: the policy acted otherwise."""
    session = NativeSession([free(collect__actors=1, **settings)])
    try:
        for _ in range(2):
            row = session.update()[0]
            assert not isinstance(row, Failure), row.error
    finally:
        session.close()
