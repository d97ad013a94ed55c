"""Trained policy of a run directory, read from one of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rlcli.backends.native_state import policy_in
from rlcli.backends.session import Policy
from rlcli.config.schema.run import RunConfig
from rlcli.envs import registry
from rlcli.envs.spec import EnvSpec
from rlcli.store.admission import admitted
from rlcli.store.checkpoint_file import largest_checkpoint
from rlcli.store.checkpoints import Checkpoints, Which
from rlcli.store.config_file import read_config


class Trained(NamedTuple):
    """A trained policy with its run's config, its environment's spec and the update it is from."""

    config: RunConfig
    spec: EnvSpec
    policy: Policy
    update: int

    @property
    def has_memory(self) -> bool:
        """Whether its actions depend on earlier observations, too."""
        return self.policy.model.network.memory_width > 0


def read_policy(run_dir: Path, which: Which = "last", imports: Sequence[str] = ()) -> Trained:
    """The policy of a kept checkpoint, on the CPU; `imports` are modules its environment may come from.

    Raises:
        UserError: there is no such checkpoint, or the config is not admitted.
        StorageError: the run's files are damaged.
    """
    config = admitted(read_config(run_dir), run_dir, imports)
    checkpoint = Checkpoints(run_dir, largest=partial(largest_checkpoint, config)).load(which)
    spec = registry.describe(config.env, config.network.squash)
    return Trained(config, spec, policy_in(config, spec, checkpoint), checkpoint.update)
