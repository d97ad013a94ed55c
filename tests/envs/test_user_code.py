"""Location of the user's code in tracebacks and environments."""

from __future__ import annotations

import gymnasium
import pytest

from rlcli.envs.user_code import definition_of, located, place_of
from tests.envs.broken import Faulty


class Scaled(gymnasium.RewardWrapper):
    """Inherits `step` of a library."""

    def reward(self, reward):
        return reward


def raised(call) -> BaseException:
    with pytest.raises(BaseException) as found:
        call()
    return found.value


def test_the_deepest_frame_of_the_user_counts() -> None:
    def inner() -> None:
        raise KeyError(7)

    def outer() -> None:
        inner()

    line = inner.__code__.co_firstlineno + 1
    assert located(raised(outer)) == f"tests/envs/test_user_code.py:{line}: KeyError: 7"


def test_a_cause_is_the_place_of_an_exception_without_frames_of_the_user() -> None:
    error = RuntimeError("outside")
    assert place_of(error) is None
    error.__cause__ = raised(lambda: [][0])
    assert str(place_of(error)).startswith("tests/envs/test_user_code.py:")


def test_causes_that_go_round_in_a_circle_end() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert place_of(one) is None


def test_code_without_a_file_has_no_place() -> None:
    assert located(ValueError("x")) == "ValueError: x"
    compiled = compile("def f():\n    1 / 0\n", "<string>", "exec")
    names: dict = {}
    exec(compiled, names)
    assert "<string>" not in located(raised(names["f"]))


def test_a_method_is_found_below_wrappers_of_libraries() -> None:
    env = gymnasium.wrappers.TimeLimit(Scaled(Faulty()), 5)
    line = Faulty.step.__code__.co_firstlineno
    assert definition_of(env, "step") == f"tests/envs/broken.py:{line}"
    assert definition_of(gymnasium.make("CartPole-v1"), "step") is None
    assert definition_of(None, "step") is None


def test_a_message_and_its_note_are_on_one_line() -> None:
    error = ValueError("two\nlines.")
    error.add_note("In\n  step 3.")
    assert located(error) == "ValueError: two lines. In step 3."
