"""A run that stopped and goes on is the run that never stopped: weights, rows, digests and statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlcli.config.compose import compose
from rlcli.config.schema.run import RunConfig
from rlcli.errors import EXIT_DONE, EXIT_SIGINT, UserError
from rlcli.maths.draws import environment_seed
from rlcli.runs.train import Result, train
from rlcli.store.checkpoints import Checkpoints
from rlcli.store.config_file import read_config
from tests.runs.resuming import (
    assert_same_run,
    assert_same_states,
    reset_manifest,
    resumed,
    train_all_with_copies,
    train_with_copies,
    without_evaluations,
)
from tests.runs.test_continue import case
from tests.runs.tiny import BATCH, index_of, manifest_of, rows_of, tiny

ALGORITHMS = ("a2c", "dppo", "impala", "mdpo", "ppg", "ppo", "ppo_kl", "reinforce", "trpo")
OWN = {"ppg": ("algo.auxiliary_every=3", "algo.auxiliary_minibatches=8")}
"""Sizes for so small runs: an auxiliary phase before the end, half its memory full at a kill."""
SMALL = (
    "tuned=none", "total_steps=256", "algo.rollout_steps=16", "env.num_envs=2", "network.hidden=[8]",
    "eval.every=64", "eval.episodes=2", "checkpoint.every=64", "checkpoint.seconds=0",
    "env.normalize_observation=true", "env.normalize_reward=true", "logger=[jsonl]",
)  # fmt: skip
"""Eight updates; the fourth is saved."""


def small(*words: str) -> RunConfig:
    return compose([*SMALL, *words]).config


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_goes_on_as_if_it_had_never_stopped(
    algo: str, env: str, lag: int, tmp_path: Path
) -> None:
    config = small(f"algo={algo}", f"env={env}", f"lag={lag}", *OWN.get(algo, ()))
    whole, copies = train_with_copies(config, tmp_path / "run", (4, 5))
    for killed in copies:
        resumed(killed)
        assert_same_run(killed, whole.dir)


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("algo", ["a2c", "ppo", "trpo"])
def test_stable_baselines3_goes_on_as_if_it_had_never_stopped(algo: str, env: str, tmp_path: Path) -> None:
    pytest.importorskip("sb3_contrib")
    words = ["env.normalize_reward=false"] if algo == "trpo" else []
    try:
        config = small("backend=sb3", f"algo={algo}", f"env={env}", *words)
        whole, [killed] = train_with_copies(config, tmp_path / "run", (5,))
    except UserError as error:
        pytest.fail(str(error))
    resumed(killed)
    assert_same_run(killed, whole.dir)


def test_whole_episodes_begin_again_with_the_next_rollout(tmp_path: Path) -> None:
    words = ("algo=reinforce", "collect.whole_episodes=true", "env.kwargs.max_episode_steps=9")
    whole, [killed] = train_with_copies(small(*words), tmp_path / "run", (5,))
    resumed(killed)
    assert_same_run(killed, whole.dir)


ENVIRONMENTS = {
    "FrozenLake-v1": None, "MountainCar-v0": None, "LunarLander-v3": "Box2D", "BipedalWalker-v3": "Box2D",
    "HalfCheetah-v5": "mujoco", "ALE/Pong-v5": "ale_py",
}  # fmt: skip
"""Each with the module it needs."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_environments_are_put_back_in_mid_episode(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (module := ENVIRONMENTS[env]) is not None:
        pytest.importorskip(module, exc_type=ImportError)
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log where it stands
    words = ["env.kwargs.obs_type=ram"] if env.startswith("ALE") else []
    evaluation = ["eval.episodes=0"] if env.startswith("ALE") or env == "HalfCheetah-v5" else []
    config = small(f"env={env}", *words, *evaluation)
    whole, [killed] = train_with_copies(config, tmp_path / "run", (5,))
    lengths = Checkpoints(killed).load().tensors["collector.lengths"]
    assert (lengths > 0).any(), "an episode must be going on"
    resumed(killed)
    assert_same_run(killed, whole.dir)
    assert manifest_of(killed)["resumes"][0]["exact"] is True


@pytest.mark.broken_by(
    "elapsed steps of a time limit forgotten",
    "collect/state.py",
    "    steps = max(len(state.history) for state in found)\n",
    "    steps = 0\n"
    "    found = [state._replace(observations=observations[0]) for state in found]\n"
    "    states = found\n",
)
def test_the_time_limit_goes_on_counting(tmp_path: Path) -> None:
    """An episode is cut at its limit, wherever in it the run stopped."""
    limit = {"env__id": "Pendulum-v1", "env__kwargs": {"max_episode_steps": 50}}
    config = tiny(total_steps=8 * BATCH, checkpoint__every=64, **limit)
    whole, [killed] = train_with_copies(config, tmp_path / "run", (5,))
    resumed(killed)
    assert_same_run(killed, whole.dir)
    ends = [row["update"] for row in rows_of(killed) if row["train/episodes"]]
    assert ends == [4, 7], "steps 50 and 100 of 16 an update"


@pytest.mark.parametrize("updates", range(8))
def test_it_goes_on_from_any_moment(updates: int, tmp_path: Path) -> None:
    """Also from one before the first checkpoint, and from the last."""
    config = small("seed=3", "checkpoint.keep=2")
    whole, copies = train_with_copies(config, tmp_path / "run", (updates + 1,))
    resumed(copies[0])
    assert_same_run(copies[0], whole.dir)


def test_a_member_of_a_cohort_goes_on_alone(tmp_path: Path) -> None:
    configs = [small(f"seed={seed}", f"algo.learning_rate={seed}e-3") for seed in (1, 2, 3)]
    results, copies = train_all_with_copies(configs, [tmp_path / str(n) for n in range(3)], (5,))
    resumed(copies[1][0])
    assert_same_run(copies[1][0], results[1].dir)


def interrupted(tmp_path: Path, seed: int, name: str = "run", **changes: Any) -> Result:
    """A run in which somebody presses Ctrl-C in the episode with that reset seed."""
    settings = {"env__id": "tests.runs.environments:Interrupting-v0", "total_steps": 8 * BATCH}
    config = tiny(**settings | {"env__kwargs": {"seed": seed}} | changes)
    return train([config], [tmp_path / name])[0]


def calm(run_dir: Path) -> None:
    """Nobody presses it again: as if the signal had come from outside."""
    config = read_config(run_dir)
    text = (run_dir / "config.yaml").read_text().replace(str(config.env.kwargs["seed"]), "-1")
    (run_dir / "config.yaml").write_text(text)
    reset_manifest(run_dir, config_sha256=None)


@pytest.mark.parametrize("best", [True, False])
def test_an_evaluation_that_was_cut_short_is_made_again(
    best: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"eval__every": 64, "checkpoint__every": 96 if best else 64, "algo__learning_rate": 0.01}
    seed = environment_seed(0, "evaluation", 1)
    result = interrupted(tmp_path, seed, **settings)
    assert (result.exit_code, result.updates) == (EXIT_SIGINT, 2)
    assert "eval/return_mean" not in rows_of(result.dir)[-1]
    calm(result.dir)
    resumed(result.dir)
    whole = interrupted(tmp_path, -1, "whole", **settings)
    assert "eval/return_mean" in rows_of(result.dir)[1]
    assert_same_run(result.dir, whole.dir)


@pytest.mark.broken_by(
    "an evaluation cut short not made again",
    "runs/recorder.py",
    "owed=self._evaluation_interrupted,",
    "owed=False,",
)
def test_a_final_evaluation_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    result = interrupted(tmp_path, environment_seed(0, "evaluation", 1))
    assert (result.status, result.updates) == ("interrupted", 8)
    calm(result.dir)
    resumed(result.dir)
    assert_same_run(result.dir, interrupted(tmp_path, -1, "whole").dir)


def test_a_finished_run_goes_on_to_more_steps(tmp_path: Path) -> None:
    """Schedules hold; its final evaluation is marked; its last checkpoint and best leave no trace."""
    settings = {
        "eval__every": 64, "checkpoint__every": 64, "checkpoint__keep": 2, "algo__learning_rate": 3e-2,
    }  # fmt: skip
    short = train([tiny(total_steps=5 * BATCH, **settings)], [tmp_path / "short"])[0]
    longer = tiny(total_steps=12 * BATCH, schedule_steps=5 * BATCH, **settings)
    whole = train([longer], [tmp_path / "whole"])[0]
    assert rows_of(short.dir)[-1]["eval/final"] == 1.0
    result = resumed(short.dir, f"total_steps={12 * BATCH}")
    assert (result.updates, result.status) == (12, "finished")
    found, wanted = rows_of(short.dir), rows_of(whole.dir)
    assert without_evaluations(found[4:5]) == without_evaluations(wanted[4:5])
    assert found[:4] + found[5:] == wanted[:4] + wanted[5:]
    assert found[-1]["update/learning_rate"] == found[5]["update/learning_rate"]
    index, straight = index_of(short.dir), index_of(whole.dir)
    for name in ("saved", "last", "best", "best_return", "course_best"):
        assert index[name] == straight[name], name
    assert_same_states(short.dir, whole.dir)
    assert (short.dir / "digests.txt").read_text() == (whole.dir / "digests.txt").read_text()
    assert read_config(short.dir) == read_config(whole.dir)


def test_schedules_are_frozen_at_the_first_start(tmp_path: Path) -> None:
    from dataclasses import replace

    config = replace(tiny(), schedule_steps=None)
    [result] = train([config], [tmp_path / "run"])
    assert read_config(result.dir).schedule_steps == config.total_steps
    resumed(result.dir, "total_steps=200")
    assert read_config(result.dir).schedule_steps == config.total_steps


@pytest.mark.broken_by(
    "an RNG stream carried over from update to update",
    "collect/collector.py",
    'generator(seed, "action", update)',
    'self.__dict__.setdefault(f"carried {seed}", generator(seed, "action"))',
)
@pytest.mark.broken_by(
    "a queue entry dropped on the way into a checkpoint",
    "backends/native_state.py",
    "    return state, CollectorState(**fields)\n",
    "    queue = states.map_leaves(lambda leaf: torch.cat((leaf[1:], leaf[-1:])), state.queue)\n"
    "    return state._replace(queue=queue), CollectorState(**fields)\n",
)
@pytest.mark.broken_by(
    "the optimiser's step count from 0",
    "backends/native_state.py",
    "    return state, CollectorState(**fields)\n",
    "    optimiser = state.optimiser._replace(steps=torch.zeros(()))\n"
    "    return state._replace(optimiser=optimiser), CollectorState(**fields)\n",
)
@pytest.mark.broken_by(
    "rows after the checkpoint kept",
    "store/earlier_rows.py",
    "cut(self._path, self._kept.end)",
    "cut(self._path, self._path.stat().st_size)",
)
def test_everything_on_goes_on(tmp_path: Path) -> None:
    for name in ("CartPole gymnasium", "Pendulum"):
        # Noise of the kernels in C has no generator to carry on.
        torch = {"compute__kernel": "torch"} if name == "Pendulum" else {}
        config = case(name, checkpoint__every=64, eval__every=96, lag=3, **torch)
        whole, [killed] = train_with_copies(config, tmp_path / name, (5,))
        resumed(killed)
        assert_same_run(killed, whole.dir)


def test_resuming_twice_in_a_row_is_resuming_once(tmp_path: Path) -> None:
    whole, [killed] = train_with_copies(tiny(checkpoint__every=32, total_steps=160), tmp_path / "run", (2,))
    resumed(killed, "total_steps=96")
    resumed(killed, "total_steps=160")
    assert_same_states(killed, whole.dir)
    assert (killed / "digests.txt").read_text() == (whole.dir / "digests.txt").read_text()


def test_a_failed_run_goes_on_when_its_cause_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.runs.test_failures import full_after

    config = tiny(checkpoint__every=32, eval__every=32, total_steps=5 * BATCH)
    [whole] = train([config], [tmp_path / "whole"])
    for writes in range(8, 100, 7):
        with monkeypatch.context() as patch:
            full_after(patch, writes)
            [result] = train([config], [tmp_path / str(writes)])
        if result.exit_code == EXIT_DONE:
            break
        assert (result.status, result.exit_code) == ("failed", 4)
        resumed(result.dir)
        assert_same_run(result.dir, whole.dir)
    else:
        pytest.fail("the disk never had room enough")
