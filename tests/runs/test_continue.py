"""A run that was saved and goes on is the run that was never stopped, to the last bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rlcli.backends.session import Checkpoint
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import to_yaml
from rlcli.store.checkpoints import Checkpoints
from tests.runs.continuing import play
from tests.runs.tiny import tiny

PHASES = {
    "algo__step_rule": "phasic", "algo__auxiliary_every": 4, "algo__auxiliary_epochs": 2,
    "algo__auxiliary_minibatches": 4,
}  # fmt: skip
"""The update after the checkpoint ends with an auxiliary phase, on rollouts from before it too."""
CASES: dict[str, dict[str, Any]] = {
    "CartPole array": {"env__backend": "array"},
    "CartPole gymnasium": {"env__backend": "gymnasium"},
    "Pendulum": {"env__id": "Pendulum-v1"},
    "phases": {"env__id": "Pendulum-v1", **PHASES},
    "reuse": {"env__id": "Pendulum-v1", "algo__reuse": 3},
    "phases on one trunk": {"env__id": "Pendulum-v1", "network__shared": True, **PHASES},
}
BEFORE, AFTER = 3, 4
"""Updates before and after the checkpoint."""


def case(name: str, **changes: Any) -> RunConfig:
    """Everything on that leaves a state behind."""
    settings = {
        "total_steps": 320, "algo__learning_rate": 3e-3, "algo__learning_rate_schedule": "linear",
        "env__normalize_observation": True, "env__normalize_reward": True,
    }  # fmt: skip
    return tiny(**settings | CASES[name] | changes)


def assert_same(left: Checkpoint, right: Checkpoint) -> None:
    assert left.update == right.update
    assert left.tensors.keys() == right.tensors.keys()
    for name, tensor in left.tensors.items():
        other = right.tensors[name]
        assert (tensor.dtype, tensor.shape) == (other.dtype, other.shape), name
        assert torch.equal(tensor, other), name


def same(left: Checkpoint, right: Checkpoint) -> bool:
    try:
        assert_same(left, right)
    except AssertionError:
        return False
    return True


def test_a_new_process_continues_as_if_nothing_had_been(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in CASES}
    expected = {}
    for name, folder in folders.items():
        config = case(name)
        [saved], _ = play([config], None, BEFORE)
        assert saved.tensors["collector.lengths"].min() > 0, "an episode must be going on"
        assert (saved.tensors["train.policy.moments.mean"] != 0).any(), "statistics must have moved"
        folder.mkdir()
        (folder / "config.yaml").write_text(to_yaml(config))
        Checkpoints(folder).save(saved, BEFORE * config.batch_size)
        [whole], [rows] = play([config], None, BEFORE + AFTER)
        expected[name] = whole, rows[BEFORE:]
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.continuing", str(AFTER), *map(str, folders.values())],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for (name, (whole, rows)), continued in zip(expected.items(), json.loads(done.stdout), strict=True):
        assert continued == rows, name
        assert_same(Checkpoints(folders[name]).load(), whole)


@pytest.mark.parametrize("name", CASES)
def test_a_member_continues_alone_and_elsewhere(name: str) -> None:
    """Members of a cohort and a lone run, at different updates, meet in another cohort."""
    configs = [
        case(name, seed=seed, algo__learning_rate=rate, algo__clip=clip)
        for seed, rate, clip in ((1, 1e-3, 0.1), (2, 3e-3, 0.2), (3, 1e-2, 0.3))
    ]
    alone, rows = zip(*(play([config], None, BEFORE + AFTER) for config in configs), strict=True)
    together, _ = play(configs, None, BEFORE)

    [continued], [rows_alone] = play([configs[1]], [together[1]], AFTER)
    assert_same(continued, alone[1][0])
    assert rows_alone == rows[1][0][BEFORE:]

    [early], _ = play([configs[2]], None, 1)
    joined, rows_joined = play([configs[2], configs[0]], [early, together[0]], AFTER)
    assert joined[0].update == 1 + AFTER
    assert rows_joined[0] == rows[2][0][1 : 1 + AFTER]
    assert_same(joined[1], alone[0][0])
    assert rows_joined[1] == rows[0][0][BEFORE:]


@pytest.mark.parametrize("name", ["Pendulum", "phases", "phases on one trunk"])
def test_every_part_of_a_checkpoint_matters(name: str) -> None:
    """Were a tensor not restored, the comparison above would see it."""
    config = case(name)
    [saved], _ = play([config], None, BEFORE)
    expected = play([config], [saved], 1)
    for part, tensor in saved.tensors.items():
        if tensor.numel() == 0:
            continue
        changed = tensor + (1e-3 if tensor.is_floating_point() else 1)
        [after], rows = play([config], [Checkpoint(saved.tensors | {part: changed}, BEFORE)], 1)
        assert not same(after, expected[0][0]) or rows != expected[1], part


def test_a_checkpoint_of_another_shape_is_refused() -> None:
    from rlcli.errors import StorageError

    [saved], _ = play([case("Pendulum")], None, 1)
    with pytest.raises(StorageError, match="does not fit this run's config"):
        play([case("Pendulum", network__hidden=(9,))], [saved], 1)
    missing = {name: tensor for name, tensor in saved.tensors.items() if name != "collector.episodes"}
    with pytest.raises(StorageError, match="episodes"):
        play([case("Pendulum")], [Checkpoint(missing, 1)], 1)
