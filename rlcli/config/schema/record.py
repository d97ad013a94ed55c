"""Keys of what is recorded of a run: checkpoints, digests, optional metrics, Weights & Biases."""

from __future__ import annotations

from dataclasses import dataclass

from rlcli.config.declaration import key


@dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints: when the full state is saved, and which are kept."""

    every: int = key(
        20_000,
        "Save at the first update that reaches a multiple of this, or later (checkpoint.seconds); 0: only at "
        "the end.",
        unit="env steps", ge=0, effect="nothing", resumable=True,
    )  # fmt: skip
    seconds: float | str = key(
        "auto",
        "Minimum time from one checkpoint to the next: one that checkpoint.every asks for earlier waits. "
        "auto: it waits until checkpoints, itself included, have taken at most 2% of the time, which is 50 "
        "times what one takes; 0: none waits. The first, the best and the one at the end never wait.",
        unit="s", ge=0, words=("auto",), effect="nothing", resumable=True, absent=0.0,
    )  # fmt: skip
    keep: int = key(
        0, "Keep every keep-th checkpoint, besides the last two and the best; 0: no others.", ge=0,
        effect="nothing", resumable=True,
    )  # fmt: skip


@dataclass(frozen=True)
class DigestConfig:
    """Digests of each update, by which runs are compared."""

    every: int = key(
        1, "Write digests after updates that are multiples of this, and the last one; 0: only the last one.",
        unit="updates", ge=0, effect="nothing",
    )  # fmt: skip


@dataclass(frozen=True)
class HealthConfig:
    """Optional health metrics."""

    epochs: bool = key(
        True, "Measure KL, ESS and clip fraction after every epoch too (epochs/...).", effect="maybe"
    )
    gain_predicted: bool = key(
        True,
        "Predict the gain of every update by its objective's gradient (update/gain_predicted), a backward "
        "pass over the batch.",
        effect="maybe",
    )
    khat: bool = key(
        True,
        "Fit a Pareto distribution to the largest ratios of every update (behaviour/khat). Runs from before "
        "there was this key go on without.",
        effect="maybe", absent=False,
    )  # fmt: skip
    kl_reference: float = key(
        0.02, "KL budget of update/budget_used for algorithms that declare none.",
        unit="nats", gt=0, effect="maybe",
    )  # fmt: skip


@dataclass(frozen=True)
class WandbConfig:
    """Weights & Biases."""

    mode: str = key(
        "auto", "auto: online when logged in, else offline; or online, offline, disabled.",
        choices=("auto", "online", "offline", "disabled"), effect="nothing", resumable=True,
    )  # fmt: skip
    project: str = key("rlcli", "Project name.", effect="nothing")
    entity: str | None = key(None, "Team or user; null: the account's default.", effect="nothing")
    group: str | None = key(None, "Group of the run; null: the sweep's name, or none.", effect="nothing")
