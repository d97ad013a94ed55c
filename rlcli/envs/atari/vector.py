"""Atari games stepped by ale-py's own vector environment, in C++.

One vector environment per run. Its frames are, bit for bit, those of Gymnasium's wrappers around single
environments for the same seed of the emulator; a test compares them. Its own handling of lives and rewards
is switched off: it would reset the whole game when a life is lost, and hide the score.

A reset with a seed loads the game anew, which takes about a tenth of a second, and makes an episode depend
on its seed and actions alone.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ale_py.vector_env import AtariVectorEnv

from rlcli.envs.atari.lesson import Lives, lesson
from rlcli.envs.atari.settings import COLOURS, Preprocessing
from rlcli.envs.failures import Failures, clear_rows, keep_rows
from rlcli.envs.interface import Array, Step, Taught
from rlcli.envs.spec import EnvSpec
from rlcli.envs.untrusted import contained


class AleVectorEnv:
    """R x N games; `training`: steps say what is learnt of them, too."""

    def __init__(
        self,
        spec: EnvSpec,
        settings: Preprocessing,
        num_runs: int,
        num_envs: int,
        *,
        threads: int = 1,
        training: bool = False,
    ) -> None:
        self.spec = spec
        self.num_runs = num_runs
        self.num_envs = num_envs
        self.failures: Failures = {}
        self._settings, self._threads, self._training = settings, threads, training
        self._envs: list[AtariVectorEnv | None] = [self._create() for _ in range(num_runs)]
        self._begun = [False] * num_runs
        self._current = np.zeros((num_runs, num_envs, *spec.observation.shape), np.uint8)
        self._lives: Lives = np.zeros((num_runs, num_envs), np.int64)

    def reset(self, seeds: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> Array:
        """Starts a game where `mask [R, N]`; returns the current observations of all."""
        current, lives = self._current.copy(), self._lives.copy()
        for run, env in enumerate(self._envs):
            if env is None or not mask[run].any():
                continue
            rows = mask[run]
            try:
                if self._begun[run]:
                    shown, info = env.reset(seed=seeds[run][rows], options={"reset_mask": rows.copy()})
                else:  # the first reset is of all games
                    shown, info = env.reset(seed=seeds[run])
                    self._begun[run] = True
                current[run][rows] = self._planes(shown)[rows]
                lives[run][rows] = info["lives"][rows]
            except BaseException as error:
                self._fail(run, error)
        clear_rows(self.failures, current)
        self._current, self._lives = current, lives
        return current

    def step(self, actions: Array) -> Step:
        """Steps every game of every run that has not failed."""
        sent = self.spec.action.to_env(actions)
        observations = np.zeros(self._current.shape, np.uint8)
        rewards = np.zeros((self.num_runs, self.num_envs))
        terminated, truncated = np.zeros((2, self.num_runs, self.num_envs), np.bool_)
        lives = np.zeros_like(self._lives)
        for run, env in enumerate(self._envs):
            if env is None:
                continue
            try:
                shown, gained, ended, cut, info = env.step(sent[run])
            except BaseException as error:
                self._fail(run, error)
                continue
            observations[run] = self._planes(shown)
            rewards[run], terminated[run], truncated[run], lives[run] = gained, ended, cut, info["lives"]
        clear_rows(self.failures, observations, rewards, terminated, truncated)
        step = Step(observations, rewards, terminated, truncated)
        if self._training:
            step = Taught.of(step, lesson(self._settings, step, self._lives, lives))
        self._current, self._lives = observations, lives
        return step

    def select(self, rows: Sequence[int]) -> None:
        """Keeps only these runs, in this order."""
        self._envs = [self._envs[run] for run in rows]
        self._begun = [self._begun[run] for run in rows]
        self._current, self._lives = self._current[list(rows)], self._lives[list(rows)]
        self.failures = keep_rows(self.failures, rows)
        self.num_runs = len(rows)

    def close(self) -> None:
        """Drops the games, whose threads end with them."""
        self._envs = [None] * self.num_runs

    def _create(self) -> AtariVectorEnv:
        settings = self._settings
        return AtariVectorEnv(
            settings.game,
            self.num_envs,
            num_threads=self._threads,
            max_num_frames_per_episode=settings.max_frames,
            repeat_action_probability=settings.repeat_action_probability,
            full_action_space=settings.full_action_space,
            img_height=settings.screen_size,
            img_width=settings.screen_size,
            grayscale=settings.grayscale,
            stack_num=settings.frame_stack,
            frameskip=settings.frame_skip,
            maxpool=settings.max_pool,
            noop_max=settings.noop_max,
            use_fire_reset=settings.fire_reset,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
        )

    def _planes(self, frames: Array) -> Array:
        """Frames [N, stack, H, W] or [N, stack, H, W, 3] as channels [N, C, H, W]."""
        if self._settings.grayscale:
            return frames
        moved = np.moveaxis(frames, -1, 2)
        stack, size = self._settings.frame_stack, self._settings.screen_size
        return moved.reshape(len(frames), stack * COLOURS, size, size)

    def _fail(self, run: int, error: BaseException) -> None:
        """Records a run's failure; its games are dropped."""
        self.failures[run] = contained(error, self.spec.id)
        self._envs[run] = None


def obstacle(settings: Preprocessing) -> str | None:
    """Why ale-py's vector environment cannot step a game; None: it can."""
    if settings.others:
        return f"ale-py's vector environment has no argument {settings.others[0]}"
    return None
