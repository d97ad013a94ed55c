"""rlcli: experiment runner for trust-region policy optimisation, from the command line and from Python.

`rlcli.train("env=CartPole-v1 total_steps=20000")` trains as the command line would and returns a `Result`;
`rlcli.load("last").act(observation)` acts with the trained policy of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlcli.runs.api import load
    from rlcli.runs.result import Result
    from rlcli.sweeps.api import train

__all__ = ["Result", "load", "train"]

_HOMES = {"Result": "rlcli.runs.result", "load": "rlcli.runs.api", "train": "rlcli.sweeps.api"}


def __getattr__(name: str) -> Any:
    """Imports public names on first use, so that `import rlcli` loads no torch."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'rlcli' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("rlcli")
    except importlib.metadata.PackageNotFoundError:
        return "0 (not installed)"
