"""Actors that never wait, with what else a run may have: modules of the user's, and every logger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli
from tests.extend.conftest import METRIC, NETWORK, Write, forget, rlcli, write
from tests.loggers import wandb_file
from tests.runs.tiny import manifest_of, rows_of

__all__ = ["forget", "rlcli", "write"]

ENVIRONMENT = """
import gymnasium
import numpy as np


class Own(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 5
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.left -= 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(action), self.left == 0, False, {}


gymnasium.register("Own-v0", Own)
"""
WORDS = ("algo=impala_async", "total_steps=160", "algo.rollout_steps=8", "env.num_envs=2", "eval.episodes=1",
         "collect.actors=2", "name=one", "collect.mode=process")  # fmt: skip


def test_modules_of_the_user_are_in_the_actors_too(rlcli: Rlcli, write: Write) -> None:
    write(NETWORK, METRIC, ENVIRONMENT, load=False)
    words = ("--import", "mine", *WORDS, "env=Own-v0", "network=two", "network.two.width=4", "logger=jsonl")
    ended = rlcli("train", *words)
    assert ended.code == 0, ended.err
    run = Path("runs/one")
    assert [one["module"] for one in manifest_of(run)["own_code"]] == ["mine"]
    assert all({"mine/spread", "actors/lag"} <= set(row) for row in rows_of(run))
    assert all(
        row["train/length_mean"] == 5 for row in rows_of(run) if row.get("train/length_mean") is not None
    )


@pytest.mark.filterwarnings("ignore:::mlflow", "ignore::FutureWarning")
def test_every_logger_has_the_figures_of_actors(
    rlcli: Rlcli, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    every = ("logger=[jsonl,tensorboard,wandb,mlflow]", "wandb.mode=offline")
    ended = rlcli("train", *WORDS, "env=CartPole-v1", *every)
    assert ended.code == 0, ended.err
    run = Path("runs/one")
    lags = [row["actors/lag"] for row in rows_of(run)]
    assert len(lags) == 10
    assert [row["actors/lag"] for row in wandb_file.rows(wandb_file.finished(run))] == lags
    [path] = run.glob("events.*")
    events = EventAccumulator(str(path)).Reload().Scalars("actors/lag")
    assert [event.value for event in events] == pytest.approx(lags)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=Path("runs/mlruns").absolute().as_uri())
    [found] = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert [one.value for one in client.get_metric_history(found.info.run_id, "actors/lag")] == lags
