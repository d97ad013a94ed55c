"""An environment changes nothing but itself: not the process, not its arguments, not its siblings."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.registry import describe, make
from rlcli.envs.untrusted import close, contained, interrupts_noticed, surroundings_kept
from rlcli.errors import EnvironmentFault, RlcliError, StorageError, UserError
from rlcli.text import described, message_of, trace
from tests.envs.odd import Unprintable

ODD = "tests.envs.odd:Odd-v0"
EVERYWHERE = np.ones((2, 2), bool)
SEEDS = np.array([[1, 2], [3, 4]])


def odd(deed: str, runs: int = 2, **kwargs: Any) -> Any:
    return make(EnvConfig(id=ODD, kwargs={"deed": deed, **kwargs}), runs, num_envs=2)


@pytest.mark.parametrize("episode", [1, 2])
@pytest.mark.parametrize("deed", ["choice", "half", "text", "exit", "interrupt", "generator", "unprintable"])
def test_a_deed_fails_its_run_and_says_where(
    deed: str, episode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment's first episode and later; as in training, where Ctrl-C has a handler of ours."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    env = odd(deed, seed=4)
    for number in range(1, episode + 1):
        seeds = SEEDS if number == episode else SEEDS + 100
        assert (env.reset(seeds, EVERYWHERE) == 0).all()
        for step in range(3):
            found = env.step(np.ones((2, 2), np.int64))
            assert set(env.failures) == ({1} if (number, step) == (episode, 2) else set())
        assert (found.observations[0] == 1).all()
    told = "".join([str(described(env.failures[1])), *getattr(env.failures[1], "__notes__", ())])
    assert f"environment 1, step 3 of its episode {episode} (reset seed 4, action " in told
    assert trace(env.failures[1])


def test_a_process_stays_where_it_is(workplace: Path) -> None:
    """In the first episode of an environment at once; later moves are the training loop's to undo."""
    before = signal.getsignal(signal.SIGTERM)
    for deed in ("move", "listen"):
        env = odd(deed, seed=1)
        for episode in range(2):
            env.reset(SEEDS + 100 * episode, EVERYWHERE)
            for _ in range(4):
                env.step(np.zeros((2, 2), np.int64))
                assert Path.cwd() == workplace
        assert env.failures == {}
    assert signal.getsignal(signal.SIGTERM) is before
    assert np.geterr()["over"] != "raise"


def test_surroundings_are_put_back(workplace: Path) -> None:
    with surroundings_kept():
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(not torch.is_grad_enabled())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert Path.cwd() == workplace
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_arguments_are_each_instances_own() -> None:
    goals = {"inner": [1, 2, 3]}
    config = EnvConfig(id=ODD, kwargs={"goals": goals})
    env = make(config, 2, num_envs=3)
    assert {one.unwrapped.goal for run in env._envs for one in run} == {3}
    assert goals == {"inner": [1, 2, 3]}


def test_a_constructor_that_exits_is_a_users_error() -> None:
    with pytest.raises(UserError, match=r"cannot be made.*SystemExit: 0"):
        describe(EnvConfig(id=ODD, kwargs={"deed": "make"}))


def test_an_exit_under_the_probe_is_left_to_fail_in_its_run() -> None:
    spec = describe(EnvConfig(id=ODD, kwargs={"deed": "exit"}))
    assert not spec.exact_resume
    assert "SystemExit: 0" in str(spec.inexact_reason)


def test_a_close_that_raises_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    env = odd("close", goals={"inner": [1]})
    env.close()
    env.select([0])
    close("Another-v0", None)
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if "close() raised Unprintable" in line]) == 1
    assert len([line for line in told if "Another-v0: close() raised AttributeError" in line]) == 1


def test_one_run_whose_environments_cannot_be_made_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    from rlcli.envs import construct

    create, made = construct.create, []

    def fourth_fails(env_id: str, kwargs: Any) -> Any:
        made.append(env_id)
        if len(made) == 4:
            raise UserError("no licence left")
        return create(env_id, kwargs)

    config = EnvConfig(id=ODD)
    describe(config)
    monkeypatch.setattr(construct, "create", fourth_fails)
    env = make(config, 3, num_envs=2)
    env.reset(np.arange(6).reshape(3, 2), np.ones((3, 2), bool))
    assert (env.step(np.ones((3, 2), np.int64)).observations == [[1, 1], [0, 0], [1, 1]]).all()
    assert [str(env.failures[run]) for run in env.failures] == ["no licence left"]
    made[:] = ["x"] * 2
    with pytest.raises(UserError, match="no licence left"):
        make(config, 1, num_envs=2)


def test_no_exception_of_an_environment_passes_for_ours() -> None:
    class Zero(RlcliError):
        exit_code = 0

    for error in (Zero("fine"), StorageError("full"), SystemExit(0), GeneratorExit()):
        found = contained(error, "Odd-v0")
        assert type(found) is EnvironmentFault
        assert found.exit_code == 1
        assert found.__cause__ is error
    kept = ValueError("x")
    assert contained(kept, "Odd-v0") is kept


def test_a_ctrl_c_that_was_pressed_is_no_fault_of_the_environment() -> None:
    def pressed() -> None:
        with interrupts_noticed():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt as error:
                contained(error, "Odd-v0")

    with pytest.raises(KeyboardInterrupt):
        pressed()
    with interrupts_noticed():
        assert type(contained(KeyboardInterrupt(), "Odd-v0")) is EnvironmentFault


def test_any_exception_has_a_text() -> None:
    for error in (Unprintable(), ExceptionGroup("many", [Unprintable()])):
        assert type(error).__name__ in described(error)
        assert "Unprintable" in trace(error)
    assert "__str__ fails" in message_of(Unprintable())
    assert described(ValueError()) == "ValueError"
    assert described(ValueError("two\n\t lines")) == "ValueError: two lines"
    assert described(ValueError("\x1b[2J")) == r"ValueError: \x1b[2J"
