"""Keys of the collection of rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlcli.config.declaration import key


@dataclass(frozen=True)
class CollectConfig:
    """Collection of rollouts."""

    mode: str = key(
        "inline",
        "Where environments are stepped: inline, in the process that learns; process, in others on the same "
        "machine, the actors; ray, in actors on a Ray cluster, with collect.order=free.",
        choices=("inline", "process", "ray"),
        effect="maybe",
    )
    actors: int = key(
        2,
        "Processes that step environments; each has its share of env.num_envs, with order=free as many.",
        unit="processes",
        ge=1,
        le=1_000,
        effect="maybe",
        used_by=("mode", ("process", "ray")),
    )
    order: str = key(
        "fixed",
        "fixed: actors step in lock step, with the numbers of one process; free: each collects rollouts of "
        "env.num_envs environments of its own while the learner learns, with the parameters it received "
        "last, and an update takes the oldest one that is ready.",
        choices=("fixed", "free"),
        used_by=("mode", ("process", "ray")),
    )
    address: str | None = key(
        None,
        "A running Ray cluster: auto or HOST:PORT; null: one of this machine is started for the run.",
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    cpus: float = key(
        1.0,
        "CPUs of the Ray cluster per actor.",
        gt=0,
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    resources: dict[str, Any] = key(  # noqa: RUF009
        {},
        "Other resources of the Ray cluster per actor, such as {simulator:1}.",
        effect="nothing",
        resumable=True,
        used_by=("mode", ("ray",)),
    )
    queue: int = key(
        1,
        "Rollouts of each actor that may wait for the learner, before the actor waits.",
        unit="rollouts",
        ge=1,
        le=1_000,
        used_by=("order", ("free",)),
    )
    unrolls: int = key(
        1,
        "Rollouts per update, each of env.num_envs / unrolls environments and with the policy that acted in "
        "it; with more than 1 an actor steps so many environments.",
        unit="rollouts",
        ge=1,
        used_by=("order", ("free",)),
    )
    max_lag: int | None = key(
        None,
        "Maximum lag: updates since the parameters that a rollout was collected with; null: unlimited.",
        unit="updates",
        ge=0,
        used_by=("order", ("free",)),
    )
    too_old: str = key(
        "drop",
        "What collect.max_lag does. drop: rollouts of a larger lag are dropped; wait: an actor begins none "
        "that would have one, but waits for newer parameters, so that nothing is dropped.",
        choices=("drop", "wait"),
        used_by=("order", ("free",)),
    )
    restarts: int = key(
        0,
        "Actors whose environment raised that are replaced, before the next one ends the run.",
        unit="processes",
        ge=0,
        resumable=True,
        used_by=("order", ("free",)),
    )
    timeout: float | None = key(
        300.0,
        "Time that an actor may take for one answer, before it is ended. With collect.order=free another "
        "takes its place, else the run fails; null: unlimited.",
        unit="s",
        gt=0,
        effect="nothing",
        resumable=True,
        used_by=("mode", ("process", "ray")),
    )
    whole_episodes: bool = key(
        False,
        "Start new episodes with each rollout and train on whole episodes alone: those started early enough "
        "to end in it within the environment's time limit. For algo.surrogate=weighted, whose weights are "
        "then those of exact trajectories.",
    )

    @property
    def is_free(self) -> bool:
        """Whether actors collect while the learner learns, each as fast as it can."""
        return self.mode != "inline" and self.order == "free"

    @property
    def joined(self) -> int:
        """Rollouts of actors that an update learns from: `unrolls` where actors are free, else 1."""
        return self.unrolls if self.is_free else 1
