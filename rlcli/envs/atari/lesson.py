"""What is learnt of a step of an Atari game, beside what happened: lost lives end, rewards are signs.

The returns that are logged, and evaluation, have the game's own score and its own end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlcli.envs.atari.settings import Preprocessing
from rlcli.envs.interface import Array, Learnt, Step

Lives = npt.NDArray[np.int64]


def lesson(settings: Preprocessing, step: Step, before: Lives, after: Lives) -> Learnt:
    """What is learnt of a step; lives [R, N] before and after it.

    A life that is lost terminates, while the game goes on with the next one. At no life left the game itself
    is over: Q*bert shows none for some frames before it is.
    """
    lost: Array = (after < before) & (after > 0)
    terminated = step.terminated | lost if settings.episodic_life else step.terminated
    return Learnt(np.sign(step.rewards) if settings.sign_reward else step.rewards, terminated)
