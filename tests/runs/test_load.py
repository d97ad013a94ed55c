"""Trained policies in other people's hands: `load(...).act`, and `evaluate_run`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import rlcli
from rlcli.errors import RlcliError, StorageError, UserError
from rlcli.maths.draws import environment_seed
from rlcli.runs import metrics_table
from rlcli.runs.evaluate import evaluate_run
from rlcli.runs.policy import read_policy
from rlcli.runs.train import Result
from tests.runs.tiny import rows_of

Trained = Callable[..., Result]
SEEN = np.array([[0.1, -0.2, 0.05, 0.3], [-1.0, 2.0, 0.1, -3.0], [0.0, 0.0, 0.0, 0.0]])


def test_one_observation_or_many(finished: Path) -> None:
    run = rlcli.load(finished)
    many = run.act(SEEN)
    assert many.shape == (3,)
    assert [int(run.act(one)) for one in SEEN] == many.tolist()
    assert run.act(SEEN.tolist()).tolist() == many.tolist()
    assert run.act(SEEN[:0]).shape == (0,)
    assert (run.update, run.config.env.id, run.dir) == (3, "CartPole-v1", finished)


def test_actions_are_those_of_the_saved_policy(finished: Path) -> None:
    model, snapshot = read_policy(finished).policy
    with torch.no_grad():
        logits = model.outputs(snapshot, torch.from_numpy(SEEN.astype(np.float32))[None]).state[0]
    assert rlcli.load(finished).act(SEEN).tolist() == logits.argmax(-1).tolist()


def test_an_environment_takes_its_actions(finished: Path) -> None:
    """Played by hand, an episode has the return that evaluation found."""
    run, env = rlcli.load(finished), gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=environment_seed(0, "evaluation", 0))
    total, ended = 0.0, False
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(run.act(observation))
        total, ended = total + float(reward), terminated or truncated
    env.close()
    assert evaluate_run(finished, episodes=1)["return_mean"] == total


def test_stochastic_actions_follow_their_seed(finished: Path) -> None:
    same = np.repeat(SEEN[:1], 200, 0)
    first, again, other = (
        rlcli.load(finished, seed=seed).act(same, stochastic=True).tolist() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert 0 < sum(first) < 200
    run = rlcli.load(finished)
    assert run.act(same, stochastic=True).tolist() != run.act(same, stochastic=True).tolist()


def test_discrete_spaces_that_begin_elsewhere(trained: Trained) -> None:
    run = rlcli.load(trained(env__id="tests.envs.probes:ProbeShifted-v0", eval__episodes=0).dir)
    one, many = run.act(-3), run.act(np.array([-3, 0, 8]), stochastic=True)
    assert one in (5, 6, 7)
    assert {one: "usable as a key"}
    assert set(many.tolist()) <= {5, 6, 7}
    for wrong in (-4, 9, [0, 20], 0.5):
        with pytest.raises(UserError, match="a whole number from -3 to 8"):
            run.act(wrong)


def test_boxes_are_clipped_to_their_bounds(trained: Trained) -> None:
    kwargs = {"low": -0.5, "high": 0.25, "shape": [2, 3]}
    settings: dict[str, Any] = {"env__id": "tests.envs.probes:ProbeEcho-v0", "env__kwargs": kwargs}
    result = trained(**settings, network__log_std_init=1.0, eval__episodes=0)
    run = rlcli.load(result.dir)
    actions = run.act(np.zeros((50, 2, 3)), stochastic=True)
    assert (actions.shape, actions.dtype) == ((50, 2, 3), np.float32)
    assert (actions.min(), actions.max()) == (-0.5, 0.25)
    assert run.act(np.zeros((2, 3))).shape == (2, 3)


def test_observations_of_another_shape_are_refused(finished: Path) -> None:
    run = rlcli.load(finished)
    for shape in ((3,), (2, 3), (1, 2, 4), (), (4, 2)):
        with pytest.raises(UserError, match=r"shape \(4\), a batch of n \(n, 4\); this one has \("):
            run.act(np.zeros(shape))


def test_observations_that_are_no_numbers_are_refused(finished: Path) -> None:
    run = rlcli.load(finished)
    for wrong, told in (
        ([0.0, np.nan, 0.0, 0.0], "consists of finite numbers; this one has the value nan"),
        (["a", "b", "c", "d"], "consists of numbers; this one is of type <U1"),
        ([[0.0] * 4, [0.0] * 3], "is an array of numbers; this one is not"),
    ):
        with pytest.raises(UserError, match=told):
            run.act(wrong)


@pytest.mark.broken_by(
    "pixels between 0 and 1 are cast to 0", "runs/observed.py", 'member.declared.kind in "iub"', "False"
)
def test_images_of_floats_are_refused(trained: Trained) -> None:
    run_dir = trained(
        env__id="tests.envs.probes:ProbeBrighter-v0", network__name="nature_cnn", network__hidden=(8,),
        eval__episodes=0,
    ).dir  # fmt: skip
    run = rlcli.load(run_dir)
    shape = run._trained.spec.observation.shape
    assert run.act(np.full(shape, 200.0)) in (0, 1)
    for value in (0.5, 256, -1):
        with pytest.raises(UserError, match=rf"consists of uint8 numbers; this one has the value {value}"):
            run.act(np.full(shape, value))


def test_runs_are_loaded_by_reference(
    finished: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLCLI_RUNS", str(finished.parent))
    assert rlcli.load().dir == rlcli.load("finished").dir == finished
    monkeypatch.delenv("RLCLI_RUNS")
    assert rlcli.load("last", runs_dir=str(finished.parent), checkpoint=2).update == 2
    with pytest.raises(UserError, match="no runs are in runs"):
        rlcli.load()


def test_metrics_are_a_table_of_the_rows(finished: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run, rows = rlcli.load(finished), rows_of(finished, without="none")
    table = run.metrics()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == list(dict.fromkeys(name for row in rows for name in row))
    for place, row in enumerate(rows):
        found = table.iloc[place].to_dict()
        for name, value in found.items():
            assert value == row[name] if name in row else np.isnan(value)
    assert table["update"].dtype == np.int64
    columns = ["env_steps", "eval/return_mean"]
    assert list(run.metrics(columns).columns) == columns
    assert list(run.metrics("update")["update"]) == [1, 2, 3]
    assert run.metrics(["behaviour/ess", "weights/ess"])["weights/ess"].isna().all()


def test_unknown_metrics_are_refused(finished: Path) -> None:
    with pytest.raises(
        UserError, match=r"Unknown metric 'behaviour/es'. Did you mean 'behaviour/ess'"
    ) as wrong:
        rlcli.load(finished).metrics(["behaviour/es", "update", "nothing"])
    assert len(wrong.value.faults) == 2


def test_metrics_are_arrays_without_pandas(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_table.importlib.util, "find_spec", lambda name: None)
    table = rlcli.load(finished).metrics()
    assert isinstance(table, dict)
    assert table["update"].tolist() == [1, 2, 3]
    returns = table["eval/return_mean"]
    assert (returns.dtype, np.isnan(returns).tolist()) == (np.float64, [True, True, False])
    ess = table["epochs/ess"]
    assert ess.dtype == object
    assert len(ess[0]) == 2


def test_columns_of_any_values() -> None:
    rows = [{"a": 1, "b": 2.5, "c": [1, 2]}, {"a": 2, "b": 1, "d": True}, {"a": 2**70, "c": [3]}]
    found = metrics_table.arrays(rows, ["a", "b", "c", "d"])
    assert found["a"].tolist() == [1, 2, 2**70]
    assert found["b"].tolist()[:2] == [2.5, 1.0]
    assert found["c"][0] == [1, 2]
    assert np.isnan(found["c"][1])
    assert found["d"].tolist()[1] == 1.0


def test_metrics_leave_out_a_torn_row(trained: Trained) -> None:
    result = trained(eval__episodes=0)
    with (result.dir / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4, "env_s')
    assert list(rlcli.load(result.dir).metrics(["update"])["update"]) == [1, 2, 3]
    (result.dir / "metrics.jsonl").unlink()
    assert len(rlcli.load(result.dir).metrics()) == 0


def test_evaluate_is_that_of_the_command_line(
    finished: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = evaluate_run(finished, episodes=3, stochastic=True, seed=4, checkpoint=2)
    assert rlcli.evaluate(finished, episodes=3, stochastic=True, seed=4, checkpoint=2) == wanted
    assert rlcli.evaluate("finished", episodes=1, runs_dir=str(finished.parent))["episodes"] == 1
    with pytest.raises(UserError, match="at least one"):
        rlcli.evaluate(finished, episodes=0)


def test_evaluation_repeats_and_is_the_final_one(finished: Path) -> None:
    played = evaluate_run(finished, episodes=2)
    final = rows_of(finished)[-1]
    assert {
        f"eval/{name}": played[name] for name in ("return_mean", "return_std", "length_mean")
    }.items() <= (final.items())
    assert (played["checkpoint"], played["seed"], played["deterministic"]) == (3, 0, True)
    assert evaluate_run(finished, episodes=2) == played
    assert evaluate_run(finished, episodes=2, seed=5)["length_mean"] != played["length_mean"]
    wandering = evaluate_run(finished, episodes=2, stochastic=True)
    assert wandering == evaluate_run(finished, episodes=2, stochastic=True)
    assert (wandering["deterministic"], wandering["return_mean"]) != (True, played["return_mean"])
    json.dumps(played)


def test_evaluation_needs_an_episode_and_a_checkpoint(finished: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        evaluate_run(finished, episodes=0)
    with pytest.raises(UserError, match="no checkpoint 99"):
        evaluate_run(finished, checkpoint=99)


def test_an_environment_that_fails_is_no_defect_of_ours(trained: Trained) -> None:
    kwargs = {"fault": "raise", "at": 3, "seed": environment_seed(7, "evaluation", 0)}
    result = trained(env__id="tests.envs.probes:ProbeFaulty-v0", env__kwargs=kwargs)
    with pytest.raises(
        RlcliError,
        match=r"ProbeFaulty-v0 failed during the evaluation: tests/envs/broken\.py:\d+: RuntimeError: broken",
    ):
        evaluate_run(result.dir, episodes=1, seed=7)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "damaged"),
        (b"seed: !!python/object/apply:os.system ['true']", "config.yaml"),
        (b"seed: [", "config.yaml"),
        (b"a: &a [*a]", "anchors"),
        (b"- 1", "mapping"),
        (b"x" * 2_000_000, "config.yaml"),
        (b"[" * 100_000, "config.yaml"),
    ],
    ids=["not-utf8", "tag", "torn", "anchor", "list", "long", "deep"],
)
def test_a_hostile_config_is_named(content: bytes, said: str, trained: Trained) -> None:
    result = trained(eval__episodes=0, total_steps=32)
    (result.dir / "config.yaml").write_bytes(content)
    with pytest.raises(StorageError, match=said) as caught:
        rlcli.load(result.dir)
    assert "config.yaml" in str(caught.value)


def test_a_config_with_unknown_keys_or_values_says_so(trained: Trained) -> None:
    result = trained(eval__episodes=0, total_steps=32)
    path = result.dir / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "sede: 0").replace("gamma: 0.99", "gamma: 2"))
    with pytest.raises(UserError, match="sede") as caught:
        rlcli.load(result.dir)
    assert "algo.gamma" in str(caught.value)


def test_a_config_that_does_not_fit_its_checkpoint_says_so(trained: Trained) -> None:
    result = trained(eval__episodes=0, total_steps=32)
    path = result.dir / "config.yaml"
    path.write_text(path.read_text().replace("hidden: [8]", "hidden: [9]"))
    with pytest.raises(StorageError, match="does not fit this run's config"):
        rlcli.load(result.dir)


@pytest.mark.broken_by(
    "a loaded policy that forgets",
    "runs/loaded.py",
    "return self._act(observed.inputs, noise, observed.memory)",
    "return self._act(observed.inputs, noise, None if observed.memory is None else observed.memory * 0)",
)
def test_a_policy_with_memory_takes_and_gives_its_state(trained: Trained) -> None:
    """Played by hand, episodes have the returns that evaluation found, one by one and side by side."""
    run_dir = trained(
        network__name="lstm", network__cell_size=8, network__policy_gain=30.0, algo__minibatch_of="sequences"
    ).dir
    run = rlcli.load(run_dir)
    returns = []
    for episode in range(2):
        env = gymnasium.make("CartPole-v1")
        observation, _ = env.reset(seed=environment_seed(0, "evaluation", episode))
        state, total, ended = None, 0.0, False
        while not ended:
            action, state = run.act(observation, state)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, ended = total + float(reward), terminated or truncated
        env.close()
        assert state.shape == (32,)
        returns.append(total)
    assert evaluate_run(run_dir, episodes=2)["return_mean"] == sum(returns) / 2
    first, state = run.act(SEEN)
    assert (first.shape, state.shape, state.dtype) == ((3,), (3, 32), np.float32)
    again, zeros = run.act(SEEN, np.zeros((3, 32))), run.act(SEEN[0])
    assert again[0].tolist() == first.tolist()
    assert np.array_equal(again[1], state)
    assert np.allclose(zeros[1], state[0], atol=1e-6)


def test_memory_and_masks_beside_images_together(trained: Trained) -> None:
    """Played by hand, episodes have the returns that evaluation found; every action is an allowed one."""
    run_dir = trained(
        env__id="tests.envs.probes:ProbeFlash-v0", env__kwargs={"given": "info"}, env__action_mask="info",
        network__name="gru", network__before="impala_resnet", network__cell_size=8,
        network__policy_gain=30.0, algo__minibatch_of="sequences",
    ).dir  # fmt: skip
    run, returns = rlcli.load(run_dir), []
    for episode in range(6):
        env = gymnasium.make("tests.envs.probes:ProbeFlash-v0", given="info", disable_env_checker=True)
        observation, info = env.reset(seed=environment_seed(0, "evaluation", episode))
        state, ended = None, False
        while not ended:
            action, state = run.act(observation, state, action_mask=info["action_mask"])
            observation, reward, ended, _, info = env.step(action)
        returns.append(float(reward))
    assert evaluate_run(run_dir, episodes=6)["return_mean"] == sum(returns) / 6
    batch, masks = np.stack([observation] * 3), np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    actions, states = run.act(batch, action_mask=masks)
    assert (actions.tolist(), states.shape) == ([1, 0, 2], (3, 16))
    assert run.act(batch, states, action_mask=masks)[0].tolist() == [1, 0, 2]
    with pytest.raises(UserError, match=r"has env\.action_mask=info: act needs action_mask=info"):
        run.act(observation, state)


def test_a_state_of_another_policy_is_refused(trained: Trained) -> None:
    changes = {"network__name": "gru", "network__cell_size": 16, "algo__minibatch_of": "sequences"}
    run = rlcli.load(trained(**changes).dir)
    for state in (np.zeros(31), np.zeros((3, 32)), np.full(32, np.nan), ["a"] * 32, 0, [[1], [1, 2]]):
        with pytest.raises(
            UserError, match=r"state of network=gru is what `act` gave, \(32\) finite numbers"
        ):
            run.act(SEEN[0], state)


def test_a_policy_without_memory_takes_no_state(finished: Path) -> None:
    with pytest.raises(UserError, match="has no memory"):
        rlcli.load(finished).act(SEEN[0], np.zeros(32))
