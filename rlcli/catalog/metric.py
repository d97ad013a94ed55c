"""What a metric is: its definition, unit, formula, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "neither"]

OWN = "rlcli"
PPG = "Cobbe et al. 2021, Phasic Policy Gradient"
PPO = "Schulman et al. 2017, Proximal Policy Optimization Algorithms"
TRPO = "Schulman et al. 2015, Trust Region Policy Optimization"
ESS = "Kong 1992, A Note on Importance Sampling using Standardized Weights"
PSIS = "Vehtari et al. 2024, Pareto Smoothed Importance Sampling"
KL_ESTIMATORS = "Schulman 2020, Approximating KL Divergence"
GYMNASIUM = "Gymnasium, RecordEpisodeStatistics"
BOUNDS = "Pinsker; Bretagnolle and Huber 1979; Canonne 2022, A short note on an inequality between KL and TV"
"""Sources that several metrics have."""


@dataclass(frozen=True)
class Metric:
    """Definition of one metric of a row."""

    name: str
    unit: str
    formula: str
    definition: str
    direction: Direction
    """Which way is better, all else equal; `neither` for quantities to keep in a range or to monitor."""
    source: str = OWN
    """The paper the definition comes from, or `rlcli` where it is this project's own."""
