"""The training loop: when it evaluates and saves, what it records, and that it repeats."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rlcli.backends.session import Row
from rlcli.errors import UserError
from rlcli.runs.train import Result, Verdict, train
from rlcli.store.checkpoints import Checkpoints
from tests.runs.continuing import play
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny

Trained = Callable[..., Result]


def evaluated(run_dir: Path) -> list[int]:
    return [row["update"] for row in rows_of(run_dir) if "eval/return_mean" in row]


def test_rows_count_updates_from_one(trained: Trained) -> None:
    result = trained(total_steps=70)
    assert [(row["update"], row["env_steps"]) for row in rows_of(result.dir)] == [(1, 32), (2, 64), (3, 96)]
    assert (result.status, result.exit_code, result.updates, result.env_steps) == ("finished", 0, 3, 96)


def test_rows_hold_numbers_of_known_names_only(finished: Path) -> None:
    from rlcli.catalog.table import METRICS

    for row in rows_of(finished, without="none"):
        assert set(row) <= set(METRICS)
        for name, value in row.items():
            assert all(math.isfinite(number) for number in (value if isinstance(value, list) else [value])), (
                name
            )
        assert len(row["epochs/kl_mu_pi"]) == 2
        assert row["time/steps_per_second"] > 0


def test_rows_have_stable_keys(finished: Path) -> None:
    episodic = {"train/return_mean", "train/length_mean", "train/return_100"}
    first, *others = [
        {name for name in row if not name.startswith(("eval/", "time/"))} - episodic
        for row in rows_of(finished)
    ]
    assert all(names == first for names in others)
    assert {
        "update", "env_steps", "behaviour/ess", "behaviour/clip_fraction", "behaviour/kl_mu_pi",
        "behaviour/kl_pi_mu", "loss/policy", "update/entropy", "train/episodes",
    } <= first  # fmt: skip


@pytest.mark.parametrize(
    ("every", "expected"),
    [(0, [5]), (1, [1, 2, 3, 4, 5]), (64, [2, 4, 5]), (50, [2, 4, 5]), (100, [4, 5]), (1000, [5])],
)
def test_evaluation_follows_the_first_update_that_reaches_a_multiple(
    every: int, expected: list[int], trained: Trained
) -> None:
    assert evaluated(trained(total_steps=5 * BATCH, eval__every=every).dir) == expected


def test_no_episodes_no_evaluation(trained: Trained) -> None:
    result = trained(eval__every=32, eval__episodes=0)
    assert evaluated(result.dir) == []
    assert (result.status, result.eval_return_mean) == ("finished", None)
    assert index_of(result.dir)["best"] is None


@pytest.mark.parametrize(("every", "expected"), [(0, [5]), (32, [4, 5]), (50, [4, 5]), (96, [3, 5])])
def test_checkpoints_follow_the_first_update_that_reaches_a_multiple(
    every: int, expected: list[int], trained: Trained
) -> None:
    result = trained(total_steps=5 * BATCH, checkpoint__every=every, eval__episodes=0)
    assert sorted(map(int, index_of(result.dir)["kept"])) == expected
    assert index_of(result.dir)["last"] == 5


class Evaluated:
    """Evaluations with the given mean returns, one after another."""

    def __init__(self, *returns: float) -> None:
        self.returns = list(returns)

    def __call__(self, *_: Any, **__: Any) -> Any:
        import numpy as np

        from rlcli.collect.evaluation import Evaluation

        return Evaluation(np.array([self.returns.pop(0)]), np.array([1]))


def test_best_is_the_highest_evaluation_and_the_earlier_of_equals(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlcli.runs.evaluations.evaluate", Evaluated(-3.0, 7.0, 5.0, 7.0, 6.0))
    result = trained(total_steps=5 * BATCH, eval__every=32)
    index = index_of(result.dir)
    assert (index["best"], index["best_return"]) == (2, 7.0)
    assert sorted(index["kept"]) == ["2", "5"]
    assert (manifest_of(result.dir)["best_return_mean"], result.eval_return_mean) == (7.0, 6.0)


def test_the_best_checkpoint_is_the_policy_that_was_evaluated(trained: Trained) -> None:
    from rlcli.runs.evaluate import evaluate_run

    settings = {"eval__every": 32, "eval__episodes": 2, "algo__learning_rate": 0.02}
    result = trained(env__id="Pendulum-v1", total_steps=4 * BATCH, **settings)
    returns = {
        row["update"]: row["eval/return_mean"] for row in rows_of(result.dir) if "eval/return_mean" in row
    }
    best = index_of(result.dir)["best"]
    assert returns[best] == max(returns.values())
    assert len(set(returns.values())) > 1
    for which, update in (("best", best), ("last", 4)):
        played = evaluate_run(result.dir, episodes=2, checkpoint=which)
        assert (played["checkpoint"], played["return_mean"]) == (update, returns[update])


def test_checkpoints_hold_the_state_after_their_update(finished: Path) -> None:
    [state], _ = play([tiny(checkpoint__every=32)], None, 3)
    loaded = Checkpoints(finished).load()
    assert loaded.tensors.keys() == state.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in state.tensors.items())


def test_the_same_config_gives_the_same_run(trained: Trained) -> None:
    first, second = (trained(name, eval__every=32) for name in ("first", "second"))
    assert rows_of(first.dir) == rows_of(second.dir)
    for file in ("digests.txt", "checkpoints/3.safetensors", "checkpoints/index.json", "config.yaml"):
        assert (first.dir / file).read_bytes() == (second.dir / file).read_bytes(), file
    other = trained("other", eval__every=32, seed=1)
    assert rows_of(first.dir) != rows_of(other.dir)


def test_pruning_ends_one_run_and_saves_it(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    def on_row(run: int, row: Row) -> Verdict:
        heard.append((run, row["update"]))
        return Verdict.PRUNE if (run, row["update"]) == (1, 2) else Verdict.CONTINUE

    dirs = [tmp_path / str(seed) for seed in range(3)]
    results = train([tiny(seed=seed) for seed in range(3)], dirs, on_row=on_row)
    assert [result.status for result in results] == ["finished", "pruned", "finished"]
    assert [result.exit_code for result in results] == [0, 0, 0]
    assert heard == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (0, 3), (2, 3)]
    assert Checkpoints(dirs[1]).load().update == 2
    assert manifest_of(dirs[1])["status"] == "pruned"
    for seed in (0, 2):
        [alone] = train([tiny(seed=seed)], [tmp_path / f"alone {seed}"])
        assert rows_of(dirs[seed]) == rows_of(alone.dir)


def test_a_verdict_on_the_last_row_comes_too_late(trained: Trained, tmp_path: Path) -> None:
    [result] = train([tiny(total_steps=32)], [tmp_path / "run"], on_row=lambda run, row: Verdict.PRUNE)
    assert result.status == "finished"


def test_a_cohort_writes_what_lone_runs_write(tmp_path: Path) -> None:
    configs = [tiny(seed=seed, eval__every=64, algo__learning_rate=10.0**-seed) for seed in (1, 2, 3)]
    together = train(configs, [tmp_path / f"together {seed}" for seed in (1, 2, 3)])
    for config, member in zip(configs, together, strict=True):
        [alone] = train([config], [tmp_path / f"alone {config.seed}"])
        assert rows_of(member.dir) == rows_of(alone.dir)
        for file in ("digests.txt", "checkpoints/index.json"):
            assert (member.dir / file).read_bytes() == (alone.dir / file).read_bytes(), file
        assert manifest_of(member.dir)["cohort"] == ["together 1", "together 2", "together 3"]
        assert (member.status, member.eval_return_mean) == (alone.status, alone.eval_return_mean)


def test_runs_of_different_shape_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    dirs = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(UserError, match=r"must agree on algo\.epochs"):
        train([tiny(), tiny(algo__epochs=3, seed=1, name="b")], dirs)
    assert not any(folder.exists() for folder in dirs)


def test_a_directory_is_never_used_twice(trained: Trained, tmp_path: Path) -> None:
    before = trained("run").dir
    rows = rows_of(before)
    with pytest.raises(UserError, match="already contains a run"):
        trained("run", seed=1)
    assert (rows_of(before), manifest_of(before)["seed"]) == (rows, 0)
    with pytest.raises(UserError, match="already contains a run"):
        train([tiny(), tiny(seed=1)], [tmp_path / "both", tmp_path / "both"])


def test_a_run_goes_on_from_a_checkpoint(trained: Trained, tmp_path: Path) -> None:
    whole = trained("whole", eval__every=64)
    [saved], _ = play([tiny()], None, 1)
    [rest] = train([tiny(eval__every=64)], [tmp_path / "rest"], checkpoints=[saved])
    assert rows_of(rest.dir) == rows_of(whole.dir)[1:]
    assert (rest.updates, rest.env_steps) == (3, 96)
    [nothing] = train([tiny()], [tmp_path / "nothing"], checkpoints=[Checkpoints(whole.dir).load()])
    assert (nothing.status, nothing.updates) == ("finished", 3)


def test_paths_may_have_any_letters(tmp_path: Path) -> None:
    from rlcli.runs.evaluate import evaluate_run

    [result] = train([tiny()], [tmp_path / "mein Ordner" / "\u00fcbung \u03b1 100%"])
    assert result.status == "finished"
    assert evaluate_run(result.dir, episodes=1)["episodes"] == 1


def test_it_trains_outside_the_main_thread(trained: Trained) -> None:
    import threading

    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(trained()))
    thread.start()
    thread.join()
    assert [result.status for result in results] == ["finished"]
