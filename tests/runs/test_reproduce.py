"""A run again from its directory: the same to the last bit, or the first update and quantity that differ."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tests.envs.probes
import tests.runs.environments  # noqa: F401 (their environments are admitted once imported)
from rlcli.config.serialise import from_yaml, to_yaml
from rlcli.errors import StorageError, UserError
from rlcli.runs.reproduce import Reproduction, plan, reproduce
from rlcli.runs.train import Result, train
from rlcli.store import digests
from rlcli.store.digests import QUANTITIES
from tests.runs.tiny import manifest_of, rows_of, tiny

Trained = Callable[..., Result]


def again(run_dir: Path, **options: Any) -> Reproduction:
    into = run_dir.with_name(f"{run_dir.name} again")
    shutil.rmtree(into, ignore_errors=True)
    return reproduce(plan(run_dir, **options), into)


def told(run_dir: Path, **changes: Any) -> None:
    """Changes a run's config as if it had been trained so."""
    path = run_dir / "config.yaml"
    config = from_yaml(path.read_text())
    algo = dataclasses.replace(config.algo, **changes)
    path.write_text(to_yaml(dataclasses.replace(config, algo=algo)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "lag": 2,
            "env__id": "Pendulum-v1",
            "env__normalize_observation": True,
            "env__normalize_reward": True,
        },
        {"algo__step_rule": "natural", "algo__surrogate": "ratio", "env__backend": "gymnasium"},
        {"algo__penalty": "kl_anchor_pi", "algo__surrogate": "ratio", "algo__beta_schedule": "adaptive"},
        {"backend": "sb3"},
    ],
    ids=["ppo", "lagged", "natural", "penalty", "sb3"],
)
def test_a_run_repeats(changes: dict[str, Any], trained: Trained) -> None:
    run = trained(eval__every=32, **changes).dir
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = again(run)
    assert outcome.identical
    assert (outcome.comparison.updates, outcome.comparison.digests) == (3, 3 * len(QUANTITIES))
    assert rows_of(outcome.result.dir) == rows_of(run)
    assert outcome.provenance == []
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files
    manifest = manifest_of(outcome.result.dir)
    assert manifest["reproduces"] == manifest_of(run)["id"]
    assert manifest["id"] != manifest["reproduces"]


@pytest.mark.broken_by(
    "a reproduction that never looks",
    "runs/reproduce.py",
    "            difference = differing(pending, mine)\n",
    "            difference = None\n",
)
def test_it_stops_at_the_first_difference_and_names_it(trained: Trained) -> None:
    run = trained(total_steps=160, algo__learning_rate_schedule="constant").dir
    told(run, learning_rate_schedule="linear")  # the first update has the same rate under both
    outcome = again(run)
    assert not outcome.identical
    assert outcome.comparison.difference is not None
    assert outcome.comparison.difference.update == 2
    assert {"parameters", "optimiser"} <= set(outcome.comparison.difference.quantities)
    assert "collector" not in outcome.comparison.difference.quantities
    assert (outcome.comparison.updates, outcome.result.updates) == (1, 2)
    assert (outcome.result.status, outcome.result.exit_code) == ("failed", 1)
    assert "Update 2 differs in parameters, optimiser" in str(outcome.result.message)


def test_one_quantity_that_differs_is_named(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests of the original were made without its losses: all but the metrics are the same."""
    with monkeypatch.context() as patched:
        patched.setattr(digests, "LEFT_OUT", (*digests.LEFT_OUT, "loss/"))
        digests._digested.cache_clear()
        run = trained().dir
    digests._digested.cache_clear()
    assert again(run).comparison == (0, None, (1, ("metrics",)))


def test_what_has_changed_around_it_is_told(trained: Trained) -> None:
    run = trained().dir
    content = manifest_of(run)
    content["packages"]["torch"] = "1.0"
    content["machine"]["cpu"] = "abacus"
    content["code"] = {"commit": "a" * 40, "dirty": False, "diff": None}
    (run / "manifest.json").write_text(json.dumps(content))
    outcome = again(run, until=1)
    assert outcome.identical
    found = {one.name: one.left for one in outcome.provenance}
    assert (found["torch"], found["cpu"], found["commit"]) == ("1.0", "abacus", "a" * 40)


@pytest.mark.broken_by(
    "a reproduction whose schedules end with --until",
    "runs/reproduce.py",
    "total_steps=steps,",
    "total_steps=steps,\n        schedule_steps=steps,",
)
@pytest.mark.parametrize(("until", "compared"), [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_until(until: int | None, compared: int, trained: Trained) -> None:
    run = trained(algo__learning_rate_schedule="linear").dir
    outcome = again(run, until=until)
    assert outcome.identical
    assert (outcome.until, outcome.comparison.updates, outcome.result.updates) == (compared,) * 3


def test_a_run_that_was_killed_is_compared_as_far_as_it_went(trained: Trained) -> None:
    run = trained(total_steps=160).dir
    content = (run / "digests.txt").read_bytes()
    (run / "digests.txt").write_bytes(content[:-250])  # within the fourth line of five
    (run / "manifest.json").write_text(json.dumps(manifest_of(run) | {"status": "running"}))
    planned = plan(run)
    assert any("running, with digests up to update 3 of 5" in note for note in planned.notes)
    outcome = again(run)
    assert outcome.identical
    assert outcome.comparison.updates == 3


@pytest.mark.parametrize(("every", "compared"), [(2, 3), (0, 1), (9, 1)])
def test_sparse_digests(every: int, compared: int, trained: Trained) -> None:
    outcome = again(trained(digest__every=every, total_steps=160).dir)
    assert outcome.identical
    assert (outcome.until, outcome.comparison.updates) == (5, compared)


def test_until_before_the_first_digest(trained: Trained) -> None:
    run = trained(digest__every=2).dir
    with pytest.raises(UserError, match="no digests before update 2: give --until 2 or more"):
        plan(run, until=1)


def test_nothing_to_compare(trained: Trained) -> None:
    run = trained().dir
    (run / "digests.txt").write_text("")
    with pytest.raises(UserError, match="ended before its first digests"):
        plan(run)
    (run / "digests.txt").unlink()
    with pytest.raises(UserError, match=r"has no digests\.txt"):
        plan(run)
    (run / "digests.txt").write_text(f"1 {'a' * 32}\n")
    with pytest.raises(StorageError, match="An older rlcli wrote it"):
        plan(run)


def test_a_member_of_a_cohort_repeats_alone(tmp_path: Path) -> None:
    configs = [tiny(seed=seed, algo__learning_rate=10.0**-seed) for seed in (2, 3)]
    for result in train(configs, [tmp_path / "a", tmp_path / "b"]):
        assert again(result.dir).identical


def test_a_run_that_failed_repeats_as_far_as_it_went(trained: Trained) -> None:
    run = trained(env__id="tests.runs.environments:Enormous-v0", eval__episodes=0).dir
    assert manifest_of(run)["status"] == "failed"
    outcome = again(run)
    assert outcome.identical
    assert outcome.comparison.updates == 1


def test_keys_that_came_later_are_told(trained: Trained) -> None:
    run = trained().dir
    path = run / "config.yaml"
    text = path.read_text().replace("digest:\n  every: 1\n", "")
    assert text != path.read_text()
    path.write_text(text)
    planned = plan(run)
    assert any(
        "config.yaml is older than digest.every=1: keys that were not" in note for note in planned.notes
    )
    assert again(run).identical


def test_what_is_not_promised_is_told(trained: Trained) -> None:
    run = trained(compute__threads=2, env__id="tests.envs.probes:ProbeUnrepeatable-v0", eval__episodes=0).dir
    notes = " ".join(plan(run).notes)
    assert "Not promised to the last bit: with compute.threads=2" in notes
    assert "The environment may not repeat itself" in notes
