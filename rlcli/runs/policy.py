"""A trained policy read back from a run directory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rlcli.backends.native import policy_in
from rlcli.backends.session import Policy
from rlcli.config import schema
from rlcli.config.plain_yaml import read_mapping
from rlcli.config.schema import RunConfig
from rlcli.config.serialise import flatten, from_yaml, leaves
from rlcli.envs import registry
from rlcli.envs.spec import EnvSpec
from rlcli.errors import StorageError
from rlcli.store.admission import admit
from rlcli.store.checkpoints import Checkpoints, Which
from rlcli.store.files import read_text
from rlcli.store.manifest import FILE as MANIFEST
from rlcli.store.manifest import Manifest
from rlcli.store.size import largest_checkpoint
from rlcli.store.versions import refusal

FILE = "config.yaml"


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
    path = run_dir / FILE
    if (run_dir / MANIFEST).exists():
        written = Manifest.read(run_dir).content["config_version"]
        if written != schema.VERSION:
            raise StorageError(refusal(path, written, (schema.VERSION,)))
    return from_yaml(read_text(path), str(path))


def absent_keys(run_dir: Path) -> dict[str, Any]:
    """Keys that a run's config does not have, because they came later, each with the value it stands for."""
    path = run_dir / FILE
    there = {name for name, _ in leaves(read_mapping(read_text(path), str(path)))}
    return {name: value for name, value in flatten(read_config(run_dir)).items() if name not in there}


def read_policy(run_dir: Path, which: Which = "last", imports: Sequence[str] = ()) -> Trained:
    """The policy of a kept checkpoint, on the CPU; `imports` are modules its environment may come from.

    Raises:
        UserError: there is no such checkpoint, or the config is not admitted.
        StorageError: the run's files are damaged.
    """
    config = read_config(run_dir)
    admit(config, run_dir, imports)
    checkpoint = Checkpoints(run_dir, largest=partial(largest_checkpoint, config)).load(which)
    spec = registry.describe(config.env)
    return Trained(config, spec, policy_in(config, spec, checkpoint), checkpoint.update)
