"""Metrics of time, and of the processes that collect."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.catalog.metric import Direction, Metric


def times() -> Iterator[Metric]:
    """Where the time goes."""
    yield Metric(
        "time/steps_per_second",
        "steps/s",
        "T·N / seconds",
        "Environment steps per second over this update, everything included.",
        "higher",
    )
    yield Metric(
        "time/elapsed", "s", "", "Wall-clock time since this process started or resumed the run.", "lower"
    )
    for name, text in (
        ("collect", "Time this update spent acting and stepping environments."),
        ("environment", "Part of time/collect spent in environments. Only with profile=true."),
        ("learn", "Time this update spent on targets and gradient steps."),
        ("estimate", "Part of time/learn before the first gradient step: values, targets, whole gradient."),
        ("health", "Time this update spent on the figures of behaviour/ and update/."),
        ("evaluate", "Time spent evaluating after this update."),
        ("log", "Time spent writing the previous row and its digests."),
        ("digests", "Part of time/log spent on digests."),
        ("save", "Time spent saving a checkpoint after the previous update. Absent when nothing was saved."),
    ):
        yield Metric(f"time/{name}", "s", "", text, "lower")


def actors() -> Iterator[Metric]:
    """Actors, and how far they and the learner are apart."""

    def one(
        name: str, unit: str, text: str, better: Direction, order: str = " and collect.order=free"
    ) -> Metric:
        only = f" Only with collect.mode=process or ray{order}."
        return Metric(f"actors/{name}", unit, "", text + only, better)

    yield one(
        "restarts",
        "processes",
        "Actors that ended or hung during this update and were replaced.",
        "lower",
        "",
    )
    for name, which in (("lag", "mean over"), ("lag_min", "minimum of"), ("lag_max", "maximum of")):
        text = (
            f"Updates since the parameters that a rollout was collected with, {which} those of this update."
        )
        yield one(name, "updates", text, "lower")
    yield one(
        "queue",
        "rollouts",
        "Rollouts that waited when this update's last one was taken, without it.",
        "neither",
    )
    yield one(
        "busy",
        "fraction",
        "Share of their time that the actors of this update's rollouts collected, rather than waited.",
        "higher",
    )
    yield one(
        "learner_busy", "fraction", "Share of its time that the learner learnt, rather than waited.", "higher"
    )
    yield one(
        "dropped",
        "rollouts",
        "Rollouts dropped before those of this update, older than collect.max_lag or lost.",
        "lower",
    )
