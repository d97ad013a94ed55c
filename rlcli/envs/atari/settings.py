"""Preprocessing of an Atari game: what `env.atari.*`, `env.kwargs` and the id's registration say together.

Sources: Mnih et al. 2015, 'Human-level control through deep reinforcement learning', Methods; Machado et al.
2018, 'Revisiting the Arcade Learning Environment', for repeated actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlcli.config.schema.env import EnvConfig
from rlcli.envs.construct import known_registration, module_of
from rlcli.envs.spec import ObservationSpec
from rlcli.errors import UserError

MODULE = "ale_py"
RAW = ("obs_type", "sound_obs", "continuous")
"""`env.kwargs` that ask for other observations or actions than the preprocessing is for."""
TAKEN = ("full_action_space", "max_num_frames_per_episode", "repeat_action_probability")
"""`env.kwargs` that ale-py's vector environment takes, too."""
COLOURS = 3


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of one game, resolved."""

    game: str
    noop_max: int
    frame_skip: int
    max_pool: bool
    episodic_life: bool
    fire_reset: bool
    screen_size: int
    grayscale: bool
    frame_stack: int
    sign_reward: bool
    repeat_action_probability: float
    full_action_space: bool
    max_frames: int
    """Frames after which a game is cut short."""
    others: tuple[str, ...]
    """`env.kwargs` that only single environments take."""

    @property
    def observation(self) -> ObservationSpec:
        """A stack of frames, oldest first: their channels one after the other."""
        channels = self.frame_stack * (1 if self.grayscale else COLOURS)
        return ObservationSpec("box", (channels, self.screen_size, self.screen_size), np.dtype(np.uint8))

    @property
    def max_steps(self) -> int:
        """Steps after which a game is cut short."""
        return -(-self.max_frames // self.frame_skip)


def is_atari(config: EnvConfig) -> bool:
    """Whether the preprocessing applies: an Atari game, observed as pixels in the standard way."""
    found = known_registration(config.id)
    return found is not None and module_of(found).startswith(MODULE) and not _raw(config.kwargs)


def raw_reason(config: EnvConfig) -> str:
    """Why the preprocessing does not apply, for a message."""
    found = known_registration(config.id)
    if found is not None and module_of(found).startswith(MODULE):
        return f"env.kwargs.{_raw(config.kwargs)[0]} asks for the game without preprocessing"
    return f"{config.id} is not an Atari game (ALE/...)"


def preprocessing(config: EnvConfig) -> Preprocessing:
    """The preprocessing of a game for which `is_atari`.

    Raises:
        UserError: `env.kwargs` has what `env.atari` has a key for.
    """
    atari, kwargs = config.atari, config.kwargs
    found = known_registration(config.id)
    assert found is not None
    if "frameskip" in kwargs:
        raise UserError(
            f"env.kwargs.frameskip of {config.id} would be applied on top of env.atari.frame_skip="
            f"{atari.frame_skip}; set env.atari.frame_skip instead."
        )
    given = {"repeat_action_probability": 0.25, "max_num_frames_per_episode": 108_000} | {
        name: value for name, value in ({**found.kwargs, **kwargs}).items() if value is not None
    }
    repeat = atari.repeat_action_probability
    if repeat is not None and "repeat_action_probability" in kwargs:
        raise UserError(
            "env.kwargs.repeat_action_probability and env.atari.repeat_action_probability are the same "
            "setting; leave one out."
        )
    for name, low, high in (("repeat_action_probability", 0, 1), ("max_num_frames_per_episode", 1, 2**31)):
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high:
            raise UserError(f"env.kwargs.{name}={value!r} of {config.id}: give a number from {low} on.")
    return Preprocessing(
        game=str(given["game"]),
        noop_max=atari.noop_max,
        frame_skip=atari.frame_skip,
        max_pool=atari.max_pool,
        episodic_life=atari.episodic_life,
        fire_reset=atari.fire_reset,
        screen_size=atari.screen_size,
        grayscale=atari.grayscale,
        frame_stack=atari.frame_stack,
        sign_reward=atari.sign_reward,
        repeat_action_probability=float(given["repeat_action_probability"] if repeat is None else repeat),
        full_action_space=bool(given.get("full_action_space", False)),
        max_frames=int(given["max_num_frames_per_episode"]),
        others=tuple(sorted(name for name in kwargs if name not in TAKEN)),
    )


def _raw(kwargs: Mapping[str, Any]) -> list[str]:
    return [name for name in RAW if name in kwargs]
