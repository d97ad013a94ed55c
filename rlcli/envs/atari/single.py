"""Single Atari games with the preprocessing of ale-py's vector environment, to the same bit.

For what that does not take: game modes, difficulties, wrappers, `env.backend=gymnasium`. Repeated actions,
the number of no-ops and every frame are equal for equal seeds.

Shapes: R runs, N environments of one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from ale_py import Action
from gymnasium import spaces

from rlcli.envs.atari.area import Pixels, resized
from rlcli.envs.atari.lesson import Lives, lesson
from rlcli.envs.atari.settings import Preprocessing
from rlcli.envs.gymnasium import Env, GymnasiumVectorEnv
from rlcli.envs.interface import Array, Step, Taught
from rlcli.envs.spec import EnvSpec

WORD = 2**32


class SingleGame(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One game of Gymnasium's AtariEnv, which must be made with a frame skip of 1 and no limit of frames."""

    def __init__(self, env: Env, settings: Preprocessing) -> None:
        super().__init__(env)
        self._settings = settings
        game: Any = env.unwrapped
        self._game, self._ale, self._actions = game, game.ale, game._action_set
        self.observation_space = spaces.Box(0, 255, settings.observation.shape, np.uint8)
        self._fires = settings.fire_reset and Action.FIRE in self._actions
        self._stack: list[Pixels] = []
        self._last: Pixels
        self._previous: Pixels
        self._frames = 0

    @property
    def lives(self) -> int:
        """Lives left."""
        return int(self._ale.lives())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """A new game; the emulator's own generator, and the number of no-ops, are seeded."""
        assert seed is not None, "every episode has its seed"
        self._ale.setInt("random_seed", seed)
        self._game.load_game()
        self._ale.reset_game()
        if self._fires:
            self._ale.act(Action.FIRE)
        for _ in range(_noops(seed, self._settings.noop_max) - self._fires):
            self._ale.act(Action.NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._last = self._screen()
        self._previous = np.zeros_like(self._last)
        self._frames = 0
        self._stack = [np.zeros_like(self._frame())] * self._settings.frame_stack
        return self._observed(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action for `frame_skip` frames, or until the game is over."""
        reward, over, skip = 0.0, False, self._settings.frame_skip
        for left in range(skip, 0, -1):
            reward += self._ale.act(self._actions[action])
            self._frames += 1
            over = self._ale.game_over()
            if over or self._frames >= self._settings.max_frames:
                break
            if left == 2:
                self._previous = self._screen()
            elif left == 1:
                self._last = self._screen()
        truncated = self._frames >= self._settings.max_frames and not over
        return self._observed(), reward, over, truncated, {}

    def _screen(self) -> Pixels:
        found: Pixels = (
            self._ale.getScreenGrayscale() if self._settings.grayscale else self._ale.getScreenRGB()
        )
        return found

    def _frame(self) -> Pixels:
        """The frame to add to the stack; a game that is over adds its last ones."""
        if self._settings.max_pool:
            self._last = np.maximum(self._last, self._previous)
        size = self._settings.screen_size
        return resized(self._last, size, size)

    def _observed(self) -> Pixels:
        self._stack = [*self._stack[1:], self._frame()]
        if self._settings.grayscale:
            return np.stack(self._stack)
        return np.concatenate([np.moveaxis(frame, -1, 0) for frame in self._stack])


class SingleGames(GymnasiumVectorEnv):
    """R x N single games; `training`: steps say what is learnt of them, too."""

    def __init__(
        self,
        spec: EnvSpec,
        settings: Preprocessing,
        create: Callable[[], Env],
        num_runs: int,
        num_envs: int,
        *,
        training: bool = False,
    ) -> None:
        super().__init__(spec, create, num_runs, num_envs)
        self._settings, self._training = settings, training

    def step(self, actions: Array) -> Step:
        """As `GymnasiumVectorEnv`."""
        before = self._lives() if self._training else None
        step = super().step(actions)
        if before is None:
            return step
        return Taught.of(step, lesson(self._settings, step, before, self._lives()))

    def _lives(self) -> Lives:
        """[R, N]; 0 for runs that failed."""
        found = np.zeros((self.num_runs, self.num_envs), np.int64)
        for run, envs in enumerate(self._envs):
            if run not in self.failures:
                found[run] = [_lives(env) for env in envs]
        return found


def _lives(env: Env) -> int:
    """Lives left in a game inside wrappers; 0 where one hides it, as of games without lives."""
    layer: Any = env
    while layer is not None and not isinstance(layer, SingleGame):
        layer = getattr(layer, "env", None)
    return 0 if layer is None else layer.lives


def _noops(seed: int, limit: int) -> int:
    """The number 0 .. limit - 1 that ale-py draws: a Mersenne Twister, and libstdc++'s uniform integers."""
    if limit <= 1:
        return 0
    draws = np.random.RandomState(seed)
    while True:
        product = int(draws.randint(0, WORD, dtype=np.uint32)) * limit
        if product % WORD >= (WORD - limit) % limit:
            return product // WORD
