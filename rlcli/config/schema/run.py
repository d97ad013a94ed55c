"""The configuration of a run: its own keys, and all sections."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlcli.config.alerts import AlertsConfig
from rlcli.config.declaration import key
from rlcli.config.schema.algo import AlgoConfig
from rlcli.config.schema.collect import CollectConfig
from rlcli.config.schema.compute import CohortConfig, ComputeConfig
from rlcli.config.schema.env import EnvConfig
from rlcli.config.schema.evaluation import EvalConfig, StopAtConfig
from rlcli.config.schema.network import NetworkConfig
from rlcli.config.schema.record import CheckpointConfig, DigestConfig, HealthConfig, WandbConfig
from rlcli.config.schema.sweep import SweepConfig


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run, resolved."""

    seed: int = key(0, "Seed of all random draws of the run.", ge=0, lt=2**63, cohort=True)
    total_steps: int = key(
        100_000,
        "Environment steps of the run, rounded up to whole updates.",
        unit="env steps",
        ge=1,
        lt=2**53,
        resumable=True,
        cohort=True,
    )
    schedule_steps: int | None = key(
        None,
        "Length of schedules; null: total_steps, frozen at the first start. A change by a resume applies "
        "from there on.",
        unit="env steps", ge=1, cohort=True, resumable=True,
    )  # fmt: skip
    schedule_past: tuple[int, ...] = key(
        (),
        "Earlier lengths of schedules, as pairs of the update up to which one applied and its env steps. "
        "Written by a resume that changes schedule_steps.",
        ge=1, cohort=True,
    )  # fmt: skip
    lag: int = key(
        0, "Age of the behaviour policy: update u trains on a rollout of the policy before update u - lag.",
        unit="updates", ge=0,
    )  # fmt: skip
    device: str = key("cpu", "torch device: cpu, cuda, cuda:1.", effect="maybe")
    backend: str = key(
        "native", "Training backend: rlcli's own, or Stable-Baselines3.", choices=("native", "sb3")
    )
    name: str | None = key(
        None,
        "Name of the run directory; null: made of algorithm, environment, seed and date.",
        effect="nothing",
    )
    tags: tuple[str, ...] = key((), "Tags of the run.", effect="nothing", resumable=True)
    notes: str = key("", "Free text kept with the run.", effect="nothing", resumable=True)
    tuned: str = key(
        "auto", "Tuned settings, overridden by the command line: auto, none, or <algo>/<env>.",
        effect="nothing",
    )  # fmt: skip
    runs_dir: str = key("runs", "Folder in which run directories are made.", effect="nothing")
    logger: tuple[str, ...] = key(
        ("console", "jsonl", "wandb"), "Loggers of metric rows.",
        choices=("console", "jsonl", "mlflow", "tensorboard", "wandb"), effect="nothing", resumable=True,
    )  # fmt: skip
    imports: tuple[str, ...] = key(
        (),
        "Modules with the environments, networks, algorithms and metrics of your own that the run uses. "
        "Written by rlcli: --import MODULE, RLCLI_IMPORT and installed plug-ins set it.",
    )
    profile: bool = key(
        False,
        "Measure where the time goes: a table at the end, profile.json in the run directory, and "
        "time/environment in each row.",
        effect="nothing", resumable=True,
    )  # fmt: skip
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    stop_at: StopAtConfig = field(default_factory=StopAtConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    digest: DigestConfig = field(default_factory=DigestConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    alerts: AlertsConfig = field(default_factory=AlertsConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    own: Mapping[str, Any] = field(default_factory=dict)
    """Values of keys that the user's own code declares, by dotted name."""

    @property
    def batch_size(self) -> int:
        """Samples of one rollout, B = T N."""
        return self.algo.rollout_steps * self.env.num_envs

    @property
    def learnt_size(self) -> int:
        """Samples an update learns from: those of its rollout, and of the ones it reuses."""
        return self.algo.reuse * self.batch_size

    @property
    def updates(self) -> int:
        """Updates of the run, ceil(total_steps / (T N))."""
        return -(-self.total_steps // self.batch_size)

    def horizon(self, update: int) -> int:
        """Length of schedules in env steps for the next update, after `update` done ones."""
        past = zip(self.schedule_past[::2], self.schedule_past[1::2], strict=True)
        earlier = (steps for until, steps in past if update < until)
        return next(earlier, self.schedule_length)

    @property
    def schedule_length(self) -> int:
        """Length of schedules in env steps: `schedule_steps`, by default `total_steps`."""
        return self.schedule_steps or self.total_steps

    @property
    def tenth(self) -> int:
        """A tenth of the run in env steps, rounded up."""
        return -(-self.total_steps // 10)

    def resolved(self) -> RunConfig:
        """The config with defaults derived from other keys written out, to keep when those change."""
        return dataclasses.replace(self, schedule_steps=self.schedule_length)
