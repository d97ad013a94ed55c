"""A trained run as an object: its policy acts, its metrics are a table, and it shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlcli.config.schema.run import RunConfig
from rlcli.maths.draws import generator
from rlcli.nets.actor import Acted, Actor
from rlcli.runs import html
from rlcli.runs.metrics_table import Table, metrics_table
from rlcli.runs.observed import Observed, Reader
from rlcli.runs.policy import Trained
from rlcli.standalone.policy import PolicyModule, policy_module
from rlcli.store.rows import read_rows


class LoadedRun:
    """A trained run: its policy, which acts on observations of its environment, its config and metrics."""

    def __init__(self, run_dir: Path, trained: Trained, seed: int) -> None:
        self.dir = run_dir
        self._trained = trained
        self._reader = Reader(trained, str(run_dir))
        self._act = Actor(*trained.policy)
        self._draws = generator(seed, "loaded_action")

    @property
    def config(self) -> RunConfig:
        """The run's resolved config."""
        return self._trained.config

    @property
    def update(self) -> int:
        """The update after which the weights were saved."""
        return self._trained.update

    def _repr_html_(self) -> str:
        """Table and curve, for a notebook."""
        config, network = self.config, self.config.network
        rows = {
            "algorithm": config.algo.name, "environment": config.env.id, "network": network.name,
            "seed": config.seed, "update": f"{self.update:,} of {config.updates:,}", "dir": self.dir,
        }  # fmt: skip
        return html.facts(f"policy of {self.dir.name}", rows) + html.returns(self.dir)

    def module(self) -> PolicyModule:
        """The policy as a new `torch.nn.Module`, preprocessing inside; `rlcli export` writes the same.

        It takes tensors of raw observations, batch first (`module.inputs` says which), and gives the most
        probable actions in the environment's format with what they are of (`module.outputs`). Its parameters
        are a copy.

        Raises:
            UserError: a network of your own cannot be made.
        """
        return policy_module(*self._trained.policy, self._trained.spec)

    def metrics(self, columns: Sequence[str] | None = None) -> Table:
        """The rows of metrics.jsonl as a table, one row per update and one column per metric.

        A pandas DataFrame where pandas is installed, else a dictionary of numpy arrays: `table["update"]` is
        a column of both. NaN stands for a figure that was not measured at an update, such as
        `eval/return_mean` where there was no evaluation. `columns` selects metrics by name.

        Raises:
            UserError: there is no metric of that name.
            StorageError: the file cannot be read.
        """
        return metrics_table(list(read_rows(self.dir)), columns)

    def act(
        self, observations: Any, state: Any = None, *, action_mask: Any = None, stochastic: bool = False
    ) -> Any:
        """The action for one observation, or actions for a batch of them, in the environment's format.

        In a batch of n, every array has n as its first axis; of a Dict or Tuple every member, as in
        Gymnasium's vector environments. One discrete action is a numpy integer, everything else an array.
        `action_mask` is info["action_mask"] of a run with env.action_mask=info; other masks are in
        observations.

        A policy with memory (network=lstm, gru) gives `(action, state)`, to be given to the next call. None,
        and rows of zeros in a batch, stand for the start of an episode.

        Raises:
            UserError: these are not observations or masks of the run's environment, or no state of its
                policy.
        """
        observed = self._reader.read(observations, state, action_mask)
        spec, batched = self._trained.spec, observed.batched
        chosen = self.acted(observed, stochastic=stochastic)
        actions = spec.action.to_env(chosen.actions.reshape(1, -1, *spec.action.shape))[0]
        if not batched:
            actions = actions[0] if spec.action.kind == "discrete" else np.asarray(actions[0])
        if chosen.memory is None:
            return actions
        return actions, chosen.memory[0] if batched else chosen.memory[0, 0]

    def acted(self, observed: Observed, *, stochastic: bool = False) -> Acted:
        """Raw actions, outputs of the policy head and recurrent state at observations that were read."""
        family = self._trained.policy.model.family
        count = observed.inputs.shape[1]
        noise = family.noise((1, count), self._draws).numpy() if stochastic else None
        return self._act(observed.inputs, noise, observed.memory)
