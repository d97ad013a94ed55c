"""Pictures of an episode: it is replayed in Gymnasium's environment, which draws, by its seed and actions."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import warnings
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.episodes import split_actions
from rlcli.envs.gymnasium import Env
from rlcli.envs.instance import RENDERED, instance
from rlcli.envs.spec import ActionSpec
from rlcli.envs.untrusted import close, contained, interrupts_noticed, surroundings_kept
from rlcli.envs.user_code import located
from rlcli.errors import RlcliError, UserError
from rlcli.text import shown
from rlcli.variables import variables

Array = npt.NDArray[Any]
Frame = npt.NDArray[np.uint8]
"""[H, W, 3]."""
SLOWEST, FASTEST, USUAL = 1.0, 240.0, 30.0
"""Pictures per second."""
OFFSCREEN = {"SDL_VIDEODRIVER": "dummy", "MUJOCO_GL": "egl"}
"""Variables of the drawing libraries where there is no screen, unless they are set: pygame's and MuJoCo's."""
_drawn: set[str] = set()
"""Environments that were drawn once by this process, as a sweep asks for each of its jobs."""


class Replayed(NamedTuple):
    """One step of a replay."""

    frame: Frame
    total: float
    """The return so far."""


def rate(env: Env) -> Fraction:
    """Pictures per second of an environment's own pace."""
    given = env.metadata.get("render_fps") if isinstance(env.metadata, dict) else None
    sound = isinstance(given, int | float) and SLOWEST <= given <= FASTEST
    return Fraction(given if sound and given is not None else USUAL).limit_denominator(1000)


def check_drawn(config: EnvConfig) -> None:
    """Draws one picture of an environment.

    Raises:
        UserError: it cannot be drawn as an array of colours.
    """
    known = repr(config)
    if known in _drawn:
        return
    env = _rendered(config)
    try:
        with _guarded(config, env), surroundings_kept():
            env.reset(seed=0)
            _frame(config, env)
    finally:
        close(config.id, env)
    _drawn.add(known)


def replay(
    config: EnvConfig, action: ActionSpec, seed: int, actions: Sequence[Array]
) -> Iterator[tuple[Fraction, Replayed]]:
    """Pictures after the reset and after each step of an episode, with their rate.

    Raises:
        UserError: the environment cannot be drawn.
        RlcliError: it failed.
    """
    env = _rendered(config)
    try:
        with interrupts_noticed(), surroundings_kept():
            with _guarded(config, env):
                env.reset(seed=seed)
                first = _frame(config, env)
            pace, total = rate(env), 0.0
            yield pace, Replayed(first, total)
            for given in split_actions(action, np.array(actions)):
                with _guarded(config, env):
                    _, reward, _, _, _ = env.step(given)
                    frame = _frame(config, env)
                total += float(reward)
                yield pace, Replayed(frame, total)
    finally:
        close(config.id, env)


def _rendered(config: EnvConfig) -> Env:
    env = instance(config)
    modes = env.metadata.get("render_modes", ()) if isinstance(env.metadata, dict) else ()
    close(config.id, env)
    if RENDERED not in (modes or ()):
        has = f"its render modes are {shown(list(modes))}" if modes else "it has no render modes"
        raise UserError(f"{config.id} has no pictures for a video: {has}, and {RENDERED} is not among them.")
    _load_triton()
    with _offscreen():
        return instance(config, rendered=True)


def _frame(config: EnvConfig, env: Env) -> Frame:
    with _offscreen():
        drawn: Any = env.render()
    frame = np.asarray(drawn)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise UserError(
            f"{config.id} drew {type(drawn).__name__} of shape {frame.shape} and type {frame.dtype}; a video "
            "is of arrays (height, width, 3) of uint8."
        )
    return frame


@contextlib.contextmanager
def _guarded(config: EnvConfig, env: Env) -> Iterator[None]:
    """What an environment raises while it is drawn, as a message that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except RlcliError:
        raise
    except BaseException as error:
        failure = contained(error, config.id)
        hint = None
        if any("mujoco" in kind.__module__ for kind in type(env.unwrapped).__mro__):
            hint = (
                "MuJoCo draws with OpenGL: without a screen set MUJOCO_GL=egl or MUJOCO_GL=osmesa, whose "
                "library must be installed."
            )
        raise UserError(f"{config.id} cannot be drawn: {located(failure)}", hint=hint) from error


def _offscreen() -> contextlib.AbstractContextManager[None]:
    """Variables for drawing without a screen, while the block runs."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return variables({} if screen else OFFSCREEN)


def _load_triton() -> None:
    """Loads triton where it is installed, before anything is drawn.

    It is part of torch's builds for CUDA, and torch.optim loads it when it is first used. Loaded after
    something was drawn and encoded, it ends the process; loaded before, it does not.
    """
    if importlib.util.find_spec("triton") is not None:
        with contextlib.suppress(Exception):  # one that is broken is torch's to report
            importlib.import_module("triton")
