"""The trials by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rlcli.theory import drift, gradient, offpac, region, retrace, reuse, surrogate, variance
from rlcli.theory.trial import Trial


class OnTrial(Protocol):
    """A module of this folder that puts one claim on trial."""

    CLAIM: str
    """The claim of the literature, in a sentence."""
    FINDING: str
    """The statement that holds."""

    def trial(self) -> Trial:
        """Computes the figures, and which statements hold."""


TRIALS: Mapping[str, OnTrial] = {
    "drift": drift,
    "surrogate": surrogate,
    "variance": variance,
    "gradient": gradient,
    "region": region,
    "reuse": reuse,
    "retrace": retrace,
    "offpac": offpac,
}
