"""Recorded episodes of a trained run, and log-probabilities of episodes under its policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rlcli.collect.episodes import Episodes, log_probs, record
from rlcli.collect.evaluation import lanes
from rlcli.config.schema.keys import KEYS
from rlcli.config.schema.run import RunConfig
from rlcli.config.serialise import flatten
from rlcli.envs import minari_dataset, registry
from rlcli.envs.untrusted import folder_kept, interrupts_noticed
from rlcli.envs.user_code import located
from rlcli.errors import RlcliError, UserError
from rlcli.extras import extra_command
from rlcli.nets.masked import FLOOR
from rlcli.runs.policy import Trained, read_policy
from rlcli.store.checkpoints import Which

OF_TRAINING = frozenset(
    (
        "env.num_envs", "env.backend", "env.normalize_observation", "env.normalize_reward",
        "env.replay_limit", "env.atari.episodic_life", "env.atari.sign_reward", "env.atari.threads",
    )
)  # fmt: skip
"""Keys of the environment that episodes do not depend on: implementation, batches, what is learnt."""
PROCESS = tuple(
    name
    for name in KEYS
    if (name.startswith("env.") and name not in OF_TRAINING) or name in ("network.squash", "eval.max_steps")
)
"""Keys that make the decision process of recorded episodes, or say what their actions mean."""
IMPOSSIBLE = FLOOR / 2.0
"""Log-probability at which a mask does not allow an action."""


class Recording(NamedTuple):
    """Episodes of a run's policy with the log-probabilities of its actions."""

    trained: Trained
    episodes: Episodes
    log_probs: npt.NDArray[np.float64]
    seed: int

    def about(self, run: str) -> dict[str, Any]:
        """Plain data about the episodes, of the run named `run`."""
        return {
            "process": process_of(self.trained.config), "memory": self.trained.has_memory, "run": run,
            "update": self.trained.update, "seed": self.seed,
        }  # fmt: skip


def record_run(
    run_dir: Path,
    *,
    episodes: int,
    checkpoint: Which = "last",
    seed: int | None = None,
    imports: Sequence[str] = (),
) -> Recording:
    """Plays episodes with sampled actions of a run's policy.

    Raises:
        UserError: there is no such checkpoint.
        StorageError: the run's files are damaged.
        RlcliError: the environment failed.
    """
    trained = read_policy(run_dir, checkpoint, imports)
    config = trained.config
    torch.set_num_threads(config.compute.threads)
    chosen = config.seed if seed is None else seed
    env = registry.make(config.env, 1, num_envs=lanes(episodes), squash=config.network.squash)
    try:
        with folder_kept(), interrupts_noticed():
            played = record(*trained.policy, env, chosen, episodes, max_steps=config.eval.max_steps)
    except RlcliError:
        raise
    except Exception as error:
        raise RlcliError(f"{trained.spec.id} failed while episodes were played: {located(error)}") from error
    finally:
        env.close()
    return Recording(trained, played, log_probs(*trained.policy, played), chosen)


def process_of(config: RunConfig) -> dict[str, Any]:
    """The keys of `PROCESS` with their values, as JSON has them."""
    values = flatten(config)
    found: dict[str, Any] = json.loads(json.dumps({name: values[name] for name in PROCESS}))
    return found


def check_minari() -> None:
    """Raises `UserError` where packages that write datasets are not installed."""
    package = minari_dataset.missing()
    if package is not None:
        raise UserError(
            f"--format minari needs the package {package}.", hint=f"Install with: {extra_command('minari')}"
        )


def write_minari(folder: Path, recording: Recording, run: str) -> None:
    """Writes episodes of the run named `run` as a dataset of Minari into a new folder.

    Raises:
        UserError: the environment's observations have no place in a dataset.
        StorageError: it cannot be written.
    """
    trained, episodes = recording.trained, recording.episodes
    reason = minari_dataset.obstacle(trained.spec)
    if reason is not None:
        raise UserError(f"{reason}.", hint="Plain arrays have no such limit: --format npz")
    recorded = minari_dataset.Recorded(
        episodes.observations, episodes.actions, episodes.rewards, recording.log_probs, episodes.lengths,
        episodes.terminated,
    )  # fmt: skip
    minari_dataset.write_dataset(folder, trained.config.env, trained.spec, recorded, run)


def log_probs_under(trained: Trained, episodes: Episodes, origin: str) -> npt.NDArray[np.float64]:
    """log π(a|s) [n, H] of recorded actions under a trained policy; `origin` names the episodes in messages.

    Raises:
        UserError: the policy is of other observations or actions, or a mask does not allow one of them.
    """
    spec = trained.spec
    expected = (spec.observation.shape, spec.observation.dtype, spec.action.shape)
    found = (episodes.observations.shape[2:], episodes.observations.dtype, episodes.actions.shape[2:])
    if expected != found:
        raise UserError(
            f"{origin} has observations {found[0]} of {found[1]} and actions {found[2]}; the policy on "
            f"{spec.id} takes {expected[0]} of {expected[1]} and {expected[2]}."
        )
    if spec.action.kind != "box":
        sizes = {"discrete": spec.action.n, "multidiscrete": np.array(spec.action.sizes)}
        limit = sizes.get(spec.action.kind, 2)
        known = episodes.actions.dtype.kind in "iu"
        if not (known and ((episodes.actions >= 0) & (episodes.actions < limit)).all()):
            raise UserError(f"{origin} has actions that {spec.id} does not have.")
    under = log_probs(*trained.policy, episodes)
    if spec.observation.mask is not None and (under <= IMPOSSIBLE).any():
        raise UserError(f"{origin} has actions that its own masks of actions do not allow.")
    return under
