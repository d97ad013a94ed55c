"""`rlcli.train(overrides)`: the Python interface of `rlcli train`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlcli.config.overrides import parse_command
from rlcli.sweeps.plan import plan
from rlcli.sweeps.run import run_one

if TYPE_CHECKING:
    from rlcli.runs.result import Result


def train(
    overrides: str | Sequence[str] = (), *, config_dir: str | None = None, quiet: bool = True
) -> Result:
    """Train one run as `rlcli train` would and return its result.

    `overrides` are those of the command line, as a list or as one string: `train("env=Pendulum-v1 seed=1")`.

    Raises:
        UserError: an override is wrong; nothing was written to disk.
    """
    texts = shlex.split(overrides) if isinstance(overrides, str) else list(overrides)
    return run_one(plan(parse_command(texts, config_dir=config_dir))[0], quiet=quiet)
