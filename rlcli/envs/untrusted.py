"""Isolation from environments' code: exceptions they raise, and process state they leave changed.

An environment must not end the process, move it to another folder, take its signals or change how numpy and
torch compute. `os._exit`, a crash in C and a loop without an end are beyond what a process can hold off.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from rlcli.envs.user_code import located, place_of, prefixed
from rlcli.errors import EnvironmentFault, RlcliError
from rlcli.streams import say
from rlcli.text import described

_interrupted = False
"""Whether the operating system sent SIGINT while `interrupts_noticed` was listening."""
_unclosed: set[str] = set()
"""Environments whose `close` has raised."""


def contained(error: BaseException, env_id: str) -> Exception:
    """Exception of an environment, as one that ends its run and nothing else.

    Exceptions stay what they are, so that their traceback is whole; what would end the process (SystemExit,
    KeyboardInterrupt, GeneratorExit), or be taken for an error of ours with its exit code, is wrapped. A
    Ctrl-C that somebody really pressed is raised again.
    """
    if _is_signal(error):
        raise error
    if isinstance(error, Exception) and not isinstance(error, RlcliError):
        return error
    found = EnvironmentFault(prefixed(place_of(error), f"{env_id} raised {described(error)}."))
    found.__cause__ = error
    return found


def explained(error: BaseException) -> str:
    """`located` of whatever the user's code raised, an attempt to exit included; a Ctrl-C is raised again."""
    if _is_signal(error):
        raise error
    return located(error)


def _is_signal(error: BaseException) -> bool:
    """Whether this exception comes from a signal to the process, rather than from an environment.

    A KeyboardInterrupt may come from the keyboard where nobody of ours listens, or a signal came.
    """
    if not isinstance(error, KeyboardInterrupt):
        return not isinstance(error, Exception) and type(error).__module__.startswith("rlcli.")
    listening = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    return _interrupted or (here and listening is signal.default_int_handler)


@contextmanager
def interrupts_noticed() -> Iterator[None]:
    """Distinguishes a Ctrl-C from a KeyboardInterrupt that an environment raises, while the block runs."""
    global _interrupted
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        global _interrupted
        _interrupted = True
        signal.default_int_handler(number, frame)

    _interrupted = False
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _interrupted = False


@contextmanager
def surroundings_kept() -> Iterator[None]:
    """Restores the process state that the block changed.

    Current folder, handlers of SIGINT and SIGTERM, numpy's handling of floating-point errors, torch's
    default type, number of threads and recording of gradients.
    """
    restorers = [folder(), _handlers(), _numpy(), _torch()]
    try:
        yield
    finally:
        for restore in restorers:
            with contextlib.suppress(Exception):
                restore()


@contextmanager
def folder_kept() -> Iterator[None]:
    """Restores the current folder alone."""
    restore = folder()
    try:
        yield
    finally:
        restore()


def folder() -> Callable[[], None]:
    """Function that restores the folder that is current now; fast where it has not changed."""
    try:
        before = os.getcwd()  # noqa: PTH109 (called at every step)
    except OSError:  # it is gone
        return lambda: None

    def restore() -> None:
        try:
            if os.getcwd() == before:  # noqa: PTH109
                return
        except OSError:
            pass
        with contextlib.suppress(OSError):
            os.chdir(before)

    return restore


def _handlers() -> Callable[[], None]:
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    return restore


def _numpy() -> Callable[[], None]:
    before = np.geterr()

    def restore() -> None:
        if np.geterr() != before:
            np.seterr(**before)

    return restore


def _torch() -> Callable[[], None]:
    def state() -> tuple[Any, int, bool] | None:
        torch: Any = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "set_num_threads"):
            return None
        return torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()

    before = state()

    def restore() -> None:
        now, torch = state(), sys.modules["torch"]
        assert now is not None
        # Where the block was the first to load torch, it had been as torch begins.
        dtype, threads, recording = before or (torch.float32, now[1], True)
        if now[0] is not dtype:
            torch.set_default_dtype(dtype)
        if now[1] != threads:
            torch.set_num_threads(threads)
        if now[2] != recording:
            torch.set_grad_enabled(recording)

    return restore


def close(env_id: str, env: Any) -> None:
    """Closes an environment; an exception is shown once and ignored, since nothing is lost by it."""
    try:
        with surroundings_kept():
            env.close()
    except BaseException as error:
        if _is_signal(error):
            raise
        if env_id not in _unclosed:
            _unclosed.add(env_id)
            say(f"Warning: {env_id}: close() raised {described(error)}; ignored.")
