"""Metrics of where a run is, and of the episodes that it trained and evaluated on."""

from __future__ import annotations

from collections.abc import Iterator

from rlcli.catalog.metric import GYMNASIUM, Metric


def position() -> Iterator[Metric]:
    """Where a run is."""
    yield Metric(
        "update", "updates", "u = 1, 2, …", "Updates done; row u is written after update u.", "neither"
    )
    yield Metric(
        "env_steps",
        "env steps",
        "u·T·N",
        "Environment steps collected since the run began, over all its environments.",
        "neither",
    )


def training() -> Iterator[Metric]:
    """Episodes played in training."""
    yield Metric(
        "train/return_mean",
        "reward",
        "mean_e Σ_t r_t",
        "Mean undiscounted return of the episodes that ended in this rollout, of raw rewards, under the "
        "sampled actions of the behaviour policy. Absent when none ended.",
        "higher",
        GYMNASIUM,
    )
    yield Metric(
        "train/length_mean",
        "steps",
        "mean_e T_e",
        "Mean length of the episodes that ended in this rollout. Absent when none ended.",
        "neither",
        GYMNASIUM,
    )
    yield Metric("train/episodes", "episodes", "|{e}|", "Episodes that ended in this rollout.", "neither")
    yield Metric(
        "train/return_100",
        "reward",
        "mean of the last 100 Σ_t r_t",
        "Mean return of the last 100 episodes that ended, or of all while there are fewer.",
        "higher",
        GYMNASIUM,
    )


def evaluation() -> Iterator[Metric]:
    """Episodes played in evaluation."""
    shared = (
        "of the evaluation's episodes, played on separate environments with the same seeds at every "
        "evaluation, with the mode of the policy and frozen normalisation. Raw rewards."
    )
    yield Metric("eval/return_mean", "reward", "mean_j G_j", f"Mean return {shared}", "higher")
    yield Metric(
        "eval/return_std",
        "reward",
        "√(mean_j (G_j - mean G)²)",
        f"Standard deviation (divisor n) of the return {shared}",
        "lower",
    )
    yield Metric("eval/return_min", "reward", "min_j G_j", f"Minimum return {shared}", "higher")
    yield Metric("eval/return_max", "reward", "max_j G_j", f"Maximum return {shared}", "higher")
    yield Metric("eval/length_mean", "steps", "mean_j T_j", f"Mean length {shared}", "neither")
    yield Metric("eval/episodes", "episodes", "n", "Episodes of this evaluation.", "neither")
    yield Metric(
        "eval/cut",
        "episodes",
        "|{j: T_j = eval.max_steps, no end}|",
        "Episodes of this evaluation that did not end and were stopped after eval.max_steps steps: returns "
        "and lengths are of the steps played. Absent when none were.",
        "lower",
    )
    yield Metric(
        "eval/final",
        "1",
        "1",
        "Present, as 1, when the evaluation was made only because the run ended here, beside those that "
        "eval.every asks for: a longer run has none at this update.",
        "neither",
    )
