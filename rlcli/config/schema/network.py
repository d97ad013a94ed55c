"""Keys of the networks, and the kinds that there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlcli.config.declaration import key


def kinds_of_network() -> tuple[str, ...]:
    """The modules of rlcli/nets/kinds, by the names of their files: none is loaded."""
    folder = Path(__file__).parents[2] / "nets" / "kinds"
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")))


RECURRENT = ("gru", "lstm")
"""Kinds of network with memory."""
BEFORE = ("mlp", "nature_cnn", "impala_resnet")
"""Kinds of network whose layers may be before a recurrent cell."""


@dataclass(frozen=True)
class NetworkConfig:
    """Networks of the policy and the value function."""

    name: str = key("mlp", "Kind of network; lstm and gru have memory.", choices=kinds_of_network())
    hidden: tuple[int, ...] = key(
        (64, 64), "Sizes of the hidden layers of each trunk; of a convolutional network, those behind the "
        "convolutions.", ge=1,
    )  # fmt: skip
    activation: str = key(
        "tanh", "Activation function of the hidden layers; ReLU in convolutional networks.",
        choices=("tanh", "relu", "elu", "silu", "gelu"), used_by=("name", ("mlp", *RECURRENT)),
    )  # fmt: skip
    cell_size: int = key(
        64, "Units of the recurrent cell of each trunk, which follows the hidden layers.", ge=1,
        used_by=("name", RECURRENT),
    )  # fmt: skip
    before: str = key(
        "mlp",
        "Layers before the recurrent cell of each trunk: mlp: the hidden layers, for observations without "
        "images; nature_cnn or impala_resnet: their convolutions and then the hidden layers, for images.",
        choices=BEFORE, used_by=("name", RECURRENT),
    )  # fmt: skip
    critic: str = key(
        "v",
        "What the critic predicts: v: the value of a state; or q: the value of each action in it, of "
        "Discrete actions, as algo.targets=retrace needs.",
        choices=("v", "q"), used_by=("name", ("mlp",)),
    )  # fmt: skip
    shared: bool = key(False, "Share one trunk between policy and value function, instead of one each.")
    initialisation: str = key(
        "orthogonal", "Initial weights: orthogonal with the gains below, or torch's uniform default.",
        choices=("orthogonal", "uniform"),
    )  # fmt: skip
    hidden_gain: float = key(
        2**0.5, "Gain of the hidden layers.", gt=0, used_by=("initialisation", ("orthogonal",))
    )
    policy_gain: float = key(
        0.01, "Gain of the policy head.", gt=0, used_by=("initialisation", ("orthogonal",))
    )
    value_gain: float = key(1.0, "Gain of the value head.", gt=0, used_by=("initialisation", ("orthogonal",)))
    log_std: str = key(
        "free",
        "Log standard deviations of a Gaussian policy: free parameters, the same in every state; or state: "
        "outputs of the policy head beside the means, clipped to -20 .. 2, with log_std_init added before.",
        choices=("free", "state"),
    )
    log_std_init: float = key(0.0, "Initial log standard deviation of a Gaussian policy.", ge=-20, le=20)
    squash: str = key(
        "none",
        "Actions of a Gaussian policy on their way to the environment: none: clipped to the bounds; or tanh: "
        "low + (high - low) (tanh(u) + 1) / 2 of the number u that the policy draws. Ratios and divergences "
        "are those of u, which squashing leaves unchanged; the entropy is that of the actions.",
        choices=("none", "tanh"),
    )
