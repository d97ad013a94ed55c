"""Steps of LunarLander with Gymnasium's numbers to the last bit, in fewer operations of Python.

Gymnasium makes the world and begins its episodes; a step here does what `LunarLander.step` does while nothing
is drawn and no wind blows, and reads constants from its module. Every operation is the same in the same order
and type; what has no effect on a number (checks, factors of 1, particles, properties read twice) is left out,
and the time limit is counted here instead of in a wrapper. Box2D's own part of a step stays as it is.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np


class Lander(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A lander stepped here; `limit`: steps after which an episode is cut."""

    def __init__(self, env: gymnasium.Env[Any, Any], limit: int | None) -> None:
        from gymnasium.envs.box2d import lunar_lander  # needs Box2D

        super().__init__(env.unwrapped)
        game: Any = env.unwrapped
        scale = lunar_lander.SCALE
        self._game, self._length = game, 0
        self._limit = math.inf if limit is None else limit
        self._scale, self._rate = scale, lunar_lander.FPS
        self._half_width = lunar_lander.VIEWPORT_W / scale / 2
        self._half_height = lunar_lander.VIEWPORT_H / scale / 2
        self._leg = lunar_lander.LEG_DOWN / scale
        self._main = lunar_lander.MAIN_ENGINE_POWER
        self._main_place = lunar_lander.MAIN_ENGINE_Y_LOCATION / scale
        self._side, self._away = lunar_lander.SIDE_ENGINE_POWER, lunar_lander.SIDE_ENGINE_AWAY
        self._side_height = lunar_lander.SIDE_ENGINE_HEIGHT / scale
        self._engines = self._throttles if game.continuous else self._switches

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """An episode of Gymnasium's, begun."""
        observation, info = self._game.reset(seed=seed, options=options)
        self._length = 0
        self._body, self._legs = self._game.lander, tuple(self._game.legs)
        self._draw = self._game.np_random.random
        self._ground = self._game.helipad_y + self._leg
        self._shaping = self._game.prev_shaping
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Observation [8], reward, terminated, truncated and no info."""
        # -1 + 2 u is what `Generator.uniform(-1, 1)` makes of its draw u.
        spread = (-1.0 + 2.0 * self._draw()) / self._scale, (-1.0 + 2.0 * self._draw()) / self._scale
        main, side, turn = self._engines(action)
        body = self._body
        if main or side:
            angle, place = body.angle, body.position
            tip = math.sin(angle), math.cos(angle)
            if main:
                self._fire_main(main, tip, spread, place)
                if side:
                    place = body.position
            if side:
                self._fire_side(side, turn, tip, spread, place)
        self._game.world.Step(1.0 / self._rate, 180, 60)
        return self._outcome(main, side)

    def _switches(self, action: int) -> tuple[float, float, int]:
        """Power of the main and of the side engines, and the direction of these, of one of four actions."""
        return float(action == 2), float(action in (1, 3)), action - 2

    def _throttles(self, action: Any) -> tuple[float, float, float]:
        """The same of two numbers, cut to [-1, 1]: full power at 1, half of it where an engine begins."""
        main, side = np.clip(action, -1, +1).astype(np.float64).tolist()
        return (
            (main + 1.0) * 0.5 if main > 0.0 else 0.0,
            abs(side) if abs(side) > 0.5 else 0.0,
            math.copysign(1.0, side),
        )

    def _fire_main(self, power: float, tip: Any, spread: Any, place: Any) -> None:
        along = self._main_place + 2 * spread[0]
        ox = tip[0] * along + -tip[1] * spread[1]
        oy = -tip[1] * along - tip[0] * spread[1]
        impulse = -ox * self._main * power, -oy * self._main * power
        self._body.ApplyLinearImpulse(impulse, (place[0] + ox, place[1] + oy), True)

    def _fire_side(self, power: float, turn: float, tip: Any, spread: Any, place: Any) -> None:
        across = 3 * spread[1] + turn * self._away / self._scale
        ox = tip[0] * spread[0] + -tip[1] * across
        oy = -tip[1] * spread[0] - tip[0] * across
        # 17 is Gymnasium's number, not the height of the engine.
        point = place[0] + ox - tip[0] * 17 / self._scale, place[1] + oy + tip[1] * self._side_height
        self._body.ApplyLinearImpulse((-ox * self._side * power, -oy * self._side * power), point, True)

    def _outcome(self, main: float, side: float) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        body = self._body
        place, speed, angle = body.position, body.linearVelocity, body.angle
        x, y = (place.x - self._half_width) / self._half_width, (place.y - self._ground) / self._half_height
        vx, vy = speed.x * self._half_width / self._rate, speed.y * self._half_height / self._rate
        left, right = (1.0 if leg.ground_contact else 0.0 for leg in self._legs)
        shaping = (
            -100 * math.sqrt(x * x + y * y)
            - 100 * math.sqrt(vx * vx + vy * vy)
            - 100 * abs(angle)
            + 10 * left
            + 10 * right
        )
        reward = shaping - self._shaping - main * 0.30 - side * 0.03
        self._shaping = shaping
        terminated = False
        if self._game.game_over or abs(x) >= 1.0:
            terminated, reward = True, -100.0
        if not body.awake:
            terminated, reward = True, 100.0
        self._length += 1
        state = x, y, vx, vy, angle, 20.0 * body.angularVelocity / self._rate, left, right
        return np.array(state, np.float32), reward, terminated, self._length >= self._limit, {}
