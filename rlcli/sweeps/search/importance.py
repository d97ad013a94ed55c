"""Importance of parameters by Optuna, of any runs: a study is made of their settings and results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from rlcli.config.values import display


def ped_anova(
    settings: Mapping[str, Sequence[Any]], values: npt.NDArray[np.float64], higher: bool
) -> dict[str, float] | None:
    """PED-ANOVA of each setting, normalised to a sum of 1; None without Optuna.

    Watanabe, Bansal and Hutter 2023, PED-ANOVA. Positive numbers over more than a decade count by their
    logarithm.
    """
    if find_spec("optuna") is None:
        return None
    import optuna

    logged = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        spaces = {key: _distribution(column, optuna.distributions) for key, column in settings.items()}
        study = optuna.create_study(direction="maximize" if higher else "minimize")
        for place, value in enumerate(values):
            params = {key: _value(settings[key][place], space) for key, space in spaces.items()}
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=spaces, value=float(value))
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(optuna.importance.get_param_importances(study))
    finally:
        optuna.logging.set_verbosity(logged)


def _distribution(column: Sequence[Any], kinds: Any) -> Any:
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column):
        low, high = float(min(column)), float(max(column))
        return kinds.FloatDistribution(low, high, log=low > 0 and high >= 10 * low)
    return kinds.CategoricalDistribution(sorted({display(value) for value in column}))


def _value(value: Any, space: Any) -> Any:
    return display(value) if hasattr(space, "choices") else float(value)
