"""Keys of the use of the machine: threads, kernels, runs trained together."""

from __future__ import annotations

from dataclasses import dataclass

from rlcli.config.declaration import key


@dataclass(frozen=True)
class CohortConfig:
    """Cohorts: jobs of a sweep trained together as one batched program."""

    max_size: int | None = key(
        None, "Maximum jobs per cohort; null: as many as fit in memory.", ge=1,
        effect="nothing",
    )  # fmt: skip
    workers: int | None = key(
        None, "Worker processes that train cohorts in parallel; null: one per core.", ge=1, effect="nothing"
    )


@dataclass(frozen=True)
class ComputeConfig:
    """Use of the machine."""

    threads: int = key(
        1, "Intra-op threads of torch; 1 is exact across cohorts and faster for small networks.", ge=1,
        le=1_024,
        effect="maybe",
    )  # fmt: skip
    kernel: str = key(
        "auto",
        "What computes a run: kernels in C, or torch. auto: C where its library is built and covers the "
        "configuration, else torch; decided before training and recorded, since the last digits of results "
        "depend on it.",
        choices=("auto", "c", "torch"), absent="torch",
    )  # fmt: skip
