"""rlcli: experiment runner for trust-region policy optimisation, from the command line and from Python.

`rlcli.train("env=CartPole-v1 total_steps=20000")` trains as the command line would and returns a `Result`;
`rlcli.sweep("seed=0,1,2")` trains a sweep; `rlcli.evaluate("last", episodes=100)` evaluates a trained policy;
`rlcli.fork("last", "algo.clip=0.1")` trains a new run from its parameters;
`rlcli.load("last")` reads it: `.act(observation)` gives its action, `.metrics()` the rows of its training.
`rlcli.register_network`, `register_algorithm` and `register_metric` add code of your own; `take_apart` gives
a network of your own the images of its observations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcli.errors import RlcliError, UserError
    from rlcli.extend.register import register_algorithm, register_metric, register_network
    from rlcli.extend.settings import Setting
    from rlcli.extend.spaces import take_apart
    from rlcli.runs.api import evaluate, load
    from rlcli.runs.callback import STOP, StopTraining
    from rlcli.runs.loaded import LoadedRun
    from rlcli.runs.result import Result
    from rlcli.sweeps.api import SweepResult, fork, sweep, train

__all__ = [
    "STOP", "LoadedRun", "Result", "RlcliError", "Setting", "StopTraining", "SweepResult", "UserError",
    "evaluate", "fork", "load", "register_algorithm", "register_metric", "register_network", "sweep",
    "take_apart", "train",
]  # fmt: skip

_HOMES = {
    "LoadedRun": "rlcli.runs.loaded",
    "Result": "rlcli.runs.result",
    "RlcliError": "rlcli.errors",
    "Setting": "rlcli.extend.settings",
    "STOP": "rlcli.runs.callback",
    "StopTraining": "rlcli.runs.callback",
    "SweepResult": "rlcli.sweeps.api",
    "UserError": "rlcli.errors",
    "evaluate": "rlcli.runs.api",
    "fork": "rlcli.sweeps.api",
    "load": "rlcli.runs.api",
    "register_algorithm": "rlcli.extend.register",
    "register_metric": "rlcli.extend.register",
    "register_network": "rlcli.extend.register",
    "sweep": "rlcli.sweeps.api",
    "take_apart": "rlcli.extend.spaces",
    "train": "rlcli.sweeps.api",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    """Imports public names on first use, so that `import rlcli` loads no torch."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'rlcli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Public names, loaded or not, for completion in a shell."""
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("rlcli")
    except importlib.metadata.PackageNotFoundError:
        return "0 (not installed)"
