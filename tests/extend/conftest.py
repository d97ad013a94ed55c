"""Modules of the user's, written for one test; what they register is forgotten after it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from rlcli.catalog import table as catalog
from rlcli.config import extensions
from rlcli.config.schema import keys
from rlcli.extend import faults, importing, tables
from tests.cli.conftest import rlcli

__all__ = ["rlcli"]

Write = Callable[..., str]

NETWORK = """
import rlcli
from torch import nn


class Two(nn.Module):
    def __init__(self, inputs, outputs, width):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))
        self.critic = nn.Linear(inputs, 1)

    def forward(self, observations):
        return self.actor(observations), self.critic(observations).squeeze(-1)


def two(observation_space, action_space, outputs, width):
    return Two(observation_space.shape[0], outputs, width)


rlcli.register_network("two", two, "Two parts.", keys={"width": rlcli.Setting(8, "Width.", ge=1)})
"""
ALGORITHM = """
import rlcli


def damped(log_prob, log_anchor, advantages, hyper):
    ratio = (log_prob - log_anchor).exp()
    centred = advantages - advantages.mean()
    return ratio * centred - hyper.damping * (ratio - 1.0) ** 2


rlcli.register_algorithm(
    "damped", "Damped ratios.", base="ppo", settings={"epochs": 2}, surrogate=damped,
    keys={"damping": rlcli.Setting(0.5, "Weight of the square.", ge=0)},
)
"""
METRIC = """
import rlcli


def spread(update):
    return update.advantages.std()


rlcli.register_metric("mine/spread", spread, "Deviation of advantages.", better="lower")
"""


@pytest.fixture(autouse=True)
def forget(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], None]]:
    """Forgets what was registered and imported since the test began, as in a new process; so after each."""
    monkeypatch.setenv(importing.VARIABLE, "")  # a sweep sets it, and must not for the tests after this one
    monkeypatch.delenv(importing.VARIABLE)
    registries: list[dict[Any, Any]] = [
        keys._KEYS, catalog._METRICS, extensions.ADDITIONS, extensions.ROWS, tables.NETWORKS,
        tables.ALGORITHMS, tables.METRICS,
    ]  # fmt: skip
    before = [dict(one) for one in registries]
    path = list(sys.path)

    def forgotten() -> None:
        for registry, content in zip(registries, before, strict=True):
            registry.clear()
            registry.update(content)
        written = str(tmp_path_factory.getbasetemp())
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(written):
                del sys.modules[name]
                for env_id, spec in list(gymnasium.registry.items()):
                    made = spec.entry_point
                    if (made.partition(":")[0] if isinstance(made, str) else made.__module__) == name:
                        del gymnasium.registry[env_id]
        sys.path[:] = path
        faults.take()
        importing.installed.cache_clear()
        importing.forget_compositions()

    yield forgotten
    forgotten()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module, and imports it as `--import` would."""
    monkeypatch.chdir(tmp_path)

    def written(*sources: str, name: str = "mine", load: bool = True) -> str:
        (tmp_path / f"{name}.py").write_text("\n".join(sources))
        if load:
            importing.start([name])
        return name

    return written
