"""Tiny runs of every kind of network, observation and action that is exported."""

from __future__ import annotations

from typing import Any

WANDERING = "tests.envs.probes:ProbeWandering-v0"
CORRIDOR, DOORS = "tests.envs.probes:ProbeCorridor-v0", "tests.envs.probes:ProbeDoors-v0"
BRIGHTER, FLASH = "tests.envs.probes:ProbeBrighter-v0", "tests.envs.probes:ProbeFlash-v0"
ECHO, SHIFTED = "tests.envs.probes:ProbeEcho-v0", "tests.envs.probes:ProbeShifted-v0"
BOX: dict[str, Any] = {"env__id": ECHO, "env__kwargs": {"low": -0.5, "high": 0.25, "shape": [2, 3]}}
WHITENED: dict[str, Any] = {"env__normalize_observation": True}
PIXELS: dict[str, Any] = {"network__name": "nature_cnn", "network__hidden": (8,)}
SEQUENCES: dict[str, Any] = {"algo__minibatch_of": "sequences"}

CASES: dict[str, dict[str, Any]] = {
    "discrete": {},
    "no hidden layer": {"network__hidden": ()},
    "action values": {"network__critic": "q", "algo__targets": "retrace"},
    "shared trunk": {"network__shared": True, "network__activation": "elu"},
    "gelu, whitened": {"network__activation": "gelu", **WHITENED},
    "discrete spaces that start elsewhere": {"env__id": SHIFTED},
    "box, clipped": {**BOX, "network__activation": "silu"},
    "box, whitened": {"env__id": "Pendulum-v1", "network__activation": "relu", **WHITENED},
    "box, squashed": {"env__id": "Pendulum-v1", "network__squash": "tanh", "network__log_std": "state"},
    "box of float64, whitened": {"env__id": "InvertedPendulum-v5", **WHITENED},
    "levers over a dict": {
        "env__id": WANDERING, "env__kwargs": {"space": "dict", "action": "multidiscrete"}, **WHITENED,
    },
    "switches over a tuple": {
        "env__id": WANDERING, "env__kwargs": {"space": "tuple", "action": "multibinary"},
    },
    "tuple of choices": {"env__id": "Blackjack-v1"},
    "mask in info": {"env__id": CORRIDOR, "env__action_mask": "info"},
    "mask in observations": {
        "env__id": CORRIDOR, "env__kwargs": {"given": "observation"}, "env__action_mask": "observation.legal",
    },
    "masks of several elements": {
        "env__id": DOORS, "env__kwargs": {"joined": False}, "env__action_mask": "info",
    },
    "images": {"env__id": BRIGHTER, **PIXELS},
    "images, channels first": {
        "env__id": BRIGHTER, "env__kwargs": {"layout": "chw", "channels": 3}, **PIXELS,
        "network__shared": True, "network__hidden": (8, 6),
    },
    "images in a dict, whitened": {
        "env__id": BRIGHTER, "env__kwargs": {"layout": "dict"}, **PIXELS, **WHITENED,
    },
    "impala_resnet with masks": {
        "env__id": FLASH, "env__kwargs": {"given": "observation"}, "network__name": "impala_resnet",
        "env__action_mask": "observation.legal", "network__hidden": (8,),
    },
    "lstm": {"network__name": "lstm", **SEQUENCES, "network__cell_size": 8},
    "gru, shared trunk": {
        "network__name": "gru", **SEQUENCES, "network__cell_size": 8, "network__shared": True,
    },
    "lstm over images": {
        "env__id": FLASH, "env__kwargs": {"real": True}, "network__name": "lstm", **SEQUENCES,
        "network__cell_size": 8, "network__before": "impala_resnet",
    },
    "masked gru": {
        "env__id": CORRIDOR, "env__action_mask": "info", "network__name": "gru", **SEQUENCES,
        "network__cell_size": 8,
    },
}  # fmt: skip
"""Changes of a tiny run, by what is special about its policy."""

IN_SB3 = (
    "discrete", "no hidden layer", "shared trunk", "gelu, whitened", "box, clipped", "box, whitened",
    "box of float64, whitened", "images", "images, channels first",
)  # fmt: skip
"""Those that Stable-Baselines3 expresses."""
