"""The trials by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlcli.theory import drift, gradient, offpac, region, retrace, reuse, surrogate, variance
from rlcli.theory.trial import Trial

TRIALS: Mapping[str, Callable[[], Trial]] = {
    "drift": drift.trial,
    "surrogate": surrogate.trial,
    "variance": variance.trial,
    "gradient": gradient.trial,
    "region": region.trial,
    "reuse": reuse.trial,
    "retrace": retrace.trial,
    "offpac": offpac.trial,
}
