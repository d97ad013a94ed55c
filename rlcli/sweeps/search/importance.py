"""Optuna's importance of settings: PED-ANOVA over runs that are already trained.

Watanabe, Bansal and Hutter 2023, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

Value = float | int | str

optuna.logging.set_verbosity(optuna.logging.ERROR)


def shares(settings: Sequence[Mapping[str, Value]], results: Sequence[float]) -> dict[str, float]:
    """Share of each key in the explained variance; settings have the same keys, one mapping per run.

    A key with numbers in all runs is continuous, on a log scale where it spans more than a decade above 0;
    any other is a choice. Keys with a single value are left out.
    """
    space = {key: _distribution([flat[key] for flat in settings]) for key in settings[0]}
    known = {key: one for key, one in space.items() if one is not None}
    if not known:
        return {}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for flat, value in zip(settings, results, strict=True):
        params = {key: flat[key] if _is_choice(one) else float(flat[key]) for key, one in known.items()}
        study.add_trial(create_trial(params=params, distributions=known, value=value))
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def _is_choice(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, CategoricalDistribution)


def _distribution(values: Sequence[Value]) -> BaseDistribution | None:
    choices = list(dict.fromkeys(values))
    if len(choices) < 2:
        return None
    numbers = [float(value) for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        return CategoricalDistribution(choices)
    low, high = min(numbers), max(numbers)
    return FloatDistribution(low, high, log=low > 0 and high > 10 * low)
