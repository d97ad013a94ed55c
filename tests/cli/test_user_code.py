"""A mistake in the user's own environment: the message names its file, line and value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Rlcli
from tests.cli.test_environments import SHORT

FILE = "my_faulty_env.py"
SOURCE = """
import json

import gymnasium
import numpy as np
import rich.color


class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fault):
        self.fault = fault
        if fault == "make":
            raise ValueError("no such map")  # make

    def reset(self, *, seed=None, options=None):  # alone
        super().reset(seed=seed)
        self.steps = 0
        if self.fault == "reset":
            self.start()
        if self.fault == "alone":
            return np.zeros(3, np.float32)
        return np.zeros(3, np.float32), {}

    def start(self):
        raise OSError("no map")  # reset

    def step(self, action):  # hole  # reward  # four
        self.steps += 1
        observation, reward = np.zeros(3, np.float32), 1.0
        if self.steps == 3:
            if self.fault == "raise":
                {}["speed"]  # raise
            if self.fault == "lines":
                raise ValueError("two\\n  lines")  # lines
            if self.fault == "json":
                json.loads("no json")  # json
            if self.fault == "numpy":
                np.linalg.inv(np.zeros((2, 2)))  # numpy
            if self.fault == "package":
                rich.color.Color.parse("no colour")  # package
            if self.fault == "exit":
                raise SystemExit(3)  # exit
            if self.fault == "hole":
                observation[1] = np.nan
            if self.fault == "reward":
                reward = "high"
            if self.fault == "four":
                return observation, reward, False, {}
        return observation, reward, False, self.steps == 20, {}


class Same(gymnasium.Wrapper):
    pass


gymnasium.register("MyFaulty-v0", Mine)
"""
ENV = "env=my_faulty_env:MyFaulty-v0"
WHERE = "my_faulty_env:MyFaulty-v0, environment 0, step 3 of its episode 1 (reset seed "


def line_of(fault: str) -> int:
    """The line that is the cause of a fault."""
    [number] = [at for at, line in enumerate(SOURCE.splitlines(), 1) if f"# {fault}" in line]
    return number


@pytest.fixture
def my_module(workplace: Path) -> Iterator[Path]:
    """The module in the current folder."""
    (workplace / FILE).write_text(SOURCE)
    yield workplace / FILE
    sys.modules.pop("my_faulty_env", None)


@pytest.mark.broken_by(
    "a message of several lines breaks the line",
    "text.py",
    'return " ".join(message_of(error).split())',
    "return message_of(error)",
    case="lines",
)
@pytest.mark.broken_by(
    "a frame of the standard library taken for the user's",
    "envs/user_code.py",
    "return not standard or bool(INSTALLED & set(found.parts))",
    "return True",
    case="json",
)
@pytest.mark.broken_by(
    "a frame of an installed package taken for the user's",
    "envs/user_code.py",
    "not INSTALLED & set(Path(path).parts)",
    "True",
    case="package",
)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "KeyError: 'speed'. In {where}"),
        ("lines", "ValueError: two lines. In {where}"),
        ("json", "JSONDecodeError: Expecting value: line 1 column 1 (char 0). In {where}"),
        ("numpy", "LinAlgError: Singular matrix. In {where}"),
        ("package", "ColorParseError: 'no colour' is not a valid color. In {where}"),
        ("exit", "{where}"),
        ("hole", "{where}"),
        ("reward", "{where}"),
        ("reset", "OSError: no map. In my_faulty_env:MyFaulty-v0, environment 0, the reset of its episode 1"),
    ],
    ids=["raise", "lines", "json", "numpy", "package", "exit", "hole", "reward", "reset"],
)
def test_a_failed_run_names_the_line_and_the_value(
    fault: str, message: str, rlcli: Rlcli, my_module: Path
) -> None:
    ended = rlcli("train", ENV, f"env.kwargs.fault={fault}", "name=one", *SHORT)
    assert ended.code in (1, 3)
    assert f"failed: {FILE}:{line_of(fault)}: {message.format(where=WHERE)}" in ended.err
    values = {
        "hole": "gave a non-finite observation (nan at index 1).",
        "reward": "the reward should be one real number; it is 'high', of type str.",
        "exit": "raised SystemExit: 3.",
        "reset": "",
    }
    assert values.get(fault, ", action ") in ended.err


@pytest.mark.broken_by(
    "Gymnasium's TimeLimit takes results apart unchecked",
    "envs/construct.py",
    "return checked_below(gymnasium.make(unchecked, **given))",
    "return gymnasium.make(unchecked, **given)",
    case="four-limit",
)
@pytest.mark.broken_by(
    "Gymnasium's other wrappers take results apart unchecked",
    "envs/wrappers.py",
    "env = checked_below(_applied(env_id, env, wrapper, maker))",
    "env = _applied(env_id, env, wrapper, maker)",
    case="alone-stack",
)
@pytest.mark.parametrize(
    "around",
    [
        ["env.kwargs.max_episode_steps=50"],
        ["env.wrappers=[{FrameStackObservation: {stack_size: 2}}]"],
        ["env.wrappers=[my_faulty_env:Same, {FrameStackObservation: {stack_size: 2}}]"],
        ["env.kwargs.max_episode_steps=50", "env.wrappers=[NormalizeReward, my_faulty_env:Same]"],
    ],
    ids=["limit", "stack", "own", "both"],
)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("four", "step should give (observation, reward, terminated, truncated, info); it gave 4 values."),
        (
            "alone",
            "reset should give (observation, info); it gave array([0., 0., 0.], dtype=float32), an arr",
        ),
    ],
    ids=["four", "alone"],
)
def test_results_with_missing_parts_are_named_whatever_wrapper_reads_them(
    fault: str, message: str, around: list[str], rlcli: Rlcli, my_module: Path
) -> None:
    ended = rlcli("train", ENV, f"env.kwargs.fault={fault}", "name=one", *around, *SHORT)
    assert ended.code == 1
    [failed] = [line for line in ended.err.splitlines() if line.startswith("failed: ")]
    assert failed.startswith(f"failed: {FILE}:{line_of(fault)}: my_faulty_env:MyFaulty-v0")
    assert f"returned an invalid result: {message}" in failed


def test_what_is_suggested_does_not_meet_the_same_error(rlcli: Rlcli, my_module: Path) -> None:
    ended = rlcli("train", ENV, "env.kwargs.fault=raise", "name=one", *SHORT)
    *_, warning, suggestion = ended.err.splitlines()
    assert warning == "Resuming begins new episodes and fails again until the cause is fixed."
    assert suggestion.startswith("After that: rlcli resume ")
    my_module.write_text(SOURCE.replace('{}["speed"]  # raise', "pass"))
    sys.modules.pop("my_faulty_env")
    words = suggestion.partition("rlcli ")[2].split()
    assert rlcli(*words, "-q").code == 0


def test_the_failure_of_a_sweep_is_not_met_again_without_a_warning(rlcli: Rlcli, my_module: Path) -> None:
    ended = rlcli("train", "-m", "seed=0,1", ENV, "env.kwargs.fault=raise", "name=two", *SHORT)
    assert ended.err.count(f"failed: {FILE}:{line_of('raise')}: KeyError: 'speed'.") == 2
    assert "Jobs that failed will fail again until the cause is fixed." in ended.err
    assert "Resume with" not in ended.err


def test_numbers_of_training_that_are_not_finite_suggest_other_settings(
    rlcli: Rlcli, workplace: Path
) -> None:
    ended = rlcli("train", "-q", "algo.learning_rate=1e30", "algo.max_grad_norm=null", "name=one", *SHORT)
    assert ended.code == 3
    assert "train it again with other settings, such as a smaller learning rate" in ended.err
    assert "rlcli resume" not in ended.err


def test_a_constructor_that_raises_is_named(rlcli: Rlcli, my_module: Path) -> None:
    ended = rlcli("train", ENV, "env.kwargs.fault=make", *SHORT)
    assert ended.code == 2
    assert f"cannot be made with env.kwargs={{'fault': 'make'}}: {FILE}:{line_of('make')}: ValueError" in (
        ended.err
    )


def test_a_module_that_cannot_be_parsed_or_imported_is_named(rlcli: Rlcli, my_module: Path) -> None:
    my_module.write_text("import gymnasium\n\ngymnasium.regster()\n")
    assert f"importing my_faulty_env failed: {FILE}:3: AttributeError: " in rlcli("train", ENV).err
    my_module.write_text("\n\n\ndef step(:\n")
    assert f"importing my_faulty_env failed: {FILE}:4: SyntaxError: " in rlcli("train", ENV).err


def test_an_evaluation_names_the_line(rlcli: Rlcli, my_module: Path) -> None:
    assert rlcli("train", "-q", ENV, "env.kwargs.fault=none", "name=one", *SHORT).code == 0
    my_module.write_text(SOURCE.replace('self.fault == "raise"', "True"))
    sys.modules.pop("my_faulty_env")
    ended = rlcli("eval", "runs/one", "--import", "my_faulty_env")
    assert ended.code == 1
    assert f"failed during the evaluation: {FILE}:{line_of('raise')}: KeyError: 'speed'." in ended.err
