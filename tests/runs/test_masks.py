"""Masked runs in other people's hands: warnings, `load(...).act`, evaluation, earlier run directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlcli
from rlcli.backends.sb3_mapping import refusals
from rlcli.errors import UserError
from rlcli.maths.draws import environment_seed
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.train import Result, train
from rlcli.store.config_file import read_config
from tests.runs.tiny import tiny

Trained = Callable[..., Result]
CORRIDOR, DOORS = "tests.envs.probes:ProbeCorridor-v0", "tests.envs.probes:ProbeDoors-v0"
RUNS: dict[str, dict[str, Any]] = {
    "info": {"env__id": CORRIDOR, "env__action_mask": "info"},
    "observation": {
        "env__id": CORRIDOR, "env__kwargs": {"given": "observation"}, "env__action_mask": "observation.legal",
    },
    "a tuple of masks": {"env__id": DOORS, "env__kwargs": {"joined": False}, "env__action_mask": "info"},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_an_environment_takes_the_actions_of_a_loaded_run(name: str, trained: Trained) -> None:
    """Played by hand, an episode has the return that evaluation found."""
    run_dir = trained(**RUNS[name]).dir
    run, given = rlcli.load(run_dir), RUNS[name]
    env = gymnasium.make(given["env__id"], **given.get("env__kwargs", {}))
    observation, info = env.reset(seed=environment_seed(0, "evaluation", 0))
    total, ended = 0.0, False
    while not ended:
        masks = {} if name == "observation" else {"action_mask": info["action_mask"]}
        action = run.act(observation, **masks)
        assert env.action_space.contains(run.act(observation, stochastic=True, **masks))
        observation, reward, terminated, truncated, info = env.step(action)
        total, ended = total + float(reward), terminated or truncated
    env.close()
    assert evaluate_run(run_dir, episodes=1)["return_mean"] == total


def test_actions_of_a_batch_follow_each_its_mask(trained: Trained) -> None:
    run = rlcli.load(trained(**RUNS["info"]).dir)
    masks = np.eye(4, dtype=bool)
    assert run.act(np.zeros((4, 1)), action_mask=masks).tolist() == [2, 3, 4, 5]
    assert run.act(np.zeros((4, 1)), action_mask=masks, stochastic=True).tolist() == [2, 3, 4, 5]
    assert run.act(np.zeros((0, 1)), action_mask=[]).shape == (0,)
    for given, said in (
        (None, r"has env.action_mask=info: act needs action_mask=info\['action_mask'\]"),
        (masks[:2], "there are 2 masks for 4 observations"),
        (np.ones((4, 3)), r"info\['action_mask'\] should be an array of 4 zeros and ones"),
        (np.zeros((4, 4)), "should allow at least one choice"),
        (3, "int"),
    ):
        with pytest.raises(UserError, match=said):
            run.act(np.zeros((4, 1)), action_mask=given)


def test_masks_that_a_run_does_not_take_are_refused(trained: Trained, finished: Path) -> None:
    with pytest.raises(UserError, match=r"has env\.action_mask=none: act takes no action_mask"):
        rlcli.load(finished).act(np.zeros(4), action_mask=np.ones(2))
    run = rlcli.load(trained(**RUNS["observation"]).dir)
    assert run.act({"place": np.zeros(1), "legal": np.array([0, 0, 0, 1])}) == 5
    with pytest.raises(UserError, match="has a mask 'legal'; this one has none"):
        run.act({"place": np.zeros(1)})


def test_a_run_without_the_masks_there_are_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train([tiny(env__id="Taxi-v4", total_steps=32)], [tmp_path / "run"])
    text = "Taxi-v4 says which actions are allowed, and this run is trained without that; to use it: "
    assert f"Warning: {text}env.action_mask=info" in capsys.readouterr().err
    train([tiny(env__id="Taxi-v4", env__action_mask="info", total_steps=32)], [tmp_path / "masked"])
    assert "action_mask" not in capsys.readouterr().err


def test_a_run_directory_from_before_has_no_masks(finished: Path, tmp_path: Path) -> None:
    """Config files that lack the key mean what they meant."""
    lines = (finished / "config.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if "action_mask" not in line]
    assert len(kept) < len(lines)
    (tmp_path / "config.yaml").write_text("".join(kept))
    assert read_config(tmp_path) == read_config(finished)


def test_stable_baselines3_takes_no_masks() -> None:
    texts = [fault.text for fault in refusals(tiny(**RUNS["info"], backend="sb3"))]
    assert any("env.action_mask=info is not possible with backend=sb3" in text for text in texts)
