"""Warnings of MuJoCo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.config.schema.env import EnvConfig
from rlcli.envs import mujoco_warnings
from rlcli.envs.registry import make

EVERYWHERE = np.ones((1, 2), bool)
SEEDS = np.array([[1, 2]])
UNSTABLE = """<mujoco><worldbody><body><freejoint/><geom size=".1"/></body></worldbody></mujoco>"""


@pytest.fixture
def mujoco(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MuJoCo without a receiver of its warnings; none has been shown."""
    found = pytest.importorskip("mujoco")
    monkeypatch.setattr(mujoco_warnings, "_shown", set())
    found.set_mju_user_warning(None)
    return found


def diverge(mujoco: Any, at: int) -> None:
    """A simulation with a coordinate that is not finite."""
    model = mujoco.MjModel.from_xml_string(UNSTABLE)
    data = mujoco.MjData(model)
    data.qpos[at] = np.nan
    mujoco.mj_step(model, data)


@pytest.mark.broken_by(
    "MuJoCo prints its warnings itself",
    "envs/mujoco_warnings.py",
    "mujoco.set_mju_user_warning(_on_warning)",
    "pass",
)
def test_warnings_are_shown_once_and_leave_no_file(
    mujoco: Any, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """HalfCheetah's model has a deprecated attribute; nobody who trains it can mend that."""
    env = make(EnvConfig(id="HalfCheetah-v5"), 1, num_envs=2)
    env.reset(SEEDS, EVERYWHERE)
    env.step(np.zeros((1, 2, 6), np.float32))
    for at in range(2):
        diverge(mujoco, at)
    shown = capfd.readouterr().err.splitlines()
    assert len(shown) == 1
    assert shown[0].startswith("Warning of MuJoCo, shown once: Nan, Inf or huge value in QPOS at DOF 0.")
    assert list(workplace.iterdir()) == []


def test_a_receiver_of_the_users_own_stays(mujoco: Any, workplace: Path) -> None:
    received: list[str] = []
    mujoco.set_mju_user_warning(received.append)
    make(EnvConfig(id="HalfCheetah-v5"), 1, num_envs=1)
    assert len(received) >= 1
    assert list(workplace.iterdir()) == []
