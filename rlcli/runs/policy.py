"""A trained policy read back from a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rlcli.backends.native import policy_in
from rlcli.backends.session import Policy
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import from_yaml
from rlcli.envs import registry
from rlcli.envs.spec import EnvSpec
from rlcli.runs.checkpoint import Checkpoints, Which
from rlcli.runs.files import read_text


class Trained(NamedTuple):
    """What a run directory holds for use: its config, its environment, a policy, the update it is from."""

    config: RunConfig
    spec: EnvSpec
    policy: Policy
    update: int


def read_config(run_dir: Path) -> RunConfig:
    """The resolved config of a run.

    Raises:
        StorageError, UserError: it is missing, damaged, or not admitted.
    """
    path = run_dir / "config.yaml"
    return from_yaml(read_text(path), str(path))


def read_policy(run_dir: Path, which: Which = "last") -> Trained:
    """The policy of a kept checkpoint, on the CPU."""
    config = read_config(run_dir)
    checkpoint = Checkpoints(run_dir).load(which)
    spec = registry.describe(config.env)
    return Trained(config, spec, policy_in(config, spec, checkpoint), checkpoint.update)
