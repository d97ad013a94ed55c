"""Every environment made for tests, by the name it is registered with.

Registered when imported: `gymnasium.make("tests.envs.probes:ProbeConstant-v0")`.
"""

from __future__ import annotations

import gymnasium

from tests.envs.broken import Faulty, Impossible, Remembering, Unrepeatable
from tests.envs.drawn import Drawn
from tests.envs.known import (
    Aim,
    Choice,
    Constant,
    Discounted,
    Levers,
    Match,
    Observed,
    Recall,
    Riddle,
    Switches,
    TimeLimitProbe,
)
from tests.envs.masked import Corridor, Doors
from tests.envs.pixel_probes import Brighter, Flash
from tests.envs.shaped import Echo, Shifted, Spaces, Wandering

PROBES = {
    "ProbeConstant-v0": Constant,
    "ProbeObserved-v0": Observed,
    "ProbeRecall-v0": Recall,
    "ProbeDiscounted-v0": Discounted,
    "ProbeChoice-v0": Choice,
    "ProbeAim-v0": Aim,
    "ProbeMatch-v0": Match,
    "ProbeLevers-v0": Levers,
    "ProbeSwitches-v0": Switches,
    "ProbeRiddle-v0": Riddle,
    "ProbeWandering-v0": Wandering,
    "ProbeTimeLimit-v0": TimeLimitProbe,
    "ProbeFaulty-v0": Faulty,
    "ProbeShifted-v0": Shifted,
    "ProbeEcho-v0": Echo,
    "ProbeSpaces-v0": Spaces,
    "ProbeImpossible-v0": Impossible,
    "ProbeRemembering-v0": Remembering,
    "ProbeUnrepeatable-v0": Unrepeatable,
    "ProbeCorridor-v0": Corridor,
    "ProbeDoors-v0": Doors,
    "ProbeBrighter-v0": Brighter,
    "ProbeFlash-v0": Flash,
    "ProbeDrawn-v0": Drawn,
}

for name, probe in PROBES.items():
    if name not in gymnasium.registry:
        gymnasium.register(name, probe)
