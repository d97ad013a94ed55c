"""Keys of the collection of rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from rlcli.config.declaration import key


@dataclass(frozen=True)
class CollectConfig:
    """Collection of rollouts."""

    mode: str = key(
        "inline",
        "Where environments are stepped: inline, in the process that learns, or process, in others on the "
        "same machine, the actors.",
        choices=("inline", "process"),
        effect="maybe",
    )
    actors: int = key(
        2,
        "Processes that step environments; each has its share of env.num_envs, with order=free as many.",
        unit="processes",
        ge=1,
        le=1_000,
        effect="maybe",
        used_by=("mode", ("process",)),
    )
    order: str = key(
        "fixed",
        "fixed: actors step in lock step, with the numbers of one process; free: each collects rollouts of "
        "env.num_envs environments of its own while the learner learns, with the parameters it received "
        "last, and an update takes the oldest one that is ready.",
        choices=("fixed", "free"),
        used_by=("mode", ("process",)),
    )
    queue: int = key(
        1,
        "Rollouts of each actor that may wait for the learner, before the actor waits.",
        unit="rollouts",
        ge=1,
        le=1_000,
        used_by=("order", ("free",)),
    )
    max_lag: int | None = key(
        None,
        "Maximum lag: a rollout that was collected with the parameters of more updates ago is dropped; null: "
        "unlimited.",
        unit="updates",
        ge=1,
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
        "Time that an actor may take for one answer, before it is ended and the run fails; null: unlimited.",
        unit="s",
        gt=0,
        effect="nothing",
        resumable=True,
        used_by=("mode", ("process",)),
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
        return self.mode == "process" and self.order == "free"
