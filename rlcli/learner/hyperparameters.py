"""The numbers that may differ between runs of a cohort, with schedules applied.

Which these are follows from the schema: the numbers of `algo` that are declared with `cohort=True`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NoReturn

import torch
from torch import Tensor

from rlcli.config.schema.keys import FIELDS, KEYS
from rlcli.config.schema.run import RunConfig

SECTION = "algo."
NAMES = tuple(
    name.removeprefix(SECTION)
    for name in FIELDS
    if name.startswith(SECTION) and KEYS[name].declaration.cohort
)
"""Every hyperparameter, by its key below `algo`."""
FALLING = ("constant", "linear")
"""First choices of a schedule that may fall to 0."""
SCHEDULED = tuple(
    name
    for name in NAMES
    if (key := KEYS.get(f"{SECTION}{name}_schedule")) and (key.declaration.choices or ())[:2] == FALLING
)
"""Those that may fall to 0 over `schedule_steps`."""
_VALUES = attrgetter(*NAMES)


class Hyperparameters:
    """One update's hyperparameters of R runs: `hyper.NAME` is [R, 1] float32.

    A null limit is infinity; a weight_cap that the number of samples decides is NaN.
    """

    def __init__(self, exact: Mapping[str, Tensor], rounded: Mapping[str, Tensor]) -> None:
        """Tensors by name: exact ones [R], rounded ones [R, 1]."""
        self._exact, self._rounded = exact, rounded
        self.kept: dict[object, Tensor] = {}
        """What was derived from them and may be read again, by whoever derived it."""

    def __getattr__(self, name: str) -> Tensor:
        rounded: Mapping[str, Tensor] = self.__dict__.get("_rounded", {})
        return rounded[name] if name in rounded else _unknown(name)

    def exact(self, name: str) -> Tensor:
        """A hyperparameter as [R] float64."""
        return self._exact[name]

    def scaled(self, name: str, factor: Tensor) -> Hyperparameters:
        """With one hyperparameter multiplied by a factor [R] float64."""
        exact = self._exact[name] * factor
        rounded = {name: exact.float().unsqueeze(-1)}
        return Hyperparameters({**self._exact, name: exact}, {**self._rounded, **rounded})

    def of(self, algorithm: str) -> Hyperparameters:
        """With the keys of an algorithm of the user's own by their short names too."""
        start = f"{algorithm}."
        tables = (
            table | {name.removeprefix(start): table[name] for name in table if name.startswith(start)}
            for table in (dict(self._exact), dict(self._rounded))
        )
        return Hyperparameters(*tables)

    def map(self, function: Callable[[Tensor], Tensor]) -> Hyperparameters:
        """With `function` applied to every tensor."""
        tables = (
            {name: function(value) for name, value in table.items()} for table in (self._exact, self._rounded)
        )
        return Hyperparameters(*tables)


def stops_early(configs: Sequence[RunConfig]) -> bool:
    """Whether any run has a target_kl; for those without one it is infinite."""
    return any(config.algo.target_kl is not None for config in configs)


def remaining(config: RunConfig, update: int) -> float:
    """The share of `schedule_steps` that remains when `update` updates are done, in [0, 1]."""
    return max(0.0, 1.0 - update * config.batch_size / config.horizon(update))


class _Same:
    """Configs as a key of a cache: equal to the very same objects."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.configs = tuple(configs)

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.configs)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and [*map(id, self.configs)] == [*map(id, other.configs)]


def hyperparameters(configs: Sequence[RunConfig], updates: Sequence[int], device: str) -> Hyperparameters:
    """The values in force during the update that follows `updates[r]` done ones."""
    fixed, changing = _unscheduled(_Same(configs), device)
    found = fixed
    for name, runs in changing.items():
        pairs = zip(configs, updates, runs, strict=True)
        shares = [remaining(config, done) if linear else 1.0 for config, done, linear in pairs]
        found = found.scaled(name, torch.tensor(shares, dtype=torch.float64).to(device))
    return found


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _unscheduled(same: _Same, device: str) -> tuple[Hyperparameters, dict[str, list[bool]]]:
    """The values without schedules; and of each hyperparameter that has one, which runs have it."""
    configs = same.configs
    table = torch.tensor([_row(config) for config in configs], dtype=torch.float64).to(device)
    columns = table.T.contiguous()
    names = (*NAMES, *_own(configs[0]))
    exact = zip(names, columns.unbind(0), strict=True)
    rounded = zip(names, columns.float().unsqueeze(2).unbind(0), strict=True)
    linear = {
        name: [getattr(config.algo, f"{name}_schedule") == "linear" for config in configs]
        for name in SCHEDULED
    }
    changing = {name: runs for name, runs in linear.items() if any(runs)}
    return Hyperparameters(dict(exact), dict(rounded)), changing


def _row(config: RunConfig) -> list[float]:
    row = [value if type(value) is float else _number(value) for value in _VALUES(config.algo)]
    return row + [float(config.own[f"{SECTION}{name}"]) for name in _own(config)] if config.own else row


def _own(config: RunConfig) -> list[str]:
    """Numbers that the user's own algorithms declare: `NAME.KEY` each."""
    return [name.removeprefix(SECTION) for name in config.own if name.startswith(SECTION)]


def _number(value: float | str | None) -> float:
    if value is None:
        return math.inf
    return math.nan if isinstance(value, str) else float(value)


def _unknown(name: str) -> NoReturn:
    raise AttributeError(f"{name} is not a hyperparameter: algo.{name} is not declared with cohort=True.")
